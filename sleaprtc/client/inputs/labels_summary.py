"""What a client needs to know of labels before it sends them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from ...protocol.limits import MIB

AS_LABELS: Final = "SLEAP labels"
"""What a file is read as, for messages."""


@attrs.frozen
class LabelsSummary:
    """Labels that hold their own images.

    Attributes:
        frame_count: Labelled frames.
        skeleton_name: Of the first skeleton, if it has a name.
        size_mb: Of the file, in MiB.
        frame_megapixels: Of one image of the first video, in millions; None where that isn't known.
    """

    frame_count: int
    skeleton_name: str | None
    size_mb: float
    frame_megapixels: float | None


def size_mb(path: Path) -> float:
    """Returns a file's size in MiB, as job requests have it."""
    return round(path.stat().st_size / MIB, 3)
