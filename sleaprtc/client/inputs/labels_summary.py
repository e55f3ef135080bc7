"""What a client needs to know of labels before it sends them."""

from __future__ import annotations

import attrs


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
