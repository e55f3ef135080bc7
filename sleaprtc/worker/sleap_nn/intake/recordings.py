"""Recordings to predict on: labels with their images, or a video, each from a stranger.

FFmpeg, which decodes videos, also reads playlists, in which a file names others, on the worker's disk or
elsewhere. So a video has to begin as the containers do that hold their own frames
(:mod:`sleaprtc.transfer.file_signatures`).
"""

from __future__ import annotations

from pathlib import Path

import trio

from ....errors import InvalidDatasetError
from ....formats.training_package import is_plain_name
from ....formats.video_containers import fault_of_container
from ....transfer.file_signatures import VIDEO_SUFFIXES, begins_as_video
from .dataset import inspect_images


async def put_recording(dataset: Path, folder: Path) -> str:
    """Checks a job's recording, and links it into the runner's folder by a plain name.

    Raises:
        InvalidDatasetError: It's neither labels with images nor a video.
        OSError: The folder can't be written to.
    """
    suffix = dataset.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        await trio.to_thread.run_sync(_check_container, dataset)
    elif suffix == ".slp":
        await inspect_images(dataset)
    else:
        known = ", ".join(sorted(VIDEO_SUFFIXES))
        raise InvalidDatasetError(f"{dataset.name} is neither labels (.slp) nor a video ({known}).")
    name = dataset.name if is_plain_name(dataset.name) else f"recording{suffix}"
    await trio.Path(folder / name).symlink_to(await trio.Path(dataset).absolute())
    return name


def is_video(name: str) -> bool:
    """Whether a recording is a video, by its name."""
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


def _check_container(path: Path) -> None:
    if not begins_as_video(path):
        raise InvalidDatasetError(f"{path.name} isn't a video file: it doesn't begin like one.")
    if (fault := fault_of_container(path)) is not None:
        raise InvalidDatasetError(f"{path.name} {fault}")
