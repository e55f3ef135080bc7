"""Strings and numbers that must meet more rules than their JSON type.

A field that is annotated with one of these types is checked when its message is decoded. The alphabets and
limits are those of the protocol reference, "Conventions".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeAlias

import attrs

from .limits import (
    MAX_ID_TOKEN_CHARS,
    MAX_NAME_CHARS,
    MAX_OPAQUE_CHARS,
    MAX_ROOM_WORD_CHARS,
    MAX_UNIX_TIME,
)

_ROOM_WORD: Final = re.compile(rf"[a-z0-9-]{{1,{MAX_ROOM_WORD_CHARS}}}")
_ID_TOKEN: Final = re.compile(rf"[A-Za-z0-9._~+/=-]{{1,{MAX_ID_TOKEN_CHARS}}}")
"""A bearer token as in RFC 6750, section 2.1, since it is sent in an HTTP header."""

_OPAQUE: Final = re.compile(rf"[!-~]{{1,{MAX_OPAQUE_CHARS}}}")

_ICE_URL: Final = re.compile(
    r"(?:stuns?|turns?):(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::(?P<port>[0-9]{1,5}))?"
    r"(?:\?transport=(?:udp|tcp))?"
)


@attrs.frozen
class Rule:
    """A condition on a decoded value.

    Attributes:
        holds: Returns whether a value meets the condition.
        wording: The condition in words, to follow a field's name in a sentence.
    """

    holds: Callable[[Any], bool]
    wording: str


def is_room_word(text: str) -> bool:
    """Whether this can be a room's id or token."""
    return _ROOM_WORD.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether this can be a peer's name or role: it fits on one line, without control characters."""
    return 0 < len(text) <= MAX_NAME_CHARS and not any(
        ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 or 0xD800 <= ord(char) < 0xE000 for char in text
    )


def is_id_token(text: str) -> bool:
    """Whether this can be sent as a bearer token."""
    return _ID_TOKEN.fullmatch(text) is not None


def is_time(seconds: float) -> bool:
    """Whether Unix epoch seconds can be shown as a date in every time zone."""
    return 0 <= seconds <= MAX_UNIX_TIME


def is_ice_url(url: str) -> bool:
    """Whether this is the address of a STUN or TURN server (RFC 7064, RFC 7065)."""
    found = _ICE_URL.fullmatch(url)
    return found is not None and (found["port"] is None or 0 < int(found["port"]) < 2**16)


ROOM_WORD_FORM: Final = f"1 to {MAX_ROOM_WORD_CHARS} lower-case letters, digits and hyphens"

RoomWord: TypeAlias = Annotated[str, Rule(is_room_word, f"must be {ROOM_WORD_FORM}")]
"""A room's id or token."""

Name: TypeAlias = Annotated[
    str, Rule(is_name, f"must be 1 to {MAX_NAME_CHARS} characters without control characters")
]
"""The name of a peer, a role or an account, or another short text on one line."""

EpochSec: TypeAlias = Annotated[float, Rule(is_time, "must be a time from 1970 to 9999, in seconds")]

IdToken: TypeAlias = Annotated[str, Rule(is_id_token, "must be a bearer token as in RFC 6750")]

Opaque: TypeAlias = Annotated[
    str,
    Rule(
        lambda text: _OPAQUE.fullmatch(text) is not None,
        f"must be 1 to {MAX_OPAQUE_CHARS} visible ASCII characters",
    ),
]
"""A string that is only handed back to whoever made it, such as a resume token."""


def is_credential(text: str) -> bool:
    """Whether this can be a TURN server's user name or password."""
    return len(text) <= MAX_OPAQUE_CHARS and text.isprintable()
