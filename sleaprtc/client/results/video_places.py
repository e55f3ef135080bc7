"""Makes predictions point to their videos on this machine.

The predictions come from a worker: this module is run as a process of its own (predictions.py), which reads
them.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import h5py

from ...base.sentences import as_clause
from ...errors import BrokenResultError, InvalidDatasetError, StorageError
from ...formats.child_main import answer
from ...formats.hdf5 import open_hdf5, read_json_attribute, read_json_list, row_count
from ...formats.recorded_videos import Names, expected_files, find_videos, names_of
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
        The new descriptions, or None if the recording has other videos, or can't be read any more.
    """
    if recording.suffix.lower() != LABELS_SUFFIX:
        return [_at(video, (str(recording.absolute()),)) for video in videos] if len(videos) == 1 else None
    try:
        own = _videos_of(recording)
        return _placed(videos, own, recording) if len(own) == len(videos) else None
    except (InvalidDatasetError, KeyError, ValueError, TypeError, AttributeError):
        return None  # the recording was moved or changed meanwhile, which is no fault of the predictions


def _placed(videos: Sequence[JSONObject], own: Sequence[JSONObject], recording: Path) -> list[JSONObject]:
    named = [names_of(original) for original in own]
    # of a package: where its images are from, so that SLEAP recognizes the video in the project, too
    sources = [_source_of(original) for original in own]
    wanted = {*filter(None, named), *(names for source in sources if source and (names := names_of(source)))}
    places = {
        video.names: video.files or expected_files(video.names, recording)
        for video in find_videos(list(wanted), recording)
    }
    placed = []
    for video, original, names, source in zip(videos, own, named, sources, strict=True):
        if names is not None:
            placed.append(_at(original, places[names]))
            continue
        package = _at(video, (str(recording.absolute()),))
        source_names = names_of(source) if source else None
        if source and source_names:
            package = {**package, "source_video": _at(source, places[source_names])}
        placed.append(package)
    return placed


def _source_of(video: JSONObject) -> JSONObject | None:
    source = video.get("source_video")
    return source if isinstance(source, dict) else None


def _videos_of(labels: Path) -> list[JSONObject]:
    with open_hdf5(labels, InvalidDatasetError, as_what="SLEAP labels", self_contained=False) as file:
        videos = read_json_list(file, "videos_json")
        return [
            video if names_of(video) or _source_of(video) else {**video, **_read_source(file, video)}
            for video in videos
        ]


def _read_source(file: h5py.File, video: JSONObject) -> JSONObject:
    """Reads which video embedded images are from. Older packages keep it beside the images only."""
    place = str(video["backend"]["dataset"]).removesuffix("/video") + "/source_video"
    if place not in file or "json" not in file[place].attrs:
        return {}
    return {"source_video": read_json_attribute(file, place, "json")}


def _at(video: JSONObject, files: Names) -> JSONObject:
    """Returns a video's description with other paths."""
    backend: JSONObject = {**video.get("backend", {}), "filename": files[0]}
    if "filenames" not in backend and not isinstance(video.get("filename"), list):
        return {**video, "filename": files[0], "backend": backend}
    return {**video, "filename": list(files), "backend": {**backend, "filenames": list(files)}}


def check_other_format(path: Path) -> None:
    """Checks predictions in another format than SLEAP's.

    Raises:
        BrokenResultError: They are empty, or would make a reader open other files.
    """
    if not path.stat().st_size:
        raise BrokenResultError(f"{path.name} is empty.")
    if path.suffix != ".csv":
        with open_hdf5(path, BrokenResultError, as_what="predictions"):
            return


def _main(arguments: Sequence[str]) -> dict[str, object]:
    if len(arguments) == 1:
        check_other_format(Path(arguments[0]))
        return {"notice": None}
    path, recording = map(Path, arguments)
    return {"notice": prepare_predictions(path, recording)}


if __name__ == "__main__":
    answer(lambda: _main(sys.argv[1:]))
