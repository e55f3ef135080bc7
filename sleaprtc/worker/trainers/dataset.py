"""What a received ``.slp`` holds, read without sleap-io and without trusting it.

The file comes from a stranger and is parsed by a C library, so :func:`inspect_dataset` reads it in a
process of its own that may crash, hang or run out of memory without harm. The layout read here is
SLEAP's (https://io.sleap.ai/latest/formats/#sleap): tables of frames, instances and points, with the
skeleton as JSON, and one group of encoded images for each embedded video.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs
import h5py
import numpy as np
import trio

from ...documents import format_json, parse_json
from ...errors import InvalidDatasetError
from ...sentences import as_clause
from ...transfer.hdf5_links import outside_reference

T = TypeVar("T")

INSPECTION_TIMEOUT_SEC: Final = 60.0
"""A dataset of 100,000 frames takes under two seconds."""

MAX_ADDRESS_SPACE_BYTES: Final = 8 * 2**30
MAX_TABLE_ROWS: Final = 50_000_000
MAX_METADATA_BYTES: Final = 64 * 2**20
USER_INSTANCE: Final = 0
"""SLEAP's ``instance_type`` of what a person labelled; 1 is a prediction."""

EDGE: Final = 1
"""SLEAP's ``EdgeType.BODY``; 2 is a symmetry."""


@attrs.frozen
class DatasetSummary:
    """What choosing and checking settings needs to know of a dataset.

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


async def inspect_dataset(path: Path) -> DatasetSummary:
    """Reads a dataset's summary in a process of its own.

    Raises:
        InvalidDatasetError: The file isn't a readable SLEAP dataset, has nothing labelled, or refers
            to images outside itself.
    """
    answer = await _ask_reader("summary", path)
    return DatasetSummary(**{**answer, "node_names": tuple(answer["node_names"])})


async def inspect_images(path: Path) -> int:
    """Makes sure, in a process of its own, that a dataset has its images; returns its number of frames.

    Raises:
        InvalidDatasetError: The file isn't a readable SLEAP dataset, has no frames, or refers to images
            outside itself.
    """
    return int((await _ask_reader("images", path))["frame_count"])


async def _ask_reader(question: str, path: Path) -> dict[str, Any]:
    unreadable = f"{path.name} can't be read as a SLEAP dataset."
    with trio.move_on_after(INSPECTION_TIMEOUT_SEC):
        done = await trio.run_process(
            [sys.executable, "-m", __name__, question, str(path)],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        try:
            answer: dict[str, Any] = parse_json(done.stdout)
        except ValueError as error:
            raise InvalidDatasetError(unreadable) from error
        if "error" in answer:
            raise InvalidDatasetError(answer["error"])
        return answer
    raise InvalidDatasetError(f"{path.name} took longer than a minute to read, and was given up.")


def read_summary(path: Path) -> DatasetSummary:
    """Reads a dataset's summary in this process.

    Raises:
        InvalidDatasetError: As with :func:`inspect_dataset`.
    """
    return _read(path, _summarize)


def read_frame_count(path: Path) -> int:
    """Does in this process what :func:`inspect_images` does in its own.

    Raises:
        InvalidDatasetError: As there.
    """
    return _read(path, _count_frames)


def _read(path: Path, look: Callable[[h5py.File, str], T]) -> T:
    try:
        with h5py.File(path, "r") as file:
            fault = outside_reference(file)
            if fault is not None:
                raise InvalidDatasetError(f"{path.name} {fault}")
            return look(file, path.name)
    except (OSError, KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
        raise InvalidDatasetError(
            f"{path.name} can't be read as a SLEAP dataset ({as_clause(error)})."
        ) from error


def _summarize(file: h5py.File, name: str) -> DatasetSummary:
    node_names, edge_count = _read_skeleton(file, name)
    instances = _read_table(file, "instances")
    points = _read_table(file, "points")
    boxes = _bounding_box_sides(instances, points)
    labelled = instances["frame_id"][~np.isnan(boxes)]
    if labelled.size == 0:
        raise InvalidDatasetError(
            f"{name} has no frame labelled by a person: there's nothing to train on."
            if instances.size == 0 or not np.any(instances["instance_type"] == USER_INSTANCE)
            else f"{name} has labelled animals, but none with a visible point."
        )
    if np.any(instances["skeleton"][~np.isnan(boxes)] != 0):
        raise InvalidDatasetError(f"{name} uses several skeletons; training needs a single one.")
    _, per_frame = np.unique(labelled, return_counts=True)
    height, width, channels = _read_image_shape(file, name)
    return DatasetSummary(
        frame_count=int(per_frame.size),
        max_instances=int(per_frame.max()),
        node_names=node_names,
        edge_count=edge_count,
        height=height,
        width=width,
        channels=channels,
        max_instance_px=float(np.nanmax(boxes)),
    )


def _count_frames(file: h5py.File, name: str) -> int:
    _read_image_shape(file, name)
    frame_count = len(file["frames"])
    if not frame_count:
        raise InvalidDatasetError(f"{name} has no labelled frames, and so none to predict on.")
    return frame_count


def _bounding_box_sides(instances: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The longer side of each instance's visible points; NaN for predictions and empty instances."""
    sides = np.full(instances.shape, np.nan)
    for number in np.flatnonzero(instances["instance_type"] == USER_INSTANCE):
        rows = points[int(instances["point_id_start"][number]) : int(instances["point_id_end"][number])]
        x, y = rows["x"][rows["visible"]], rows["y"][rows["visible"]]
        x, y = x[np.isfinite(x)], y[np.isfinite(y)]
        if x.size and y.size:
            sides[number] = max(np.ptp(x), np.ptp(y))
    return sides


