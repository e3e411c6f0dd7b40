"""Child processes that run the handler of a job, so that a crash costs one attempt and no worker.

.. code-block:: python

    children = Children(reactor, "pictures.resizing:resize", 4)
    children.start()
    result = await children.run(claim.id, claim.item, claim.cancelled)

The handler is a plain function that is called with ``id, item, cancelled``: the job's id, what was
put, and how often it was claimed and cancelled before. The children are new Python processes, not
copies of this one: they import the handler by its name. What it prints goes to standard error. It
may raise ``Retry`` and ``Stall`` as any handler may.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from txthoonk import _child
from txthoonk._child_process import Child, Run
from txthoonk._deferred import ignore
from txthoonk._importable import handler_path
from txthoonk.errors import ChildNotStarted

__all__ = ["Children"]

#: Seconds before a child that did not start is replaced: at first, and at most.
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 10.0


class Children:
    """
    A pool of child processes, each of which runs one job at a time.

    Items are ``str bytes int float bool None``, and lists and dicts of these; results may be
    whatever else ``msgspec.msgpack`` takes, and arrive as what it makes of it, a tuple as a list.
    Each has at most 100 MiB.

    No child outlives this process. Where there is no Linux, one can whose handler never lets go
    of Python's lock.

    :param reactor: what starts the processes; ``None`` takes the global reactor.
    :param handler: a function of a module, or its name, ``"package.module:name"``. A name is looked
        up by the children; here it is only checked if its module is imported already.
    :param count: how many processes.
    :raises ValueError: if the children could not import the handler, if it is async, or if *count*
        is less than 1.
    :raises TypeError: if *handler* is neither callable nor text, or *count* no integer.
    """

    log = Logger()

    def __init__(
        self,
        reactor: IReactorTime | None,
        handler: Callable[..., Any] | str,
        count: int,
    ) -> None:
        if type(count) is not int:
            raise TypeError(f"a number of processes is an int, not {type(count).__name__}")
        if count < 1:
            raise ValueError(f"there must be one process or more, not {count}")
        self._given = handler
        #: The name of the handler, ``package.module:name``.
        self.handler = handler_path(handler)
        self._reactor: Any = reactor
        self._count = count
        self._running = False
        self._children: set[Child] = set()
        self._idle: list[Child] = []
        self._waiting: deque[Run] = deque()
        self._pauses: set[IDelayedCall] = set()

    @property
    def pids(self) -> set[int]:
        """The process ids of the children that there are now."""
        return {child.pid for child in self._children if child.pid is not None}

    def start(self) -> None:
        """
        Start the processes. If they run already, nothing happens.

        Those that do not come up are logged and tried again, after 0.1 to 10 seconds.

        :raises ValueError: if the handler turns out not to be importable.
        :raises RuntimeError: in a child: a module that the children import may not start children.
        """
        if self._running:
            return
        if _child.is_child():
            raise RuntimeError(
                f"The module of {self.handler} starts children when it is imported, and children "
                "import it. Start them in a function, or under `if __name__ == '__main__':`."
            )
        handler_path(self._given)  # its module may have been half-way through its import before
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        self._running = True
        for _ in range(self._count):
            self._spawn()

    def stop(self) -> Deferred[None]:
        """
        End the processes. What waits for a child is cancelled, what runs has a second to finish.

        They may be started again. If none runs, nothing happens.

        :returns: fires with ``None``, once all processes are reaped.
        """
        self._running = False
        for pause in self._pauses:
            if pause.active():
                pause.cancel()
        self._pauses.clear()
        self._idle.clear()
        ended = gatherResults([child.end() for child in list(self._children)])
        self._fail_waiting(lambda: CancelledError("The child processes are stopped."))
        return ended.addCallback(ignore)

    def run(self, id: str, item: Any, cancelled: int) -> Deferred[Any]:
        """
        Have a child run the handler on a job. Jobs that find all children busy wait in order.

        Cancelling kills the child that runs it, with the processes that it started and that stayed
        in its process group; another takes its place.

        :param id: of the job.
        :param item: what was put.
        :param cancelled: how often it was claimed and cancelled before.
        :returns: fires with what the handler returned.
        :raises ChildFailed: (as a failure) if the handler raised an exception; it has its name,
            text and traceback.
        :raises Retry: (as a failure) if the handler raised it; and so ``Stall``.
        :raises ChildDied: (as a failure) if the process ended in the middle of it: a crash,
            ``os._exit``, a kill.
        :raises ChildNotStarted: (as a failure) if no child could load the handler; it has the
            reason, and the job was not begun.
        :raises TypeError: (as a failure) if the item or the result is of a type that cannot travel.
        :raises ValueError: (as a failure) if one of them is larger than 100 MiB.
        :raises CancelledError: (as a failure) if it was cancelled, or the children are stopped.
        """
        if not self._running:
            return fail(CancelledError("The child processes are not started."))
        try:
            parts = _child.pack_job(id, item, cancelled)
        except (TypeError, ValueError):
            return fail()
        run = Run(id, parts, self._give_up)
        self._waiting.append(run)
        self._deal()
        return run.result

    def _deal(self) -> None:
        """Give what waits to whom is idle."""
        while self._waiting and self._idle:
            self._idle.pop().give(self._waiting.popleft())

    def _give_up(self, run: Run) -> None:
        """Whoever waited for it has cancelled it."""
        if run.child is not None:
            run.child.abandon()
        elif run in self._waiting:
            self._waiting.remove(run)

    def _fail_waiting(self, reason: Callable[[], Exception]) -> None:
        waiting, self._waiting = self._waiting, deque()
        for run in waiting:
            if not run.result.called:  # one's end may be why another is cancelled
                run.result.errback(reason())

    def _spawn(self, failures: int = 0) -> None:
        child = Child(self, self._reactor, self.handler, failures)
        self._children.add(child)
        child.spawn()

    def _spawn_after(self, failures: int) -> None:
        self._pauses = {pause for pause in self._pauses if pause.active()}
        self._spawn(failures)

    # -- what children tell -----------------------------------------------------------------

    def idle(self, child: Child) -> None:
        """A child has nothing to do."""
        if self._running and not child.ending:
            self._idle.append(child)
            self._deal()

    def not_idle(self, child: Child) -> None:
        """A child cannot be given anything any more."""
        if child in self._idle:
            self._idle.remove(child)

    def ended(self, child: Child) -> None:
        """A child is gone: another takes its place."""
        self._children.discard(child)
        self.not_idle(child)
        if not self._running or child.ending:
            return
        if child.runs:
            self._spawn()
            return
        # It ended before it ran anything: so may the next one.
        failures = child.failures + 1
        pause = min(_FIRST_PAUSE * 2 ** min(failures - 1, 10), _LONGEST_PAUSE)
        self.log.error(
            "A child process for {handler} ended before it ran a job, the next one starts in "
            "{pause} seconds: {how}\n{traceback}",
            handler=self.handler,
            pause=pause,
            how=child.how,
            traceback=child.traceback,
        )
        self._pauses.add(self._reactor.callLater(pause, self._spawn_after, failures))
        if not self._children:
            text = f"No child process could start for {self.handler}: {child.how}"
            self._fail_waiting(lambda: ChildNotStarted(text, child.status, child.signal))
