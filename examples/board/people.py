"""Who somebody is: a name, told once, in a signed cookie.

There is no password, as this is a demonstration: whoever says to be Ada is Ada. The signature keeps
a cookie from being made up without the sign-in, no more. It is of one path, ``/as/ada/``, so that
two windows of the same browser may be two people.
"""

from __future__ import annotations

import hmac
import json
import re
import unicodedata
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

__all__ = ["COOKIE", "member_id", "read_cookie", "sign"]

COOKIE = b"board"

#: Characters of a name.
LONGEST = 40


def member_id(name: str) -> str:
    """What a member is called in the names of feeds; "Ada L." is ``ada-l``.

    Names that differ in capitals or accents only are the same one; other alphabets become numbers.
    """
    plain = unicodedata.normalize("NFKD", name).casefold()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    latin = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if not latin or sum(c.isalpha() and not c.isascii() for c in plain):
        return "u-" + plain.encode().hex()[:38]
    return latin[:LONGEST].strip("-")


def clean_name(name: str) -> str:
    """A name as it is shown: one line, not too long."""
    name = "".join(c for c in name if c.isprintable())
    return " ".join(name.split())[:LONGEST]


def sign(secret: bytes, user: Any) -> bytes:
    """A cookie's value for a user.

    :param user: ``{"id": "ada", "name": "Ada"}``
    """
    value = urlsafe_b64encode(json.dumps(user).encode())
    return value + b"." + hmac.new(secret, value, "sha256").hexdigest().encode()


def read_cookie(secret: bytes, cookie: bytes | None) -> Any:
    """The user of a cookie; None if it is not ours."""
    value, _, signature = (cookie or b"").partition(b".")
    expected = hmac.new(secret, value, "sha256").hexdigest().encode()
    if not hmac.compare_digest(signature, expected):
        return None
    return json.loads(urlsafe_b64decode(value))