def _read_table(file: h5py.File, name: str) -> np.ndarray:
    table = file[name]
    if table.size > MAX_TABLE_ROWS:
        raise ValueError(f"table {name} has more than {MAX_TABLE_ROWS} rows")
    rows: np.ndarray = table[:]
    return rows


def _read_skeleton(file: h5py.File, name: str) -> tuple[tuple[str, ...], int]:
    """Names of the first skeleton's nodes, which is the one sleap-nn trains, and its number of edges."""
    metadata = _parse_json(file["metadata"].attrs["json"])
    skeletons = metadata["skeletons"]
    if not skeletons or not skeletons[0]["nodes"]:
        raise InvalidDatasetError(f"{name} has no skeleton with nodes: there's nothing to train on.")
    all_names = [node["name"] for node in metadata["nodes"]]
    names = tuple(str(all_names[int(node["id"])]) for node in skeletons[0]["nodes"])
    return names, _count_edges(skeletons[0]["links"])


def _count_edges(links: Sequence[Mapping[str, Any]]) -> int:
    """Symmetries are kept among the edges, as type 2; a type is spelled out once, then referred to."""
    spelled_out: list[int] = []
    count = 0
    for link in links:
        kind = link.get("type", {})
        if "py/reduce" in kind:
            spelled_out.append(kind["py/reduce"][1]["py/tuple"][0])
            value = spelled_out[-1]
        else:
            position = int(kind.get("py/id", 1)) - 1
            value = spelled_out[position] if position < len(spelled_out) else EDGE
        count += value == EDGE
    return count


def _read_image_shape(file: h5py.File, name: str) -> tuple[int, int, int]:
    shapes = []
    for video in (_parse_json(row) for row in file["videos_json"][:]):
        images = file[_embedded_images(video, name)]
        # a video without embedded frames has nothing to say of their size
        if images.shape[0]:
            shapes.append(_image_shape(images, video["backend"]))
    if not shapes:
        raise InvalidDatasetError(f"{name} has no images: save it as a package with embedded images.")
    heights, widths, channels = zip(*shapes, strict=True)
    return max(heights), max(widths), max(channels)


def _embedded_images(video: Mapping[str, Any], name: str) -> str:
    """Where a video's embedded images are; refuses a video that lies elsewhere."""
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


def _parse_json(text: Any) -> Any:
    if isinstance(text, np.ndarray):
        text = text.item()
    if len(text) > MAX_METADATA_BYTES:
        raise ValueError("a description in it is too large")
    return parse_json(text)


def _limit_memory() -> None:
    if sys.platform.startswith("linux"):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE_BYTES, MAX_ADDRESS_SPACE_BYTES))


def main(arguments: Sequence[str]) -> None:
    """Prints what is asked about a dataset, or what is wrong with it, as one JSON object."""
    _limit_memory()
    try:
        question, path = arguments[0], Path(arguments[1])
        if question == "images":
            print(json.dumps({"frame_count": read_frame_count(path)}))
        else:
            print(json.dumps(attrs.asdict(read_summary(path))))
    except InvalidDatasetError as error:
        print(format_json({"error": str(error)}))


if __name__ == "__main__":
    main(sys.argv[1:])
