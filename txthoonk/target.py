"""Where Redis is: URLs, endpoint strings, endpoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from twisted.internet.interfaces import IStreamClientEndpoint

__all__ = ["EMBEDDED", "Target"]

#: The target that starts a server of our own.
EMBEDDED = "embedded:"

_QUERY = frozenset({"db", "password", "username", "ssl_ca_certs"})


@dataclass(frozen=True)
class Target:
    """A server, and who we are there.

    :ivar db: database, or None for 0.
    :ivar username: of an ACL user, or None.
    :ivar password: or None.
    """

    place: Any
    db: int | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_certs: str | None = None

    @classmethod
    def parse(cls, target: Any) -> Target:
        """Read a target as users give it.

        :param target: ``redis://[user:password@]host[:port][/db]``, ``rediss://`` for TLS,
            ``redis+unix:///path?db=0``, an endpoint string such as ``tcp:localhost:6379``, or
            an ``IStreamClientEndpoint``.
        :raises ValueError: if it is none of these; the message has no password.
        """
        if IStreamClientEndpoint.providedBy(target):
            return cls(target)
        if not isinstance(target, str) or not target:
            raise ValueError(f"a target is a URL, an endpoint string or an endpoint: {target!r}")
        if "://" not in target:
            return cls(target)
        try:
            url = urlsplit(target)
        except ValueError:  # its message may have the password
            raise ValueError("this URL cannot be read; are there characters to escape?") from None
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        shown = f"{url.scheme}://{url.hostname or url.path}"
        if unknown := query.keys() - _QUERY:
            raise ValueError(f"{shown}: no such parameter: {', '.join(sorted(unknown))}")
        username = unquote(url.username) if url.username else query.get("username")
        password = unquote(url.password) if url.password else query.get("password")
        if url.scheme in ("redis", "rediss"):
            try:
                port = url.port or 6379
            except ValueError:
                raise ValueError(f"{shown}: the port is no number") from None
            place: Any = (url.scheme, url.hostname or "localhost", port)
            database = url.path.strip("/") or query.get("db")
        elif url.scheme in ("redis+unix", "unix"):
            if not url.path:
                raise ValueError(f"{shown}: a socket's path follows, as in redis+unix:///run/redis")
            place = ("unix", unquote(url.path), 0)
            database = query.get("db")
        else:
            raise ValueError(
                f"{url.scheme}:// is no way to Redis; redis://, rediss:// and redis+unix:// are"
            )
        if database is not None and not database.isdecimal():
            raise ValueError(f"{shown}: what follows the host is a database, a number")
        db = None if database is None else int(database)
        return cls(place, db, username, password, query.get("ssl_ca_certs"))

    def endpoint(self, reactor: Any, timeout: float = 5.0) -> IStreamClientEndpoint:
        """What connects there.

        :param timeout: seconds that one attempt may take; an endpoint has its own.
        :raises ValueError: if an endpoint string cannot be read.
        """
        from twisted.internet import endpoints

        if isinstance(self.place, str):
            try:
                parsed: IStreamClientEndpoint = endpoints.clientFromString(reactor, self.place)
            except (TypeError, ValueError) as error:
                raise ValueError(f"no URL, nor an endpoint: {self.place!r} ({error})") from None
            return parsed
        if not isinstance(self.place, tuple):
            given: IStreamClientEndpoint = self.place
            return given
        scheme, host, port = self.place
        if scheme == "unix":
            return endpoints.UNIXClientEndpoint(reactor, host, timeout)
        plain = endpoints.HostnameEndpoint(reactor, host, port, timeout)
        return plain if scheme == "redis" else self._tls(plain, host)

    def _tls(self, plain: IStreamClientEndpoint, host: str) -> IStreamClientEndpoint:
        try:
            from twisted.internet import endpoints, ssl
        except ImportError:
            raise ValueError("rediss:// needs TLS: pip install 'txthoonk[tls]'") from None
        root = None
        if self.ca_certs is not None:
            with open(self.ca_certs, "rb") as file:
                root = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(file.read())])
        options = ssl.optionsForClientTLS(host, trustRoot=root)
        wrapped: IStreamClientEndpoint = endpoints.wrapClientTLS(options, plain)
        return wrapped
