"""Recognizes videos and checkpoints by their content, not by their names.

The worker checks the files that it receives with this, and the client those that it would send.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

from ..errors import InvalidModelError
from ..formats.zip_files import ZipLimits, fault_of_members, is_zip, open_zip

VIDEO_SUFFIXES: Final = frozenset({".mp4", ".avi", ".mov", ".mj2", ".mkv"})
"""The file suffixes that sleap-io opens as videos (``MediaVideo.EXTS``)."""

_MATROSKA: Final = b"\x1a\x45\xdf\xa3"
_BOXES: Final = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"})
"""Types of the first box in ISO base media files, such as MP4 and QuickTime, after its size (4 bytes)."""

_ZIP_START: Final = b"PK\x03\x04"

CHECKPOINT_LIMITS: Final = ZipLimits(max_members=20_000, max_unpacked_bytes=64 * 2**30)
"""Each tensor is a member, and so are two tensors of optimizer state; sleap-nn's largest network has about
1,500 members."""


def begins_as_video(path: Path) -> bool:
    """Whether a file begins like a container that holds its own frames.

    FFmpeg, which decodes videos, also reads playlists, which refer to other files.

    Raises:
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        start = file.read(12)
    is_riff = start[:4] == b"RIFF" and start[8:12] == b"AVI "
    return is_riff or start[:4] == _MATROSKA or start[4:8] in _BOXES


def is_checkpoint_file(path: Path) -> bool:
    """Whether a file is a zip file of the kind that PyTorch writes.

    PyTorch's formats before version 1.6 aren't zip files, and the code that reads them is less well
    maintained. sleap-nn never wrote them.

    Raises:
        OSError: It can't be read.
        StorageError: The disk failed.
    """
    with path.open("rb") as file:
        begins_as_zip = file.read(len(_ZIP_START)) == _ZIP_START
    # PyTorch recognizes a zip file by its start, Python by its end. Both must agree.
    return begins_as_zip and is_zip(path) and _is_plainly_packed(path)


def _is_plainly_packed(path: Path) -> bool:
    """Whether a zip file is uncompressed, as PyTorch's are, and within :data:`CHECKPOINT_LIMITS`."""
    try:
        with open_zip(path, InvalidModelError) as checkpoint:
            members = checkpoint.infolist()
            return (
                all(member.compress_type == zipfile.ZIP_STORED for member in members)
                and fault_of_members(checkpoint, CHECKPOINT_LIMITS) is None
            )
    except InvalidModelError:
        return False
