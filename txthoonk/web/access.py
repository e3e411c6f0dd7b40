"""Who asks, what they may, and how much of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.web.server import Request

from txthoonk.actions import user_id
from txthoonk.keys import SEGMENTS
from txthoonk.web.allowances import Allowance, Counts
from txthoonk.web.replies import WebError, add_vary, too_many, web_error

__all__ = ["Access", "user_id"]

#: Names of feeds that cost as much as a request.
CHEAP: Final = 100

_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Access:
    """The hooks and limits of an application.

    :param may_read: ``may_read(user, feed)`` says whether a user may follow a feed; it may return a
        Deferred or be ``async``. Where it raises, nobody may, and the error is logged.
    :param may_follow: ``may_follow(user, pattern)`` says whether a user may ask for a pattern, of
        whose feeds they get those that *may_read* allows. Each pattern has this process follow all
        feeds that match; without this, one whose first two segments are spelt out (``team:353:*``)
        may be asked for, and no other.
    :param authenticate: ``authenticate(request)`` gives the user, any JSON value, or None for
        somebody unknown; it may return a Deferred or be ``async``. It refuses by raising
        ``WebError(401)``, :class:`twisted.web.error.Error`, ``Refused`` of :mod:`txthoonk.actions`
        or :class:`twisted.cred.error.LoginFailed`. Without it everybody is unknown.
    :param origins: of other sites whose pages may ask, with cookies: ``"https://example.org"``.
        Pages of the own one always may.
    :param trust_proxy: whether ``X-Forwarded-For``, ``-Proto`` and ``-Host`` are believed: only
        where a proxy in front sets them itself.
    :param rate: how many requests and messages a user may send per second, each pattern to follow
        and each hundred names of feeds being one more; 0: there is no limit.
    :param burst: how many at once.
    :param max_streams: how many streams and sockets a user may have at a time, in this process.
    :param max_waiting: how many answers a user may wait for at a time, in this process.
    :param max_body: how large a body may be, bytes; ``limit_requests`` bounds it for a whole site,
        before it is kept.
    :param challenge: of an answer 401 (RFC 9110 §11.6.1); browsers ask nobody for a password where
        it is no scheme of theirs.
    :param reactor: the global one if not given.
    :raises ValueError: if a limit or an origin is none.
    """

    log = Logger()

    def __init__(
        self,
        may_read: Callable[[Any, str], Any],
        authenticate: Callable[[Request], Any] | None = None,
        origins: Iterable[str] = (),
        *,
        may_follow: Callable[[Any, str], Any] | None = None,
        trust_proxy: bool = False,
        rate: float = 50.0,
        burst: float = 200.0,
        max_streams: int = 100,
        max_waiting: int = 1000,
        max_body: int = 64 * 1024,
        challenge: str = "Bearer",
        reactor: Any = None,
    ) -> None:
        if not callable(may_read):
            raise TypeError(f"may_read is called with a user and a feed: {may_read!r} cannot be")
        if authenticate is not None and not callable(authenticate):
            raise TypeError(f"authenticate is called with a request: {authenticate!r} cannot be")
        if isinstance(origins, str):
            raise TypeError("origins are several: give a list")
        if reactor is None:
            from twisted.internet import reactor
        self.reactor: Any = reactor
        self._may_read = may_read
        self._may_follow = may_follow or _is_narrow
        self._authenticate = authenticate
        self._origins = frozenset(_listed(each) for each in origins)
        self._trust_proxy = trust_proxy
        self._challenge = challenge
        self.allowance = Allowance(rate, burst, self.reactor.seconds)
        self.max_body = max_body
        self.streams = Counts(max_streams)
        self.waiting = Counts(max_waiting)

    # -- who --------------------------------------------------------------------------------

    async def user(self, request: Request) -> Any:
        """Who asks; None if that is not known.

        :raises WebError: if they are refused, or if it cannot be found out.
        """
        if self._authenticate is None:
            return None
        try:
            return await _call(self._authenticate, request)
        except Exception as error:
            refusal = web_error(error)
            if refusal.code == 401:
                refusal.headers.setdefault("WWW-Authenticate", self._challenge)
            raise refusal from None

    user_id = staticmethod(user_id)

    def who(self, user: Any, request: Request | str = "") -> str:
        """Whom a limit is for: the user; of unknown ones, the address.

        Of IPv6 the network is what counts: everybody has 2**64 addresses there.

        :param request: or the address itself, where that is known.
        """
        if user is not None:
            return f"user {user_id(user)}"
        address = request if isinstance(request, str) else self.address(request)
        try:
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return f"address {address}"
        if parsed.version == 6:
            mapped = parsed.ipv4_mapped
            address = str(mapped) if mapped else parsed.exploded[:19]
        return f"address {address}"

    def address(self, request: Request) -> str:
        """Where a request comes from, as far as that is known."""
        forwarded = self._forwarded(request, b"x-forwarded-for")
        if forwarded:
            return forwarded
        return str(getattr(request.getClientAddress(), "host", ""))

    def _forwarded(self, request: Request, name: bytes) -> str:
        """What the nearest proxy says; those before it, and clients, may say anything."""
        if not self._trust_proxy:
            return ""
        lines = request.requestHeaders.getRawHeaders(name, ())
        last: str = lines[-1].decode("latin-1").rpartition(",")[2].strip() if lines else ""
        return last

    async def admit(self, request: Request, cost: float = 1) -> Any:
        """What every request goes through: its origin, its user, the user's rate.

        :returns: the user.
        :raises WebError: if it is refused.
        """
        self.check_origin(request)
        user = await self.user(request)
        wait = self.take(user, cost, request)
        if wait:
            raise too_many(wait)
        return user

    # -- where from -------------------------------------------------------------------------

    def check_origin(self, request: Request) -> None:
        """Refuse pages of other sites; let those of listed ones read the answer.

        Browsers name the page's origin with every WebSocket and every POST, and pages cannot forge
        it (RFC 6455 §10.2, RFC 6454; OWASP's cheat sheets on WebSockets and on CSRF). A request
        without one is not from another site's page: what sends none is no browser, or the page is
        of this site, or ``Sec-Fetch-Site`` says where it is from.

        :raises WebError: 403.
        """
        named = request.requestHeaders.getRawHeaders(b"origin", ())
        if not named:
            site = request.requestHeaders.getRawHeaders(b"sec-fetch-site", (b"",))[0]
            if site.strip().lower() in (b"cross-site", b"same-site"):
                raise WebError(403, "pages of this origin may not ask here")
            return
        origin = _parse(named[0].decode("latin-1")) if len(named) == 1 else None
        if origin is not None:
            if origin == self._own(request):
                return
            if origin in self._origins:
                headers = request.responseHeaders
                headers.setRawHeaders(b"access-control-allow-origin", [named[0].strip()])
                headers.setRawHeaders(b"access-control-allow-credentials", [b"true"])
                exposed = b"ETag, Location, Preference-Applied, Retry-After"
                headers.setRawHeaders(b"access-control-expose-headers", [exposed])
                add_vary(request, b"origin")
                return
        raise WebError(403, "pages of this origin may not ask here")

    def _own(self, request: Request) -> tuple[str, str, int] | None:
        """The origin that this request was sent to."""
        scheme = self._forwarded(request, b"x-forwarded-proto")
        host = self._forwarded(request, b"x-forwarded-host")
        if not host:
            hosts = request.requestHeaders.getRawHeaders(b"host", ())
            host = hosts[0].decode("latin-1") if len(hosts) == 1 else ""
        return _parse(f"{scheme or ('https' if request.isSecure() else 'http')}://{host}")

    # -- what -------------------------------------------------------------------------------

    async def may_read(self, user: Any, feed: str) -> bool:
        """Whether a user may follow a feed.

        :raises WebError: 500, if that cannot be found out; why is logged.
        """
        return await self._may(self._may_read, user, feed)

    async def may_follow(self, user: Any, pattern: str) -> bool:
        """Whether a user may ask for a pattern; else as :meth:`may_read`."""
        return await self._may(self._may_follow, user, pattern)

    async def _may(self, rule: Callable[[Any, str], Any], user: Any, name: str) -> bool:
        try:
            return bool(await _call(rule, user, name))
        except Exception as error:
            refusal = web_error(error)
            if refusal.code < 500:
                return False
            raise refusal from None

    async def check_read(self, user: Any, feed: str) -> None:
        """The same, asked before it is looked whether there is such a feed.

        :raises WebError: 403, if they may not.
        """
        if not await self.may_read(user, feed):
            raise WebError(403, "you may not read this feed")

    # -- how much ---------------------------------------------------------------------------

    def take(self, user: Any, cost: float = 1, request: Request | str = "") -> float:
        """Count something that a user does.

        :param cost: how many things it is.
        :param request: tells unknown users apart, as the address does.
        :returns: 0 if they may; else how many seconds they are to wait.
        """
        return self.allowance.take(self.who(user, request), cost)

    def charge(self, user: Any, patterns: int, names: int, request: Request | str = "") -> None:
        """Count what a user asks for besides the request itself; it is paid off afterwards.

        :param patterns: for each, the names of all feeds are read.
        :param names: feeds and places: a hundred cost as much as a request.
        """
        self.allowance.owe(self.who(user, request), patterns + names // CHEAP)

    def begin_stream(self, user: Any, request: Request | str = "") -> Callable[[], None]:
        """Count a stream or socket.

        :returns: what is to be called when it has ended.
        :raises WebError: 429, if the user has too many.
        """
        end = self.streams.begin(self.who(user, request))
        if end is None:
            raise too_many(30, "too many streams at a time")
        return end

    def begin_wait(self, user: Any, request: Request | str = "") -> Callable[[], None]:
        """Count a wait for an answer; as :meth:`begin_stream`."""
        end = self.waiting.begin(self.who(user, request))
        if end is None:
            raise too_many(1, "too many answers are waited for at a time")
        return end


def _is_narrow(user: Any, pattern: str) -> bool:
    """Whether the first segments of a pattern are spelt out; of those Redis sends no others."""
    return re.match(r"[^*?\[\\]*", pattern)[0].count(":") >= SEGMENTS  # type: ignore[index]  # it may be empty


def _call(hook: Callable[..., Any], *args: Any) -> Deferred[Any]:
    """Call what may be plain, return a Deferred, or be ``async``."""
    return maybeDeferred(hook, *args)


def _parse(origin: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an origin; None if it is none, as ``null`` is."""
    try:
        parts = urlsplit(origin.strip())
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    if parts.path or parts.query or parts.fragment:
        return None
    return parts.scheme, parts.hostname, _PORTS[parts.scheme] if port is None else port


def _listed(origin: str) -> tuple[str, str, int]:
    found = _parse(origin) if isinstance(origin, str) else None
    if found is None or "*" in origin:
        raise ValueError(f"an origin is like 'https://example.org', not {origin!r}")
    return found
