"""What a client needs to know of labels before it sends them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from ...formats.head_fit import Labelled
from ...protocol.limits import MIB
from ...protocol.messages import JSONObject

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
        labelled: What they offer a model; None where that isn't known.
        video_count: Videos with labelled frames; 1 where that isn't known.
    """

    frame_count: int
    skeleton_name: str | None
    size_mb: float
    frame_megapixels: float | None
    labelled: Labelled | None = None
    video_count: int = 1

    @classmethod
    def from_json(cls, found: JSONObject) -> LabelsSummary:
        """Makes it from what the reading process answers."""
        labelled = found["labelled"]
        if labelled is not None:
            labelled = Labelled(**{**labelled, "node_names": tuple(labelled["node_names"])})
        return cls(**{**found, "labelled": labelled})


@attrs.frozen
class VideoPlace:
    """Where a video is that labels point to.

    Attributes:
        files: One file, or the images of a list; None if they are where the labels name them.
        fault: One sentence on why the video can't be used, or None.
        has_frames: Whether any of its frames are certainly in the labels.
        has_user_frames: Whether a person has certainly labelled any of its frames.
    """

    files: tuple[str, ...] | None = None
    fault: str | None = None
    has_frames: bool = False
    has_user_frames: bool = False


def size_mb(path: Path) -> float:
    """Returns a file's size in MiB, as job requests have it."""
    return round(path.stat().st_size / MIB, 3)
