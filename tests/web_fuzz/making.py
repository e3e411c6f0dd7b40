"""Makes garbage that is nearly right."""

from __future__ import annotations

import json
import os
import random
import struct
from typing import Any

__all__ = ["Maker"]

#: Parts of what would be right.
WORDS = (
    *("action", "payload", "id", "revisions", "can", "subscribe", "unsubscribe", "feeds", "ref"),
    *("patterns", "ping", "ship", "user", "code", "type", "", "\x00", "a" * 300, "ä", "\ud800"),
    *("__proto__", "../..", "team:1:*", "*", "[", "[^", "\\", "1e999", "nan", "\u202e"),
)
NUMBERS = (0, -1, 1, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**30, 1e308, 0.1, -0.0)
TEXTS = (
    *(b"", b" ", b"null", b"{", b"}", b"[", b'"', b"nan", b"{}{}", b'{"a":1,"a":2}', b'{"a":}'),
    *(b'"\\ud800"', b'{"ref":"\\ud800"}', b"1e999", b"-", b"\xef\xbb\xbf{}", b'{"a":"\x00"}'),
    *(b"[" * 5000, b'{"a":' * 3000, b"[" * 200 + b"]" * 200, b"9" * 4400, b'"' + b"\\u0000" * 900),
    *(
        b'{"id":"\\ud800"}',
        b'{"payload":{"\\udfff":1}}',
        b'{"action":"ping","id":"\\ud800","ref":1}',
    ),
)


