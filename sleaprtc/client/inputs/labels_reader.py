"""Reads labels on the client. Run as a process of its own by :mod:`.packing`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
import h5py
import numpy as np

from ...errors import InvalidDatasetError
from ...formats.child_main import answer
from ...formats.hdf5 import open_hdf5, read_json_attribute, read_json_list, read_table, row_count
from ...formats.head_fit import Labelled
from ...formats.labels_tables import USER_INSTANCE, bounding_box_sides, read_skeleton
from ...formats.recorded_videos import FoundVideo, find_videos, names_of
from ...protocol.messages import JSONObject
from .labels_summary import AS_LABELS, LabelsSummary, VideoPlace, size_mb

_INSTANCES_OF_FRAME: Final = ("instance_id_start", "instance_id_end")

MAX_PIXELS: Final = 10**10
"""Of one image; more is a mistake."""


def read_labels(path: Path) -> LabelsSummary | tuple[VideoPlace, ...]:
    """Reads a ``.slp`` or ``.pkg.slp``.

    Returns:
        For labels that point to videos in files of their own, where those are on this machine.

    Raises:
        InvalidDatasetError: It can't be read, or has no labelled frames.
    """
    if not path.is_file():
        raise InvalidDatasetError(f"There is no file {path}.")
    with open_hdf5(path, InvalidDatasetError, as_what=AS_LABELS, self_contained=False) as file:
        videos = read_json_list(file, "videos_json")
        named = [names_of(video) for video in videos]
        if any(names is not None for names in named):
            found = iter(find_videos([names for names in named if names is not None], path))
            places = [VideoPlace() if names is None else _place(next(found)) for names in named]
            return tuple(_with_frames(file, places))
        frame_count = row_count(file, "frames")
        metadata = read_json_attribute(file, "metadata", "json")
        number = _used_skeleton(file)
        skeleton_name = _skeleton_name(metadata, number)
        labelled = _labelled(file, path.name, number)
        megapixels = _frame_megapixels(file, videos)
        video_count = _video_count(file)
    if frame_count == 0:
        raise InvalidDatasetError(f"{path.name} has no labelled frames.")
    return LabelsSummary(frame_count, skeleton_name, size_mb(path), megapixels, labelled, video_count)


def _frame_megapixels(file: h5py.File, videos: Sequence[JSONObject]) -> float | None:
    """The size of the first video's images, which nobody but an estimate needs."""
    try:
        attributes = file[videos[0]["backend"]["dataset"]].attrs
        pixels = int(attributes["height"]) * int(attributes["width"])
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, OverflowError):
        return None
    return pixels / 1e6 if 0 < pixels <= MAX_PIXELS else None


def _video_count(file: h5py.File) -> int:
    """How many videos have frames; 1 if that can't be told, as from older tables."""
    try:
        return len(set(read_table(file, "frames")["video"].tolist()))
    except (KeyError, IndexError, ValueError, TypeError, InvalidDatasetError):
        return 1


def _place(video: FoundVideo) -> VideoPlace:
    return VideoPlace(None if video.files == video.names else video.files, video.fault)


def _with_frames(file: h5py.File, places: Sequence[VideoPlace]) -> list[VideoPlace]:
    """Adds which videos have frames. Older tables may lack a column; sleap-io knows them all."""
    frames = read_table(file, "frames")
    if "instances" not in file or not set(frames.dtype.names or ()) >= {"video", *_INSTANCES_OF_FRAME}:
        return list(places)
    instances = read_table(file, "instances")
    users_before = np.concatenate([[0], np.cumsum(instances["instance_type"] == USER_INSTANCE)])
    starts, ends = (np.clip(frames[column], 0, instances.size) for column in _INSTANCES_OF_FRAME)
    has_users = users_before[ends.astype(np.int64)] > users_before[starts.astype(np.int64)]
    with_frames, with_users = set(frames["video"].tolist()), set(frames["video"][has_users].tolist())
    return [
        attrs.evolve(place, has_frames=number in with_frames, has_user_frames=number in with_users)
        for number, place in enumerate(places)
    ]


def _used_skeleton(file: h5py.File) -> int:
    """The number of the skeleton that a person used most; the first one if that can't be told."""
    if "instances" not in file:
        return 0
    instances = read_table(file, "instances")
    if not set(instances.dtype.names or ()) >= {"skeleton", "instance_type"}:
        return 0
    used = instances["skeleton"][instances["instance_type"] == USER_INSTANCE]
    numbers, counts = np.unique(used, return_counts=True)
    return int(numbers[counts.argmax()]) if numbers.size else 0


def _labelled(file: h5py.File, name: str, skeleton: int) -> Labelled | None:
    """What the labels offer a model. Workers say what is wrong with them if that can't be told."""
    try:
        instances, points = read_table(file, "instances"), read_table(file, "points")
        is_visible = ~np.isnan(bounding_box_sides(instances, points))
        _, per_frame = np.unique(instances["frame_id"][is_visible], return_counts=True)
        node_names, edge_count = read_skeleton(file, name, skeleton)
        return Labelled(int(per_frame.max(initial=0)), node_names, edge_count)
    except (KeyError, IndexError, ValueError, TypeError, InvalidDatasetError):
        return None


def _skeleton_name(metadata: JSONObject, number: int) -> str | None:
    try:
        name = metadata["skeletons"][number]["graph"]["name"]
    except (KeyError, IndexError, TypeError):
        return None
    return name if isinstance(name, str) else None


def _describe(path: Path) -> dict[str, object]:
    labels = read_labels(path)
    if isinstance(labels, LabelsSummary):
        return {"labels": attrs.asdict(labels)}
    return {"videos": [attrs.asdict(place) for place in labels]}


if __name__ == "__main__":
    answer(lambda: _describe(Path(sys.argv[1])))
