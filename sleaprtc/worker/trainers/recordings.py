"""What predictions are made on: labels with their images, or a video, each from a stranger.

FFmpeg, which decodes videos, also reads playlists, in which a file names others, on the worker's disk or
elsewhere. So a video has to begin as the containers do that hold their own frames.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import trio

from ...errors import InvalidDatasetError
from .dataset import inspect_images
from .package import is_plain_name

VIDEO_SUFFIXES: Final = frozenset({".mp4", ".avi", ".mov", ".mj2", ".mkv"})
"""What sleap-io takes for videos (``MediaVideo.EXTS``)."""

_MATROSKA: Final = b"\x1a\x45\xdf\xa3"
_BOXES: Final = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"})
"""Which ISO base media files, such as MP4 and QuickTime, begin with, after four bytes of its size."""


async def put_recording(dataset: Path, folder: Path) -> str:
    """Gives a job's recording a plain name in the runner's folder, once it's known to be one.

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
    with path.open("rb") as file:
        start = file.read(12)
    is_riff = start[:4] == b"RIFF" and start[8:12] == b"AVI "
    if not (is_riff or start[:4] == _MATROSKA or start[4:8] in _BOXES):
        raise InvalidDatasetError(f"{path.name} isn't a video file: it begins like none.")
