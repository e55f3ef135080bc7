"""Makes predictions point to their videos on this machine.

The predictions come from a worker: this module is run as a process of its own (predictions.py), which reads
them.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final

import h5py

from ...base.sentences import as_clause
from ...errors import BrokenResultError, InvalidDatasetError, StorageError
from ...formats.child_main import answer
from ...formats.hdf5 import open_hdf5, read_json_attribute, read_json_list, row_count
from ...protocol.messages import JSONObject

LABELS_SUFFIX: Final = ".slp"


def prepare_predictions(path: Path, recording: Path) -> str | None:
    """Checks that predictions can be read, and writes their videos' paths on this machine into them.

    Returns:
        A sentence for the user if the videos' paths couldn't be determined, else None.

    Raises:
        BrokenResultError: They can't be read, have no frames, or would make a reader open other files.
        StorageError: The disk doesn't take it; they stay as they were.
    """
    with open_hdf5(path, BrokenResultError, as_what="predictions") as file:
        frame_count = row_count(file, "frames")
        read_json_attribute(file, "metadata", "json")
        placed = place_videos(read_json_list(file, "videos_json"), recording)
    if not frame_count:
        raise BrokenResultError(f"{path.name} has no frames.")
    if placed is None:
        return f"The predictions don't say where the videos of {recording.name} are."
    _write_videos(path, placed)
    return None


def _write_videos(path: Path, videos: Sequence[JSONObject]) -> None:
    """Writes them into a copy that replaces the file, so that a full disk destroys no predictions."""
    copy = path.with_name(f".{path.name}.placed")
    texts = [json.dumps(video, separators=(",", ":")) for video in videos]
    try:
        shutil.copyfile(path, copy)
        with h5py.File(copy, "r+") as file:
            del file["videos_json"]
            file.create_dataset("videos_json", data=texts, dtype=h5py.string_dtype(), maxshape=(None,))
        copy.replace(path)
    except (KeyError, ValueError, TypeError) as error:  # broken where nothing was read
        raise BrokenResultError(f"{path.name} can't be read as predictions.") from error
    except (OSError, RuntimeError) as error:
        raise StorageError(
            f"{path.name} can't be given its videos' places: {as_clause(error)}. "
            f"The predictions are kept as {path}."
        ) from error
    finally:
        copy.unlink(missing_ok=True)


def place_videos(videos: Sequence[JSONObject], recording: Path) -> list[JSONObject] | None:
    """Returns a file's videos with their paths on this machine.

    Args:
        videos: As the predictions describe them.
        recording: A video, or labels in whose order the predictions' videos are.

    Returns:
        The descriptions anew, or None where the recording has other videos, or can't be read any more.
    """
    if recording.suffix.lower() != LABELS_SUFFIX:
        return [_at(video, str(recording.absolute())) for video in videos] if len(videos) == 1 else None
    try:
        own = _videos_of(recording)
        return _placed(videos, own, recording) if len(own) == len(videos) else None
    except (InvalidDatasetError, KeyError, ValueError, TypeError, AttributeError):
        return None  # the recording was moved or changed meanwhile, which is no fault of the predictions


def _placed(videos: Sequence[JSONObject], own: Sequence[JSONObject], recording: Path) -> list[JSONObject]:
    placed = []
    for video, original in zip(videos, own, strict=True):
        name = original["backend"].get("filename", original.get("filename"))
        if name == ".":  # embedded: the package has the images
            placed.append(_at(video, str(recording.absolute())))
        else:
            placed.append(_at(original, _found(str(name), recording.absolute().parent)))
    return placed


def _videos_of(labels: Path) -> list[JSONObject]:
    with open_hdf5(labels, InvalidDatasetError, as_what="SLEAP labels", self_contained=False) as file:
        return read_json_list(file, "videos_json")


def _at(video: JSONObject, filename: str) -> JSONObject:
    return {**video, "filename": filename, "backend": {**video.get("backend", {}), "filename": filename}}


def _found(name: str, folder: Path) -> str:
    """Returns the path of a video that labels in ``folder`` point to: the given one, or beside them."""
    beside = folder / PureWindowsPath(name).name  # either system's separators
    is_absolute = PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute() or "://" in name
    said = [name] if is_absolute else [str(folder / name), str(Path(name).absolute())]
    return next((place for place in (*said, str(beside)) if Path(place).is_file()), said[0])


if __name__ == "__main__":
    answer(lambda: {"notice": prepare_predictions(Path(sys.argv[1]), Path(sys.argv[2]))})
