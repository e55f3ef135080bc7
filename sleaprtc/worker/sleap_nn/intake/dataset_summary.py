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
        channels: 1 for grey images, 3 for colour; of the video that has most.
        max_instance_px: Longer side of the largest animal's bounding box, in pixels.
        least_channels: The same of the video that has least.
    """

    frame_count: int
    max_instances: int
    node_names: tuple[str, ...]
    edge_count: int
    height: int
    width: int
    channels: int
    max_instance_px: float
    least_channels: int

    @property
    def mixes_channels(self) -> bool:
        """Whether some images are grey and others have colour."""
        return self.least_channels != self.channels

    def together_with(self, other: DatasetSummary | None) -> DatasetSummary:
        """Returns the same with the channels of images that the model must take, too."""
        if other is None:
            return self
        return attrs.evolve(
            self,
            channels=max(self.channels, other.channels),
            least_channels=min(self.least_channels, other.least_channels),
        )
