"""Pictures are resized by a worker, and whoever watches sees each thumb: twistd -ny pictures.tac"""

from twisted.application import service
from twisted.internet.defer import Deferred

from txthoonk import NotConnected, Thoonk

application = service.Application("pictures")
thoonk = Thoonk("embedded:")  # or where your Redis is: "redis://localhost:6379/0"
thoonk.setServiceParent(application)
thumbs = thoonk.feed("thumbs", max_length=50)  # a handle: no round trip
resize = thoonk.job("resize")


async def work():
    while True:
        claim = await resize.get()  # waits; no other worker gets this job
        await thumbs.publish(f"small {claim.item}", id=claim.id)
        await claim.finish(f"resized {claim.item}")


async def main():
    await thumbs.subscribe(publish=lambda event: print("shown:", event.item))
    await resize.subscribe(finish=lambda event: print("done:", event.result))
    await resize.put_many(["a.png", "b.png"])


for task in (work(), main()):
    Deferred.fromCoroutine(task).addErrback(lambda failure: failure.trap(NotConnected))  # stopped
