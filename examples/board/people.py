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
from hashlib import sha256
from typing import Any

__all__ = ["COOKIE", "clean_name", "member_id", "read_cookie", "sign"]

COOKIE = b"board"

#: Characters of a name.
LONGEST = 40


def member_id(name: str) -> str:
    """What a member is called in the names of feeds; "Ada L." is ``ada-l``.

    Names that differ in capitals, accents or punctuation only are the same one; other alphabets
    become numbers. What is too long ends in a digest of all of it.
    """
    plain = unicodedata.normalize("NFKD", name).casefold()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    id = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if not id or sum(c.isalpha() and not c.isascii() for c in plain):
        id = "u-" + plain.encode().hex()
    if len(id) > LONGEST:
        id = f"{id[: LONGEST - 13]}-{sha256(plain.encode()).hexdigest()[:12]}"
    return id


def clean_name(name: str) -> str:
    """A name as it is shown: one line, not too long."""
    # The joiner makes one picture of several.
    shown = (c for c in name if c.isprintable() or c.isspace() or c == "\u200d")
    return " ".join("".join(shown).split())[:LONGEST].strip(" \u200d")


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
