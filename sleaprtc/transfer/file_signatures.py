"""What files begin as, told by their bytes and not by their names: videos and checkpoints.

The worker judges by it what it gets from strangers; the client, what isn't worth sending.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

from ..errors import InvalidModelError
from ..formats.zip_files import ZipLimits, fault_of_members, is_zip, open_zip

VIDEO_SUFFIXES: Final = frozenset({".mp4", ".avi", ".mov", ".mj2", ".mkv"})
"""What sleap-io takes for videos (``MediaVideo.EXTS``)."""

_MATROSKA: Final = b"\x1a\x45\xdf\xa3"
_BOXES: Final = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"})
"""Which ISO base media files, such as MP4 and QuickTime, begin with, after four bytes of its size."""

_ZIP_START: Final = b"PK\x03\x04"

CHECKPOINT_LIMITS: Final = ZipLimits(max_members=20_000, max_unpacked_bytes=64 * 2**30)
"""A member for each tensor, with its optimizer's two: sleap-nn's largest network has about 1,500."""


def begins_as_video(path: Path) -> bool:
    """Whether a file begins as the containers do that hold their own frames.

    FFmpeg, which decodes videos, also reads playlists, in which a file names others.

    Raises:
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        start = file.read(12)
    is_riff = start[:4] == b"RIFF" and start[8:12] == b"AVI "
    return is_riff or start[:4] == _MATROSKA or start[4:8] in _BOXES


def is_checkpoint_file(path: Path) -> bool:
    """Whether a file is a zip file as PyTorch writes them.

    PyTorch's formats before version 1.6 aren't zip files, and are read by code that no longer gets the same
    care: sleap-nn never wrote them.

    Raises:
        OSError: It can't be read.
        StorageError: The disk failed.
    """
    with path.open("rb") as file:
        begins_as_zip = file.read(len(_ZIP_START)) == _ZIP_START
    # by its start PyTorch takes a file for a zip, and by its end Python: one that is both is one for both
    return begins_as_zip and is_zip(path) and _is_plainly_packed(path)


def _is_plainly_packed(path: Path) -> bool:
    """Whether nothing in a zip file would grow when it's read: PyTorch compresses nothing."""
    try:
        with open_zip(path, InvalidModelError) as checkpoint:
            members = checkpoint.infolist()
            return (
                all(member.compress_type == zipfile.ZIP_STORED for member in members)
                and fault_of_members(checkpoint, CHECKPOINT_LIMITS) is None
            )
    except InvalidModelError:
        return False
