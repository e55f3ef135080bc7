"""Checks file names from the other side, and makes its texts fit to be shown."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath
from typing import Final

from ..errors import InvalidFileNameError

MAX_NAME_BYTES: Final = 255
"""``NAME_MAX`` of the usual file systems, in bytes of UTF-8."""

MAX_PLAIN_BYTES: Final = 180
MAX_SUFFIX_BYTES: Final = 40
"""Of names that are made plain: others are made from them, with other suffixes."""

RESERVED_PREFIX: Final = ".sleap-rtc-"
"""Names of files being received begin with this, so no received name may."""

SETTINGS_NAME: Final = "sleap-rtc.toml"
"""Refused, because a received file belongs to the user, whose settings can name a server or a program."""

MAX_SHOWN_CHARS: Final = 500

_DEVICE = re.compile(r"(con|prn|aux|nul|clock\$|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])[ ]*(\..*)?", re.I)
_SEPARATORS: Final = frozenset("/\\:")
_NOT_PLAIN: Final = frozenset('/\\:*?"<>|')
"""Windows allows none of them in a name."""

_JOINERS: Final = frozenset("\u200c\u200d")  # part of ordinary words in Persian and Hindi, and of emoji
_FORBIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def _fault(name: str) -> str | None:
    if not name:
        return "is empty"
    if _SEPARATORS & set(name):
        return "has a path separator in it"
    if any(map(_is_forbidden, name)):
        return "has a control character in it"
    if name[-1] in ". ":
        return "ends with a dot or a space"
    if _DEVICE.fullmatch(name):
        return "is the name of a device"
    if name.startswith(RESERVED_PREFIX):
        return "is reserved for files under way"
    if _as_lenient_disks_have_it(name) == SETTINGS_NAME:
        return "is reserved for this program's settings"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    return None


def _is_forbidden(char: str) -> bool:
    return unicodedata.category(char) in _FORBIDDEN_CATEGORIES and char not in _JOINERS


def _as_lenient_disks_have_it(name: str) -> str:
    return "".join(char for char in name if char not in _JOINERS).casefold()


def checked_name(name: str) -> str:
    """Returns ``name`` in Unicode's composed form (NFC) if it's a single, plain path component.

    Raises:
        InvalidFileNameError: It contains separators or control characters, is a device name, ends with a
            dot or space (as ``..`` does), or is empty, reserved or too long.
    """
    composed = unicodedata.normalize("NFC", name)
    fault = _fault(composed)
    if fault is not None:
        raise InvalidFileNameError(f"The file name {name[:80]!a} {fault}.")
    return composed


def plain_name(name: str) -> str:
    """Returns the name under which to send a file: its own, unless that isn't plain or is too long.

    The result passes :func:`checked_name` and has at most :data:`MAX_PLAIN_BYTES`, so that the other side can
    name other files after it. Its suffixes stay.
    """
    composed = unicodedata.normalize("NFC", name)
    if _fault(composed) is None and len(composed.encode()) <= MAX_PLAIN_BYTES:
        return composed
    plain = "".join("_" if char in _NOT_PLAIN or _is_forbidden(char) else char for char in composed)
    plain = shortened(plain.rstrip(". "), MAX_PLAIN_BYTES).rstrip(". ") or "_file"
    return plain if _fault(plain) is None else shortened(f"_{plain}", MAX_PLAIN_BYTES).rstrip(". ")


def shortened(name: str, max_bytes: int) -> str:
    """Returns a name of at most ``max_bytes`` in UTF-8, cut before its suffixes, such as ``.pkg.slp``."""
    if len(name.encode(errors="replace")) <= max_bytes:
        return name
    suffix = "".join(PurePosixPath(name).suffixes[-2:])
    suffix = suffix if len(suffix.encode(errors="replace")) <= min(MAX_SUFFIX_BYTES, max_bytes // 2) else ""
    stem = name.removesuffix(suffix)
    while stem and len(f"{stem}{suffix}".encode(errors="replace")) > max_bytes:
        stem = stem[:-1]
    return f"{stem}{suffix}"


def printable(text: str) -> str:
    """Returns the other side's text without control characters, cut off at :data:`MAX_SHOWN_CHARS`."""
    return "".join(char if char.isprintable() else " " for char in text[:MAX_SHOWN_CHARS])
