"""Reads labels on the client. Run as a process of its own by :mod:`.packing`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
import h5py

from ...errors import InvalidDatasetError
from ...formats.child_main import answer
from ...formats.hdf5 import open_hdf5, read_json_attribute, read_json_list, row_count
from ...protocol.messages import JSONObject
from .labels_summary import AS_LABELS, LabelsSummary, size_mb

MAX_PIXELS: Final = 10**10
"""Of one image; more is a mistake."""


def read_labels(path: Path) -> LabelsSummary | None:
    """Reads a ``.slp`` or ``.pkg.slp``.

    Returns:
        None for labels that point to videos in files of their own.

    Raises:
        InvalidDatasetError: It can't be read, or has no labelled frames.
    """
    if not path.is_file():
        raise InvalidDatasetError(f"There is no file {path}.")
    with open_hdf5(path, InvalidDatasetError, as_what=AS_LABELS, self_contained=False) as file:
        videos = read_json_list(file, "videos_json")
        if not all(map(_is_embedded, videos)):
            return None
        frame_count = row_count(file, "frames")
        metadata = read_json_attribute(file, "metadata", "json")
        megapixels = _frame_megapixels(file, videos)
    if frame_count == 0:
        raise InvalidDatasetError(f"{path.name} has no labelled frames.")
    return LabelsSummary(frame_count, _skeleton_name(metadata), size_mb(path), megapixels)


def _frame_megapixels(file: h5py.File, videos: Sequence[JSONObject]) -> float | None:
    """The size of the first video's images, which nobody but an estimate needs."""
    try:
        attributes = file[videos[0]["backend"]["dataset"]].attrs
        pixels = int(attributes["height"]) * int(attributes["width"])
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, OverflowError):
        return None
    return pixels / 1e6 if 0 < pixels <= MAX_PIXELS else None


def _is_embedded(video: object) -> bool:
    backend = video.get("backend") if isinstance(video, dict) else None
    return isinstance(backend, dict) and backend.get("filename") == "."


def _skeleton_name(metadata: JSONObject) -> str | None:
    try:
        name = metadata["skeletons"][0]["graph"]["name"]
    except (KeyError, IndexError, TypeError):
        return None
    return name if isinstance(name, str) else None


def _describe(path: Path) -> dict[str, object]:
    labels = read_labels(path)
    return {"labels": None if labels is None else attrs.asdict(labels)}


if __name__ == "__main__":
    answer(lambda: _describe(Path(sys.argv[1])))