class Maker:
    """Makes garbage, the same for the same seed.

    :param seed: of the random numbers.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self, depth: int = 0) -> Any:
        """Some JSON value, of words that mean something."""
        pick = self.random.random()
        if depth > 4 or pick < 0.35:
            return self.random.choice(WORDS)
        if pick < 0.45:
            return self.random.choice(NUMBERS)
        if pick < 0.55:
            return self.random.choice((None, True, False))
        if pick < 0.7:
            return [self.value(depth + 1) for _ in range(self.random.randrange(5))]
        count = self.random.randrange(6)
        return {self.random.choice(WORDS): self.value(depth + 1) for _ in range(count)}

    def broken(self, data: bytes) -> bytes:
        """The same with some of it changed, cut off, or doubled."""
        changed = bytearray(data)
        for _ in range(self.random.randrange(1, 4)):
            at = self.random.randrange(len(changed) + 1)
            what = self.random.randrange(4)
            if what == 0:
                changed[at : at + 1] = bytes([self.random.randrange(256)])
            elif what == 1:
                del changed[at : at + self.random.randrange(1, 20)]
            elif what == 2:
                changed[at:at] = changed[: self.random.randrange(1, 40)]
            else:
                changed[at:at] = os.urandom(self.random.randrange(1, 9))
        return bytes(changed)

    def body(self) -> bytes:
        """A body of a POST, or the text of a message."""
        pick = self.random.random()
        if pick < 0.15:
            return self.random.randbytes(self.random.randrange(200))
        if pick < 0.35:
            return self.random.choice(TEXTS)
        if pick > 0.9:
            return b'{"payload":{},"id":"%d"}' % self.random.randrange(100)
        value = self.value()
        if self.random.random() < 0.5:
            value = {self.random.choice(WORDS[:9]): value, self.random.choice(WORDS[:9]): 1}
        data = json.dumps(value, ensure_ascii=self.random.random() < 0.5)
        encoded = data.encode("utf-8", "surrogatepass")
        return self.broken(encoded) if pick < 0.6 else encoded

    def path(self) -> bytes:
        """A path of something that is there, or nearly."""
        names = (
            b"ping",
            b"ship",
            b"%00",
            b"%ff",
            b"x" * 1100,
            b"",
            b"..",
            b"%2e%2e%2f",
            b"a%0d%0ab",
        )
        name, other = self.random.choice(names), self.random.choice(names)
        if self.random.random() < 0.4:
            return self.random.choice((b"/live/actions/ping", b"/live/actions/ship", b"/live/can"))
        return self.random.choice(
            (
                b"/live/actions/" + name,
                b"/live/actions/" + name + b"/" + other,
                b"/live/can",
                b"/live/feeds/" + name,
                b"/live/stream?feed=" + name + b"&pattern=" + other,
                b"/live/stream?" + name,
                b"/live/socket",
                b"/live/" + name,
                b"/" + name,
                b"//live//can",
                b"http://elsewhere/live/can",
                b"*",
            )
        )

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers, sometimes wrong ones."""
        known = (
            (b"Content-Type", b"application/json"),
            (b"Content-Type", b"text/plain"),
            (b"Content-Encoding", b"gzip"),
            (b"Accept-Encoding", b"gzip;q=0.5,*;q=x"),
            (b"Prefer", b"wait=1"),
            (b"Prefer", b"wait=99999999999999"),
            (b"If-None-Match", b'W/"a", *, "'),
            (b"Origin", b"null"),
            (b"Origin", b"http://[::1"),
            (b"Origin", b"http://a"),
            (b"Last-Event-ID", b"1-1-1"),
            (b"Last-Event-ID", b"m" + b"A" * 500),
            (b"Authorization", b"\xff\x00"),
            (b"Cookie", b"=;=;;\xff"),
            (b"X-Forwarded-For", b"::::, 1.2.3"),
            (b"Sec-Fetch-Site", b"cross-site"),
            (b"Expect", b"100-continue"),
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Version", b"12"),
            (b"Sec-WebSocket-Key", b"x"),
            (b"Sec-WebSocket-Extensions", b"\xff;;permessage-deflate;a=b"),
            (b"Sec-WebSocket-Protocol", b",,\xff"),
            (b"Range", b"bytes=0-"),
            (b"TE", b"chunked"),
        )
        picked = self.random.sample(known, self.random.randrange(6))
        if self.random.random() < 0.4:
            picked = []
        if self.random.random() < 0.8:
            picked.append((b"Content-Type", b"application/json"))
        return picked

    def request(self) -> bytes:
        """A whole request; the connection is to be closed after it."""
        method = self.random.choice((b"POST", b"POST", b"GET", b"HEAD", b"OPTIONS", b"PUT", b"X"))
        lines = [method + b" " + self.path() + b" HTTP/1.1", b"Host: a", b"Connection: close"]
        lines += [name + b": " + value for name, value in self.headers()]
        body = b"" if method in (b"GET", b"HEAD") else self.body()
        if body and self.random.random() < 0.2:
            lines.append(b"Transfer-Encoding: chunked")
            half = len(body) // 2
            parts = [part for part in (body[:half], body[half:]) if part]
            body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        elif body:
            lines.append(b"Content-Length: %d" % len(body))
        data = b"\r\n".join([*lines, b"", b""]) + body
        return self.broken(data) if self.random.random() < 0.15 else data

    def frame(self) -> bytes:
        """A frame of a WebSocket, often a wrong one."""
        pick = self.random.random()
        if pick < 0.1:
            return self.random.randbytes(self.random.randrange(1, 60))
        opcode = self.random.choice((1, 1, 1, 1, 0, 2, 8, 9, 10, 3, 11, 15))
        payload = self.body()
        if opcode >= 8 and self.random.random() < 0.8:
            payload = payload[:125]
        if opcode == 8 and self.random.random() < 0.5:
            payload = struct.pack(">H", self.random.choice((1000, 1005, 999, 5000))) + payload[:50]
        final = self.random.random() < 0.85
        reserved = self.random.choice((0,) * 12 + (1, 4, 7))
        length = len(payload)
        if self.random.random() < 0.03:
            length = self.random.choice((2**20, 2**31, 2**62, 2**63))
        masked = self.random.random() < 0.97
        head = bytes([final << 7 | reserved << 4 | opcode])
        if length < 126:
            head += bytes([masked << 7 | length])
        elif length < 2**16:
            head += bytes([masked << 7 | 126]) + struct.pack(">H", length)
        else:
            head += bytes([masked << 7 | 127]) + struct.pack(">Q", length)
        if not masked:
            return head + payload
        mask = self.random.randbytes(4)
        long = (mask * (len(payload) // 4 + 1))[: len(payload)]
        mixed = bytes(a ^ b for a, b in zip(payload, long, strict=True))
        return head + mask + mixed
