"""Reads what a received ``.slp`` holds, without sleap-io and without trusting it.

Run as a process of its own by :mod:`.dataset`. The layout read here is SLEAP's
(https://io.sleap.ai/latest/formats/#sleap): tables of frames, instances and points, the skeleton as JSON, and
one group of encoded images for each embedded video.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs
import h5py
import numpy as np

from ....errors import InvalidDatasetError
from ....formats.child_main import answer
from ....formats.hdf5 import open_hdf5, read_json_attribute, read_json_list, read_table, row_count
from ....formats.labels_tables import USER_INSTANCE, bounding_box_sides, read_skeleton
from .dataset_summary import DatasetSummary

T = TypeVar("T")

AS_WHAT: Final = "a SLEAP dataset"
MAX_SIDE_PX: Final = 100_000
MAX_CHANNELS: Final = 16
"""A dataset that claims more is broken."""


def read_summary(path: Path) -> DatasetSummary:
    """Reads a dataset's summary in this process.

    Raises:
        InvalidDatasetError: As with :func:`~.dataset.inspect_dataset`.
    """
    return _read(path, _summarize)


def read_frame_count(path: Path) -> int:
    """Does in this process what :func:`~.dataset.inspect_images` does in a separate one.

    Raises:
        InvalidDatasetError: As there.
    """
    return _read(path, _count_frames)


def _read(path: Path, look: Callable[[h5py.File, str], T]) -> T:
    with open_hdf5(path, InvalidDatasetError, as_what=AS_WHAT) as file:
        return look(file, path.name)


def _summarize(file: h5py.File, name: str) -> DatasetSummary:
    instances = read_table(file, "instances")
    points = read_table(file, "points")
    boxes = bounding_box_sides(instances, points)
    labelled = instances["frame_id"][~np.isnan(boxes)]
    if labelled.size == 0:
        raise InvalidDatasetError(
            f"{name} has no frame labelled by a person: there's nothing to train on."
            if instances.size == 0 or not np.any(instances["instance_type"] == USER_INSTANCE)
            else f"{name} has labelled animals, but none with a visible point."
        )
    used = np.unique(instances["skeleton"][~np.isnan(boxes)])
    if used.size > 1:
        raise InvalidDatasetError(f"{name} uses several skeletons; training needs a single one.")
    node_names, edge_count = read_skeleton(file, name, int(used[0]))
    _, per_frame = np.unique(labelled, return_counts=True)
    height, width, channels, least_channels = _read_image_shape(file, name)
    return DatasetSummary(
        frame_count=int(per_frame.size),
        max_instances=int(per_frame.max()),
        node_names=node_names,
        edge_count=edge_count,
        height=height,
        width=width,
        channels=channels,
        least_channels=least_channels,
        max_instance_px=float(np.nanmax(boxes)),
    )


def _count_frames(file: h5py.File, name: str) -> int:
    _read_image_shape(file, name)
    frame_count = row_count(file, "frames")
    if not frame_count:
        raise InvalidDatasetError(f"{name} has no labelled frames, so there is nothing to predict on.")
    return frame_count


def _count_predicted_frames(file: h5py.File, name: str) -> int:
    read_json_attribute(file, "metadata", "json")
    return row_count(file, "frames")


def _read_image_shape(file: h5py.File, name: str) -> tuple[int, int, int, int]:
    """Height and width of the largest images, and the most and the least channels."""
    shapes = []
    for video in read_json_list(file, "videos_json"):
        images = file[_embedded_images(video, name)]
        # a video without embedded frames has nothing to say of their size
        if images.shape[0]:
            shapes.append(_image_shape(images, video["backend"]))
    if not shapes:
        raise InvalidDatasetError(f"{name} has no images: save it as a package with embedded images.")
    heights, widths, channels = zip(*shapes, strict=True)
    shape = max(heights), max(widths), max(channels)
    is_size = min(*heights, *widths, *channels) > 0 and max(shape[:2]) <= MAX_SIDE_PX
    if not is_size or shape[2] > MAX_CHANNELS:
        raise ValueError(f"its images can't have a size of {' by '.join(map(str, shape))}"[:120])
    return *shape, min(channels)


def _embedded_images(video: Mapping[str, Any], name: str) -> str:
    """Returns where a video's embedded images are; refuses a video outside of the file."""
    backend = video["backend"]
    location = backend.get("filename", video.get("filename"))
    if location != "." or "filenames" in backend or "dataset" not in backend:
        shown = str(location).replace("\\", "/").rsplit("/", 1)[-1][:80]
        raise InvalidDatasetError(
            f"{name} refers to the video {shown!r} outside of itself: save it as a package (.pkg.slp) "
            "with embedded images."
        )
    return str(backend["dataset"])


def _image_shape(images: h5py.Dataset, backend: Mapping[str, Any]) -> tuple[int, int, int]:
    attributes = images.attrs
    if "height" in attributes and "width" in attributes:
        return int(attributes["height"]), int(attributes["width"]), int(attributes.get("channels", 1))
    if images.ndim == 4:  # raw frames rather than encoded ones
        return int(images.shape[1]), int(images.shape[2]), int(images.shape[3])
    _, height, width, channels = backend["shape"]
    return int(height), int(width), int(channels)


_QUESTIONS: Final[Mapping[str, Callable[[Path], dict[str, Any]]]] = {
    "summary": lambda path: attrs.asdict(read_summary(path)),
    "images": lambda path: {"frame_count": read_frame_count(path)},
    "predictions": lambda path: {"frame_count": _read(path, _count_predicted_frames)},
}


def main(arguments: Sequence[str]) -> None:
    """Prints the answer to a question about a dataset, or what is wrong with it, as one JSON object."""
    question, path = arguments[0], Path(arguments[1])
    answer(lambda: _QUESTIONS[question](path))


if __name__ == "__main__":
    main(sys.argv[1:])
