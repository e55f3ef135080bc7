"""What is known of a dataset when settings are chosen and checked."""

from __future__ import annotations

import attrs


@attrs.frozen
class DatasetSummary:
    """A dataset in numbers.

    Only frames with a visible point set by a person count: predictions aren't trained on.

    Attributes:
        frame_count: Labelled frames.
        max_instances: Most labelled animals in one frame.
        node_names: Of the skeleton, in its order.
        edge_count: Of the skeleton.
        height: Of the largest image, in pixels.
        width: Of the largest image, in pixels.
        channels: 1 for grey images, 3 for colour.
        max_instance_px: Longer side of the largest animal's bounding box, in pixels.
    """

    frame_count: int
    max_instances: int
    node_names: tuple[str, ...]
    edge_count: int
    height: int
    width: int
    channels: int
    max_instance_px: float
