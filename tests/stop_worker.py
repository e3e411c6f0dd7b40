"""A process with a worker that is stopped by SIGTERM, or that dies of one of its jobs.

``python -m tests.stop_worker URL FEED GRACE``. It says ``ready`` once its worker takes jobs. A job
is the number of milliseconds that it takes, or ``die``, which ends the process at once. The result
is the token of the claim, which names the process.
"""

from __future__ import annotations

import os
import sys
from typing import Any

#: How many jobs such a process works on at a time.
CONCURRENCY = 4


def main(url: str, feed: str, grace: str) -> None:
    """Work until SIGTERM."""
    from twisted.application.service import MultiService
    from twisted.internet import reactor as its
    from twisted.internet.task import deferLater

    from txthoonk import Claim, JobWorker, Thoonk

    reactor: Any = its  # the module is the reactor

    async def handler(claim: Claim) -> str:
        if claim.item == "die":
            os._exit(9)
        if claim.item == "ready":
            sys.stdout.write("ready\n")
            sys.stdout.flush()
        else:
            await deferLater(reactor, int(claim.item) / 1000)
        return claim.token.decode()

    application: Any = MultiService()
    thoonk = Thoonk(url)
    thoonk.setServiceParent(application)
    JobWorker(thoonk, feed, handler, concurrency=CONCURRENCY, grace=float(grace)).setServiceParent(
        application
    )
    # A feed of its own tells when it takes jobs.
    own = f"{feed}-{os.getpid()}"
    JobWorker(thoonk, own, handler, concurrency=1).setServiceParent(application)
    application.startService()
    thoonk.job(own).put("ready")
    reactor.addSystemEventTrigger("before", "shutdown", application.stopService)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
