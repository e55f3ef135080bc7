"""Checks file names from the other side, and makes its texts fit to be shown."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from ..errors import InvalidFileNameError

MAX_NAME_BYTES: Final = 255
"""``NAME_MAX`` of the usual file systems, in bytes of UTF-8."""

RESERVED_PREFIX: Final = ".sleap-rtc-"
"""Names of files being received begin with this, so no received name may."""

SETTINGS_NAME: Final = "sleap-rtc.toml"
"""Refused, because a received file belongs to the user, whose settings can name a server or a program."""

MAX_SHOWN_CHARS: Final = 500

_DEVICE = re.compile(r"(con|prn|aux|nul|clock\$|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])[ ]*(\..*)?", re.I)
_SEPARATORS: Final = frozenset("/\\:")
_JOINERS: Final = frozenset("\u200c\u200d")  # part of ordinary words in Persian and Hindi, and of emoji
_FORBIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def _fault(name: str) -> str | None:
    if not name:
        return "is empty"
    if _SEPARATORS & set(name):
        return "has a path separator in it"
    if any(unicodedata.category(char) in _FORBIDDEN_CATEGORIES and char not in _JOINERS for char in name):
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


def printable(text: str) -> str:
    """Returns the other side's text without control characters, cut off at :data:`MAX_SHOWN_CHARS`."""
    return "".join(char if char.isprintable() else " " for char in text[:MAX_SHOWN_CHARS])
