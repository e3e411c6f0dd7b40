"""A handler that twistd can name: twistd -n thoonk --job resize=resize:thumb

Put jobs with ``thoonk put resize a.png``. Whatever goes wrong, the job ends in one of three ways:
finished with what the handler returns, tried again later, or parked for somebody to look at.
"""

from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater
from twisted.logger import Logger

from txthoonk import Retry, Stall

log = Logger()


async def thumb(claim):
    """Make a thumb of a picture; here it only takes as long as one would."""
    from twisted.internet import reactor

    if not claim.item.endswith((".png", ".jpg")):
        raise Stall("this is no picture")  # trying again would not help
    if claim.item.startswith("http") and not claim.cancelled:
        raise Retry(delay=5)  # not there yet, perhaps
    try:
        await deferLater(reactor, 0.1)
    except CancelledError:  # the worker has to stop, or the job was taken away
        log.info("{id} goes to another worker", id=claim.id)
        raise
    return f"small {claim.item}"
