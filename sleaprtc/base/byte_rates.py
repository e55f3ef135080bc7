"""Rates in bytes a second as people write them, such as ``2M``, and as sentences name them."""

from __future__ import annotations

import re
from typing import Final

from ..errors import UsageError

NO_LIMIT: Final = "none"
"""What stands for no limit."""

LEAST_BYTES_PER_SEC: Final = 1024
"""The lowest limit. Below it a worker gives a job's inputs up, since they would never arrive."""

MOST_BYTES_PER_SEC: Final = 2**40
"""Higher than any network's; a larger number is a mistake."""

_UNITS: Final = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_RATE: Final = re.compile(
    r"(\d{1,18}(?:\.\d{1,18})?|\.\d{1,18})([kmg]?)(?:i?b)?(?:/s)?", re.ASCII | re.IGNORECASE
)


def parse_rate(text: str) -> float | None:
    """Reads a limit: bytes a second, or with K, M or G as many times 1024 of them; None if it is ``none``.

    Letters may be small or capital, and ``B`` or ``/s`` may follow, as in ``1.5 MiB/s``.

    Raises:
        UsageError: It is something else, or too low or too high for a limit.
    """
    compact = text.replace(" ", "")
    if compact.lower() == NO_LIMIT:
        return None
    match = _RATE.fullmatch(compact)
    if match is None:
        raise UsageError(f'{text!r} is not a rate; examples are 500K, 2M and 1.5G bytes a second, or "none".')
    bytes_per_sec = float(match[1]) * _UNITS[match[2].lower()]
    if bytes_per_sec < LEAST_BYTES_PER_SEC:
        raise UsageError(f"{text!r} is too low for a limit; the lowest is 1K, which is 1024 bytes a second.")
    if bytes_per_sec > MOST_BYTES_PER_SEC:
        raise UsageError(f'{text!r} is higher than any network\'s rate; "none" is no limit.')
    return bytes_per_sec


def rate_text(bytes_per_sec: float) -> str:
    """Returns a rate for a sentence, such as ``2 MiB/s``."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if bytes_per_sec >= size:
            return f"{bytes_per_sec / size:.4g} {unit}/s"
    return f"{bytes_per_sec:.0f} bytes/s"
