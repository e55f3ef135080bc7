"""Recognizes videos that break off, by the sizes that their containers state.

A decoder tells little about a file that was cut off while it was copied: some frames fail, some are repeats
of earlier ones, and some can be read. The containers state how long they are.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from ..base.sentences import as_clause

COPY_AGAIN: Final = "copy or record it again."

_BOXES: Final = frozenset(
    b"ftyp moov mdat free skip wide moof mfra uuid meta sidx styp pdin ssix emsg udta pnot".split()
)
"""Types of top-level boxes in ISO base media files (ISO/IEC 14496-12), such as MP4, and in QuickTime's."""

_INDEX_BOXES: Final = frozenset({b"moov", b"moof"})
MAX_BOXES: Final = 100_000
AVI_HEAD_BYTES: Final = 64 * 1024
"""In which the headers of all streams are."""

_MATROSKA_START: Final = b"\x1a\x45\xdf\xa3"
_MATROSKA_SEGMENT: Final = b"\x18\x53\x80\x67"
_UNKNOWN_RIFF_SIZES: Final = (0, 0xFFFFFFFF)
"""What writers leave there that never came back to state the size."""


def fault_of_container(path: Path) -> str | None:
    """Returns, as the end of a sentence, why a video can't be whole; None if nothing speaks against it.

    A file of another kind than MP4, QuickTime, AVI or Matroska gives None.
    """
    try:
        with path.open("rb") as file:
            size_bytes = file.seek(0, io.SEEK_END)
            stated_bytes = _stated_bytes(file, size_bytes)
    except OSError as error:
        return f"can't be read: {as_clause(error)}."
    if stated_bytes is None:
        return f"has no index of its frames, since its recording or copy ended too early: {COPY_AGAIN}"
    if stated_bytes > size_bytes:
        return f"breaks off after {size_bytes:,} of the {stated_bytes:,} bytes that it states: {COPY_AGAIN}"
    return None


def _stated_bytes(file: BinaryIO, size_bytes: int) -> int | None:
    """The size that a container states, at least; None if it has no index. 0 if nothing can be told."""
    file.seek(0)
    start = file.read(12)
    if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
        riff_bytes = int.from_bytes(start[4:8], "little")
        return 0 if riff_bytes in _UNKNOWN_RIFF_SIZES else 8 + riff_bytes
    if start[:4] == _MATROSKA_START:
        return _stated_by_matroska(file)
    return _stated_by_boxes(file, size_bytes) if start[4:8] in _BOXES else 0


def _stated_by_boxes(file: BinaryIO, size_bytes: int) -> int | None:
    place = 0
    kinds: set[bytes] = set()
    for _ in range(MAX_BOXES):
        file.seek(place)
        header = file.read(16)
        box_bytes, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if len(header) < 8 or kind not in _BOXES:
            return 0 if place < size_bytes or kinds & _INDEX_BOXES else None
        kinds.add(kind)
        if box_bytes == 0:  # up to the end of the file
            return 0 if kinds & _INDEX_BOXES else None
        if box_bytes == 1:
            box_bytes = int.from_bytes(header[8:16], "big")
        if box_bytes < 8:
            return 0
        place += box_bytes
        if place > size_bytes:
            return place
    return 0


def _stated_by_matroska(file: BinaryIO) -> int:
    """Reads two elements, the header and the segment, as RFC 8794 (section 4) has them."""
    file.seek(len(_MATROSKA_START))
    header_bytes = _read_size(file)
    if header_bytes is None:
        return 0
    file.seek(header_bytes, io.SEEK_CUR)
    if file.read(len(_MATROSKA_SEGMENT)) != _MATROSKA_SEGMENT:
        return 0
    segment_bytes = _read_size(file)
    return 0 if segment_bytes is None else file.tell() + segment_bytes


def _read_size(file: BinaryIO) -> int | None:
    """Reads a variable-size integer; None for the reserved value that stands for an unknown size."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more_bytes = 8 - first[0].bit_length()
    rest = file.read(more_bytes)
    value = int.from_bytes(first + rest, "big") - (1 << 7 * (more_bytes + 1))
    is_unknown = value == (1 << 7 * (more_bytes + 1)) - 1
    return None if is_unknown or len(rest) < more_bytes else value


def stated_frame_count(path: Path) -> int | None:
    """Returns how many frames a video states to have; None if it doesn't, or is no MP4, QuickTime or AVI.

    Raises:
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        start = file.read(12)
        size_bytes = file.seek(0, io.SEEK_END)
        if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
            return _frames_of_avi(file) or None
        if start[4:8] not in _BOXES:
            return None
        boxes = dict(_boxes(file, 0, size_bytes))
        if b"moov" not in boxes or b"moof" in boxes:  # fragments count their own frames
            return None
        return _frames_of_movie(file, *boxes[b"moov"]) or None


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yields types of the boxes between two places in a file, and where their contents begin and end."""
    place = start
    for _ in range(MAX_BOXES):
        file.seek(place)
        header = file.read(16)
        if place + 8 > end or len(header) < 8:
            return
        box_bytes, content = int.from_bytes(header[:4], "big"), place + 8
        if box_bytes == 1:
            box_bytes, content = int.from_bytes(header[8:16], "big"), place + 16
        box_end = end if box_bytes == 0 else place + box_bytes
        if box_end < content or box_end > end:
            return
        yield header[4:8], (content, box_end)
        place = box_end


def _frames_of_movie(file: BinaryIO, start: int, end: int) -> int:
    """The samples of the first video track (ISO/IEC 14496-12, 8.4.3 and 8.7.3)."""
    for kind, track in _boxes(file, start, end):
        if kind != b"trak":
            continue
        media = dict(_boxes(file, *dict(_boxes(file, *track)).get(b"mdia", (0, 0))))
        file.seek(media.get(b"hdlr", (0, 0))[0] + 8)
        if file.read(4) != b"vide":
            continue
        table = dict(_boxes(file, *media.get(b"minf", (0, 0)))).get(b"stbl", (0, 0))
        sizes = dict(_boxes(file, *table))
        content = sizes.get(b"stsz") or sizes.get(b"stz2")
        if content is None:
            return 0
        file.seek(content[0] + 8)
        return int.from_bytes(file.read(4), "big")
    return 0


def _frames_of_avi(file: BinaryIO) -> int:
    """The length of the video stream, as its header has it (``AVISTREAMHEADER.dwLength``)."""
    file.seek(0)
    head = file.read(AVI_HEAD_BYTES)
    place = head.find(b"strh")
    while place >= 0:
        if head[place + 8 : place + 12] == b"vids":
            return int.from_bytes(head[place + 40 : place + 44], "little")
        place = head.find(b"strh", place + 4)
    return 0
