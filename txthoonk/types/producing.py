"""What those do who put jobs, and wait for what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults, succeed

from txthoonk._deferred import first_failure
from txthoonk.keys import encode
from txthoonk.scripts import BoundScript
from txthoonk.together import Together
from txthoonk.types.base import ItemId, Owner, given, new_id
from txthoonk.types.operating import Operated
from txthoonk.types.waiting import side

__all__ = ["Produced", "milliseconds"]

#: How much of a put_many travels in one call: jobs, and bytes.
BATCH: Final = 1000
BATCH_BYTES: Final = 1_000_000


class Produced(Operated):
    """A feed of jobs, as far as its producers go."""

    def __init__(
        self, pub: Owner, name: str, config: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__(pub, name, config, **options)
        put_many = self._bind("job/put_many")
        self._puts = {first: Together(put_many, (side(first),)) for first in (False, True)}
        self._put_one: BoundScript | None = None

    # -- putting ----------------------------------------------------------------------------

    def put(
        self,
        item: Any,
        priority: bool = False,
        id: str | int | None = None,
        delay: float | None = None,
        on_finish: Callable[[Any], object] | None = None,
        once: bool = False,
    ) -> Deferred[ItemId]:
        """Put a job. Puts of one turn of the reactor travel together.

        :param item: what the feed's serializer takes.
        :param priority: ``Job.HIGH``: before all others.
        :param id: made up if not given; a job of that id that is there, in whatever state, is
            left as it is.
        :param delay: seconds until it is available; it then comes behind the others.
        :param on_finish: called once, when the job is finished, parked or retracted, with that
            event (``JobFinished``, ``JobStalled`` or ``JobRetracted``).
        :param once: a job of that id whose result is still kept is left as it is, too: it is
            not done again.
        :returns: fires with the id, once the job is stored and announced.
        :raises FeedDoesNotExist: (as a failure) if the feed was deleted; nothing is written.
        :raises ConnectionLost: (as a failure) if the connection broke; the job *may* be there.
        """
        known = ItemId(new_id() if id is None else self._id(id))
        data = self._encode(item)
        delay = _checked(delay)
        if on_finish is not None:
            listening: Deferred[None] = self._results().listen()
            return listening.addCallback(
                lambda _: self._put_for(on_finish, data, priority, id, known, delay, once)
            )
        return self._put(data, priority, id, known, delay, once)

    publish = put

    def _put(
        self,
        data: bytes,
        priority: bool,
        id: str | int | None,
        known: ItemId,
        delay: float | None,
        once: bool,
    ) -> Deferred[ItemId]:
        if id is None and not delay:
            together = self._puts[bool(priority)]
            args: tuple[bytes, ...] = (encode(known), data)
            if self._made:
                return self.pub.redis.gather(together, args, known, known)
            return self._when_made().addCallback(
                lambda _: self.pub.redis.gather(together, args, known, known)
            )
        args = (side(priority), milliseconds(delay or 0), encode(known), data)
        if once:
            args = (*args, b"1")
        if self._put_one is None:
            self._put_one = self._bind("job/put")
        return self._run(self._put_one, args, given, known, id=known)

    def _put_for(
        self,
        on_finish: Callable[[Any], object],
        data: bytes,
        priority: bool,
        id: str | int | None,
        known: ItemId,
        delay: float | None,
        once: bool,
    ) -> Deferred[ItemId]:
        """Put a job whose end somebody wants to hear of."""
        results = self._results()

        def failed(failure: Any) -> Any:
            results.forget(known, on_finish)
            return failure

        results.call_at_end(known, on_finish)
        putting: Deferred[ItemId] = results.putting(
            known, lambda: self._put(data, priority, id, known, delay, once), id is None
        )
        return putting.addErrback(failed)

    def put_many(self, items: Iterable[Any], priority: bool = False) -> Deferred[list[ItemId]]:
        """Put several jobs, in few calls.

        :returns: fires with their ids. Up to 1,000 jobs and 1,000,000 bytes are put all or none;
            of more, some *may* be there after a failure.
        :raises FeedDoesNotExist: (as a failure) as :meth:`put`.
        """
        ids: list[ItemId] = []
        batches: list[list[bytes]] = []
        batch: list[bytes] = []
        room = 0
        encode_item = self.serializer.encode
        for item in items:
            data = encode_item(item)
            if not batch or room < len(data) or len(batch) > 2 * BATCH:
                batch = [side(priority)]
                batches.append(batch)
                room = BATCH_BYTES
            id = new_id()
            ids.append(ItemId(id))
            batch += (id.encode(), data)
            room -= len(data)
        put_many = self._puts[False].bound
        calls = [self._run(put_many, batch, int) for batch in batches]
        return gatherResults(calls, consumeErrors=True).addCallbacks(lambda _: ids, first_failure)

    # -- results ----------------------------------------------------------------------------

    def get_result(
        self,
        id: str | int,
        timeout: float = 0,
        on_progress: Callable[[Any], object] | None = None,
    ) -> Deferred[tuple[Any, Any]]:
        """Wait for the result of a job, or look at it if it has finished.

        :param timeout: seconds; ``0`` waits for ever.
        :param on_progress: called with each value that the job's worker tells meanwhile.
        :returns: fires with the query (what was put) and the result; ``None`` if the job was
            finished without one. A connection that breaks meanwhile changes nothing.
        :raises JobFailed: (as a failure) if the job is parked.
        :raises ItemDoesNotExist: (as a failure) if there is no such job, nor a result any more:
            it was retracted, or finished longer than ``result_ttl`` ago, or by a peer.
        :raises NotFinished: (as a failure) if that took longer than *timeout*; the job goes on.
        """
        got: Deferred[Any] = self._results().get(self._id(id), timeout, on_progress)
        return got

    def call(
        self,
        item: Any,
        timeout: float = 0,
        on_progress: Callable[[Any], object] | None = None,
        **how: Any,
    ) -> Deferred[Any]:
        """Put a job and wait for its result.

        :param timeout: seconds; ``0`` waits for ever.
        :param on_progress: called with each value that the job's worker tells meanwhile.
        :param how: as for :meth:`put`: ``priority``, ``id``, ``delay``, ``once``.
        :returns: fires with the result, ``None`` if there is none.
        :raises JobFailed: NotFinished: ItemDoesNotExist: (as a failure) as :meth:`get_result`.
        """
        if unknown := how.keys() - {"id", "priority", "delay", "once"}:
            raise TypeError(f"call takes no {', '.join(sorted(unknown))}")
        how.setdefault("id", None)
        delay = _checked(how.get("delay"))
        data = self._encode(item)
        results = self._results()
        known = ItemId(new_id() if how["id"] is None else self._id(how["id"]))
        waiting: Deferred[Any] = results.wait(known, item, timeout, on_progress)

        def put(_: object) -> Deferred[Any]:
            if waiting.called:  # it was cancelled, or there was no time
                return succeed(None)
            args = (
                data,
                how.get("priority", False),
                how["id"],
                known,
                delay,
                how.get("once", False),
            )
            putting: Deferred[Any] = results.putting(
                known, lambda: self._put(*args), how["id"] is None
            )
            return putting

        def failed(failure: Any) -> None:
            if not waiting.called:
                waiting.errback(failure)

        results.listen().addCallback(put).addErrback(failed)
        return waiting.addCallback(lambda both: both[1])

    def _results(self) -> Any:
        return self.pub.results_of(self)


def _checked(delay: float | None) -> float | None:
    if delay is not None and not 0 <= delay <= 1e9:  # as in the options; nor NaN
        raise ValueError(f"a delay is 0 or more seconds, at most 1e9, not {delay!r}")
    return delay


def milliseconds(seconds: float) -> bytes:
    """Seconds as the scripts take them."""
    return b"%d" % (seconds * 1000)
