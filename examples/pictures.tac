"""Pictures are resized by a worker, and whoever watches sees each thumb: twistd -ny pictures.tac"""

from twisted.application import service
from twisted.internet.defer import Deferred

from txthoonk import NotConnected, Thoonk

application = service.Application("pictures")
thoonk = Thoonk("embedded:")  # or where your Redis is: "redis://localhost:6379/0"
thoonk.setServiceParent(application)
thumbs = thoonk.feed("thumbs", max_length=50)  # a handle: no round trip


@thoonk.worker("resize", concurrency=50, claim_timeout=30)
async def resize(claim):
    await thumbs.publish(f"small {claim.item}", id=claim.id)
    return f"resized {claim.item}"  # the result; or raise Retry(delay=5), Stall("why")


async def main():
    live = await thumbs.follow(lambda event: print("shown:", *live.items.values()))
    for picture in ("a.png", "b.png"):
        print("done:", await thoonk.job("resize").call(picture, timeout=10))


Deferred.fromCoroutine(main()).addErrback(lambda failure: failure.trap(NotConnected))  # stopped
