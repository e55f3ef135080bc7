"""Reads untrusted zip files: all members are checked before the first one is read, and reads are limited.

Members that honest senders don't write, or that cost too much memory or time, are refused: links, encrypted
members, compression methods other than deflate, members that share bytes (as in zip bombs:
https://www.bamsoftware.com/hacks/zipbomb/), and members with an implausible compression ratio.
"""

from __future__ import annotations

import io
import stat
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

import attrs

from ..errors import SleapRTCError
from .reading import CUT_OFF, ZIP, FileLimitError, reading, shown, writing

COPY_BYTES: Final = 2**20
MAX_READ_BYTES: Final = 4 * 2**20
"""For one read. ``zipfile`` reads the whole directory at once; 20,000 members take about 2 MiB."""

MAX_RATIO: Final = 200
"""Unpacked over packed size: about 1 for encoded images, 20 for logs and tables, 1,000 for zip bombs."""

LOCAL_HEADER_BYTES: Final = 30
"""The smallest header before a member's bytes (PKWARE's APPNOTE.TXT, section 4.3.7)."""

_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_BEGINNING: Final = b"PK\x03\x04"
_ENCRYPTED: Final = 0x1


@attrs.frozen
class ZipLimits:
    """The limits for an archive.

    Attributes:
        max_members: How many files it may have.
        max_unpacked_bytes: The unpacked size of all files together.
        ratio_free_bytes: Members that claim no more than this unpacked size may have any compression ratio.
    """

    max_members: int
    max_unpacked_bytes: int
    ratio_free_bytes: int = 200 * 1024


class _BoundedFile(io.FileIO):
    """A file with a limit for each read, since a hostile archive may claim a directory of gigabytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        whole = size is None or size < 0
        content = super().read(MAX_READ_BYTES + 1 if whole else min(size or 0, MAX_READ_BYTES + 1))
        if content is not None and len(content) > MAX_READ_BYTES:
            raise FileLimitError("its directory is too large")
        return content or b""


@contextmanager
def open_zip(
    path: Path, error: type[SleapRTCError], *, as_what: str = "a zip file"
) -> Iterator[zipfile.ZipFile]:
    """Opens a zip file; whatever its content makes the block raise becomes ``error``.

    Raises:
        SleapRTCError: Of the class ``error``: it can't be read as a zip file.
        StorageError: The disk failed.
    """
    with (
        reading(ZIP, path.name, error, as_what=as_what),
        _BoundedFile(path) as file,
        _opened(file) as archive,
    ):
        yield archive


def _opened(file: BinaryIO) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        file.seek(0)
        if file.read(len(_BEGINNING)) == _BEGINNING:  # so the end, with the directory, is missing
            raise zipfile.BadZipFile(CUT_OFF) from error
        raise


def is_zip(path: Path) -> bool:
    """Whether a file ends like a zip file, even if it's a broken one.

    ``zipfile.is_zipfile`` raises ``BadZipFile`` for some files with wrong 64-bit records.
    """
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True


def fault_of_members(archive: zipfile.ZipFile, limits: ZipLimits) -> str | None:
    """Returns, as the end of a sentence, what is wrong with an archive's files; None if nothing is."""
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > limits.max_members:
        return f"has {len(members)} files, and may have at most {limits.max_members}."
    for member in members:
        if (fault := _fault_of_member(member, limits)) is not None:
            return fault
    if sum(member.file_size for member in members) > limits.max_unpacked_bytes:
        return "is too large when unpacked."
    return _fault_of_names(members) or _fault_of_places(archive, members)


def _fault_of_member(member: zipfile.ZipInfo, limits: ZipLimits) -> str | None:
    name = shown(member.filename)
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        return f"has a member that isn't a plain file: {name}."
    if "\0" in member.orig_filename:
        return f"has a member whose name ends early: {name}."
    if member.flag_bits & _ENCRYPTED:
        return f"has an encrypted member: {name}."
    if member.compress_type not in _METHODS:
        return f"has a member that is compressed by a method other than deflate: {name}."
    if member.file_size > max(limits.ratio_free_bytes, MAX_RATIO * member.compress_size):
        return f"has a member that is packed too densely to be true: {name}."
    return None


def _fault_of_names(members: Sequence[zipfile.ZipInfo]) -> str | None:
    """Finds names that some file systems don't tell apart, and files that would also have to be folders."""
    seen: set[tuple[str, ...]] = set()
    for member in members:
        parts = PurePosixPath(unicodedata.normalize("NFC", member.filename).casefold()).parts
        if parts in seen:
            return f"has two files called {shown(member.filename)}."
        seen.add(parts)
    folders = {parts[:length] for parts in seen for length in range(1, min(len(parts), 64))}
    if folders & seen:
        return f"has a file that is a folder as well: {shown('/'.join(min(folders & seen)))}."
    return None


def _fault_of_places(archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo]) -> str | None:
    """Finds members that share bytes with other members or with the directory."""
    ordered = sorted(members, key=lambda member: member.header_offset)
    ends = (*(member.header_offset for member in ordered[1:]), archive.start_dir)
    for member, end in zip(ordered, ends, strict=False):
        if member.header_offset + LOCAL_HEADER_BYTES + member.compress_size > end:
            return f"has members that overlap: {shown(member.filename)}."
    return None


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, max_bytes: int) -> bytes:
    """Reads a small member.

    Raises:
        FileLimitError: It's larger than ``max_bytes``. :func:`open_zip` translates other exceptions.
    """
    with archive.open(member) as source:
        content = source.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise FileLimitError(f"{shown(member.filename)} is too large")
    return content


def extract_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Writes a member to a new file. When this returns, its checksum has been verified.

    Raises:
        StorageError: It can't be written, or the file exists. :func:`open_zip` translates other exceptions.
    """
    with archive.open(member) as source, _new_file(target) as sink:
        while block := source.read(COPY_BYTES):
            with writing(str(target)):
                sink.write(block)
        if sink.tell() != member.file_size:
            raise zipfile.BadZipFile(f"{shown(member.filename)} doesn't have the size that it claims")


def _new_file(target: Path) -> BinaryIO:
    with writing(str(target)):
        return target.open("xb")
