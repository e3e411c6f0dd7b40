"""``GET feeds/NAME``: all that is in a feed now, as one message."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import Request

from txthoonk.keys import encode
from txthoonk.messages import encode_message, snapshot
from txthoonk.positions import pack_place
from txthoonk.reading import Reading, State
from txthoonk.serializers import Serializer, get_serializer
from txthoonk.web.access import Access
from txthoonk.web.handling import JsonResource, NotFound, name_of
from txthoonk.web.replies import Body, has_tag, is_gone, send, unchanged

__all__ = ["Feeds", "Snapshots"]

#: What is kept of answers that were given: bytes.
KEPT: Final = 16 * 2**20


class Snapshots:
    """Reads feeds, and keeps what they were as long as they are that.

    :param thoonk: the instance.
    :param serializer: for items.
    :param kept: bytes of answers to keep.
    """

    def __init__(
        self, thoonk: Any, serializer: str | Serializer = "text", kept: int = KEPT
    ) -> None:
        self._thoonk = thoonk
        self._serializer = get_serializer(serializer)
        self._most = kept
        self._size = 0
        self._kept: OrderedDict[str, Body] = OrderedDict()
        self._coming: dict[tuple[str, bytes], list[Deferred[Body]]] = {}

    def _reading(self, feed: str) -> Reading:
        keys = self._thoonk.dialect.keys("feed", encode(feed), self._thoonk.db)
        return Reading(self._thoonk.redis, keys, feed, self._serializer)

    async def tag(self, feed: str) -> bytes:
        """The entity tag of what is in a feed now: its place, and what others count.

        Programs that know of no revisions count what they publish; the number of items tells most
        of what else they do. Where a feed is followed, all of that has a revision at once. Where
        nobody has ever made one the tag is of all that is there: such a program may delete the
        feed, and fill it again with as much.

        :raises FeedDoesNotExist: WrongFeedType: if there is no feed to follow.
        """
        reading = self._reading(feed)
        state = reading.check(await reading.read())
        return _tag(state if state.epoch else reading.check(await reading.read(proof=2)))

    async def get(self, feed: str, tag: bytes) -> Body:
        """The answer.

        :param tag: that the feed has; many who ask for the same read it once.
        :raises FeedDoesNotExist: WrongFeedType: if there is no feed any more.
        """
        kept = self._kept.get(feed)
        if kept is not None and kept.etag == tag:
            self._kept.move_to_end(feed)
            return kept
        waiter: Deferred[Body] = Deferred()
        waiting = self._coming.setdefault((feed, tag), [])
        waiting.append(waiter)
        if len(waiting) == 1:
            reading = Deferred.fromCoroutine(self._read(feed, tag))
            reading.addBoth(self._come, feed, tag)
        return await waiter

    async def _read(self, feed: str, tag: bytes) -> Body:
        reading = self._reading(feed)
        copy, state = await reading.load()
        kind = "sorted_feed" if state.kind == b"sorted_feed" else "feed"
        at = pack_place(state.position())
        items = copy.in_order().items()
        message = snapshot(feed, kind, at, state.revision, items)
        if state.epoch:
            return Body(encode_message(message), _tag(state))
        # Pages need not fit together where nothing tells of changes: then it has no tag.
        same = await self.tag(feed) == tag
        return Body(encode_message(message), tag if same else b"")

    def _come(self, body: Body | Failure, feed: str, tag: bytes) -> None:
        waiting = self._coming.pop((feed, tag))
        if isinstance(body, Body) and body.etag:
            self._keep(feed, body)
        for waiter in waiting:
            waiter.callback(body)

    def _keep(self, feed: str, body: Body) -> None:
        old = self._kept.pop(feed, None)
        if old is not None:
            self._size -= 2 * len(old.data)
        if 2 * len(body.data) > self._most:
            return
        self._kept[feed] = body
        self._size += 2 * len(body.data)  # with what it is in gzip
        while self._size > self._most:
            _, oldest = self._kept.popitem(last=False)
            self._size -= 2 * len(oldest.data)


def _tag(state: State) -> bytes:
    place = pack_place(state.position()).encode()
    all_of_it = b"." + state.proof if state.proof else b""
    return b'"%b.%d.%d%b"' % (place, state.publishes, state.count, all_of_it)


class Feeds(JsonResource):
    """``feeds``: each feed is a child.

    :param access: who may.
    :param snapshots: what reads them.
    """

    def __init__(self, access: Access, snapshots: Snapshots) -> None:
        super().__init__(access)
        self._snapshots = snapshots

    def getChild(self, path: bytes, request: Request) -> IResource:
        """The feed of that name, whether or not there is one."""
        return _Feed(self.access, self._snapshots, path) if path else NotFound(self.access)


class _Feed(JsonResource):
    """One feed: who may not read it is not told whether it is there."""

    def __init__(self, access: Access, snapshots: Snapshots, segment: bytes) -> None:
        super().__init__(access)
        self._snapshots = snapshots
        self._segment = segment

    async def get(self, request: Request) -> None:
        """What is in it, or that it is as it was."""
        user = await self.access.admit(request)
        feed = name_of(self._segment)
        await self.access.check_read(user, feed)
        tag = await self._snapshots.tag(feed)
        if has_tag(request, tag):
            unchanged(request, tag)
            return
        body = await self._snapshots.get(feed, tag)
        if not is_gone(request):
            await send(request, body, reactor=self.access.reactor)
