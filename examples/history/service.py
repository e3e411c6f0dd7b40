"""What twistd runs: it publishes the history, keeps the workers, and has the result checked."""

from __future__ import annotations

from itertools import islice
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from examples.demo.service import DemoFailed, DemoService
from examples.history import AUTHORS, BOARDS, COMMITS, FILES, JOBS, SHARES, SHOWN, TYPED
from examples.history.check import count_again
from examples.history.commits import Commit, GitError, Repository
from examples.history.report import Report, command_line
from examples.history.worker import client_name
from txthoonk import Feed, Job, Thoonk

__all__ = ["History"]

WORKERS = 3
#: Commits that are read, published and put at a time.
BATCH = 500
#: Jobs that may wait: with more of them, the publisher does.
BACKLOG = 2000
#: Seconds between two looks at the backlog, and between two reports.
LOOK, REPORT = 0.05, 1.0
#: Seconds without any progress after which something must be wrong.
STUCK = 60.0


class History(DemoService):
    """Has the commits of a repository counted by worker processes, and tells how it goes.

    :param repository: path of a git repository.
    :param stay: go on at the end even if there is no terminal to type at.
    """

    name = "history"
    foreseen = (*DemoService.foreseen, GitError)

    def __init__(self, repository: str, *, stay: bool) -> None:
        super().__init__()
        self._repository = Repository(repository)
        self._stay = stay
        self._report = Report(self._terminal)

    async def _stop(self) -> None:
        self._repository.close()
        await super()._stop()

    async def _run(self) -> None:
        say = self._terminal.say
        total = await deferToThread(self._repository.open)
        url = (await self._redis.start()).url
        say(f"{total:,} commits in {self._repository.path}; Redis at {url}")
        self._thoonk = thoonk = Thoonk(url, client_name="history")
        thoonk.startService()

        commits = thoonk.feed(COMMITS, max_length=100)
        # Each commit is announced by its feed; to announce its job too would be to repeat it.
        # Nobody asks for their results once they were told.
        jobs = thoonk.job(JOBS, serializer="bytes", announce=False, result_ttl=0)
        boards = thoonk.job(BOARDS, announce=False)
        for board in (AUTHORS, FILES):
            await thoonk.sorted_feed(board)
        await boards.put("whose turn it is to write the boards", id="turn")
        await self._report.listen(thoonk)

        for number in range(1, WORKERS + 1):
            self._processes.start(f"worker {number}", f"{__package__}.worker", url, str(number))
        say(f"{WORKERS} workers: processes {', '.join(str(each.pid) for each in self._processes)}")
        self._task(self._processes.watch())
        await self._when_connected(thoonk)
        say("To see more, paste this into another terminal:")
        say(f"  {command_line(url, 'watch', 'history.*')}")
        say()
        start = self._reactor.seconds()
        publishing = self._task(self._publish(commits, jobs))
        await self._follow(total, publishing, jobs)
        seconds = self._reactor.seconds() - start

        found = {
            board: list((await thoonk.sorted_feed(board).get_all()).values())
            for board in (AUTHORS, FILES)
        }
        shares = {
            number.decode(): int(count)
            for number, count in (await thoonk.redis.hgetall(SHARES)).items()
            if number != b"all"
        }
        self._report.summary(total, seconds, found, shares)
        say("The same once more, by git alone:")
        expected = await deferToThread(count_again, self._repository)
        if not self._report.compare(found, expected):
            self._end(1)
            return
        self._complete = True
        self._go_on(thoonk, url)

    async def _when_connected(self, thoonk: Thoonk) -> None:
        """Return once each worker has said its name to Redis, so that all get their share."""
        names = [f"name={client_name(number)} ".encode() for number in range(1, WORKERS + 1)]
        while True:
            clients = await thoonk.redis.execute("CLIENT", "LIST")
            if all(name in clients for name in names):
                return
            await self._sleep(0.02)

    async def _publish(self, commits: Feed, jobs: Job) -> int:
        """Publish and put every commit; says how many there were."""
        records = self._repository.records()
        published = 0
        while batch := await deferToThread(lambda: list(islice(records, BATCH))):
            parsed = [Commit.parse(record) for record in batch]
            calls: list[Deferred[Any]] = [
                commits.publish(c.line(), id=c.sha.decode()) for c in parsed
            ]
            calls.append(jobs.put_many(batch))
            await gatherResults(calls, consumeErrors=True)
            published += len(batch)
            while (await jobs.stats()).available > BACKLOG:
                await self._sleep(LOOK)
        return published

    async def _follow(self, total: int, publishing: Deferred[int], jobs: Job) -> None:
        """Report until every commit is published, counted and on the boards.

        :raises DemoFailed: if that does not come about.
        """
        assert self._thoonk is not None
        start = told = moved = self._reactor.seconds()
        before: object = None
        while True:
            now = self._reactor.seconds()
            stats = await jobs.stats()
            shown = int(await self._thoonk.redis.get(SHOWN) or 0)
            published = await publishing if publishing.called else None
            complete = stats.finishes == shown == published
            if complete or now - told >= REPORT:
                told = now
                self._report.progress(total, now - start, stats)
            if complete:
                return
            if (stats, shown) != before:
                before, moved = (stats, shown), now
            elif now - moved > STUCK:
                raise DemoFailed(f"nothing happened for {STUCK:.0f} seconds: {stats}")
            await self._sleep(LOOK)

    def _go_on(self, thoonk: Thoonk, url: str) -> None:
        """Publish what is typed."""
        say = self._terminal.say
        typed = thoonk.feed(TYPED)

        def line(text: str) -> None:
            if text.strip():
                typed.publish(text).addErrback(self._failed)

        def end() -> None:
            if not self._stay:
                # What was typed last is published, and heard, first.
                self._reactor.callLater(0.1, self._end, 0)

        if self._stay or self._terminal.interactive:
            say(f"What you type is published in {TYPED}. From another terminal:")
            say(f"  {command_line(url, 'publish', TYPED, 'hello')}")
            say("Ctrl-C ends it.")
        self._terminal.read(self._reactor, line, end, patient=self._stay)
