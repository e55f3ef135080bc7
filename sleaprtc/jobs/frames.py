"""Parses frame ranges as people write them: ``0-99,120``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

MAX_PARTS: Final = 10_000
MAX_FRAME: Final = 100_000_000
"""Two weeks at 80 frames a second."""

_PART: Final = re.compile(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?", re.ASCII)


def parse_frames(text: str) -> tuple[range, ...]:
    """Parses numbers and ranges, separated by commas. A range includes both ends.

    Raises:
        ValueError: The text is something else; the message is a sentence.
    """
    parts = text.split(",")
    if len(parts) > MAX_PARTS:
        raise ValueError(f"More than {MAX_PARTS} ranges of frames are too many.")
    ranges = []
    for part in parts:
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{part.strip()[:40]!r} isn't a range of frames; write 0-99 or 0-99,120.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last > MAX_FRAME:
            raise ValueError(f"The range of frames {part.strip()} ends before it begins, or too far away.")
        ranges.append(range(first, last + 1))
    return tuple(ranges)


def count_inside(ranges: Sequence[range], frame_count: int) -> int:
    """Returns how many of the wanted frames there are in a recording with ``frame_count`` of them."""
    return sum(max(0, min(wanted.stop, frame_count) - wanted.start) for wanted in ranges)


def outside(ranges: Sequence[range], frame_count: int, name: str) -> str | None:
    """Returns one sentence if some of the wanted frames aren't in a recording, else None."""
    last = max(wanted[-1] for wanted in ranges)
    if last < frame_count:
        return None
    return f"{name} has {frame_count} frames (0 to {frame_count - 1}), and frame {last} was asked for."
