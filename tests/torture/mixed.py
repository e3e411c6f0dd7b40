"""Share jobs with a peer."""

from __future__ import annotations

import random
import time
from collections import Counter

from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater

from tests.torture.processes import Nursery, Peer
from tests.torture.report import Report
from tests.torture_worker import effects_key, runs_key
from txthoonk import Thoonk
from txthoonk.events import JobFinished
from txthoonk.testing import unique_name

__all__ = ["share"]

#: What ours do with a job; half of them take a little longer than the peer's.
KINDS = ("async", "async", "plain", "silent")


async def share(thoonk: Thoonk, url: str, jobs: int, ours: int, seed: int) -> Report:
    """Let workers of ours and a peer work on the same jobs.

    :param ours: how many workers, each with room for two jobs.
    :param seed: of all that is random here.
    """
    reactor, shuffle, feed = thoonk.get_reactor(), random.Random(seed), unique_name("torture-mixed")
    report = Report(feed, jobs, seed=seed, workers=ours)
    start = time.monotonic()
    job = await thoonk.job(feed, result_ttl=0)
    finished: Counter[str] = Counter()

    def one_finished(event: JobFinished) -> None:
        finished[event.id] += 1
        report.shares["peer" if event.result == "peer" else "ours"] += 1

    await job.subscribe(finish=one_finished)
    nursery = Nursery(reactor, url=url, feed=feed, concurrency=2)
    peer = Peer(reactor, url, feed)
    ids: list[str] = []
    try:
        await gatherResults([nursery.ready, peer.ready])
        for _ in range(ours):
            await nursery.fork()
        while len(ids) < jobs:
            burst = min(jobs - len(ids), shuffle.randint(1, 40))
            ids += await gatherResults([job.put(kind) for kind in shuffle.choices(KINDS, k=burst)])
            while await job.length() > 3:
                await deferLater(reactor, 0.002)
        last, since = 0, time.monotonic()
        while len(finished) < jobs and time.monotonic() - since < 10:
            if len(finished) != last:
                last, since = len(finished), time.monotonic()
            await deferLater(reactor, 0.01)
    finally:
        await nursery.stop()
        await peer.stop()
    await job.maintenance()
    stats = await job.stats()
    report.seconds = time.monotonic() - start
    report.runs = await thoonk.redis.execute("LLEN", runs_key(feed)) + report.shares["peer"]
    report.found("jobs not finished", set(ids) - finished.keys())
    report.found("jobs finished twice", [id for id, n in finished.items() if n > 1])
    is_wrong = (stats.puts, stats.finishes, report.runs) != (jobs, jobs, jobs)
    report.found("counters that are wrong", [stats, report.runs] if is_wrong else [])
    keys = {key for key in await thoonk.redis.execute("KEYS", "*") if key.endswith(job.keys.name)}
    report.found("keys left", keys - {job.keys.config, job.keys.publishes, job.keys.finishes})
    report.found("complaints of workers", nursery.complaints)
    await thoonk.redis.execute("DEL", runs_key(feed), effects_key(feed))
    await job.delete()
    return report
