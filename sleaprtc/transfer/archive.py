"""Model folders as one file, and back.

A received archive is data from a stranger: every member is checked before the first one is written.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from ..errors import InvalidArchiveError, InvalidFileNameError, StorageError
from ..protocol.limits import MIB
from ..sentences import as_clause, as_sentence
from .names import checked_name

MAX_MEMBERS: Final = 2000
MAX_UNPACKED_BYTES: Final = 16 * 1024 * MIB
MAX_MEMBER_DEPTH: Final = 4
MAX_RATIO: Final = 200
"""Unpacked over packed size. Logs and metrics reach about 20; zip bombs start in the thousands."""


def pack_folders(folders: Iterable[Path], archive: Path) -> None:
    """Writes folders and what is in them into a zip file, each under its own name.

    Raises:
        StorageError: A file can't be read, or the archive not written; no part of it stays then.
    """
    try:
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
            for folder in folders:
                for path in sorted(folder.rglob("*")):
                    if path.is_file() and not path.is_symlink():
                        packed.write(path, f"{folder.name}/{path.relative_to(folder).as_posix()}")
    except (OSError, zipfile.LargeZipFile) as error:
        archive.unlink(missing_ok=True)
        raise StorageError(f"The model can't be packed: {as_clause(error)}.") from error


def _checked_parts(name: str) -> tuple[str, ...]:
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or len(path.parts) > MAX_MEMBER_DEPTH:
        raise InvalidArchiveError(f"The archive has a member that may not be unpacked: {name!r}.")
    try:
        return tuple(checked_name(part) for part in path.parts)
    except InvalidFileNameError as error:
        raise InvalidArchiveError(
            f"The archive has a member that may not be unpacked: {as_sentence(error)}"
        ) from error


def _is_plain_file(member: zipfile.ZipInfo) -> bool:
    kind = (member.external_attr >> 16) & 0o170000
    return kind in (0, 0o100000)


def checked_members(
    archive: zipfile.ZipFile, *, max_unpacked_bytes: int = MAX_UNPACKED_BYTES
) -> list[tuple[zipfile.ZipInfo, tuple[str, ...]]]:
    """Lists the files of an archive with their path parts.

    Raises:
        InvalidArchiveError: There are too many, they are too large for what they are packed in, or one of
            them is a link, has a path that leads elsewhere, or is encrypted.
    """
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > MAX_MEMBERS:
        raise InvalidArchiveError(f"The archive has more than {MAX_MEMBERS} files.")
    if sum(member.file_size for member in members) > max_unpacked_bytes:
        raise InvalidArchiveError("The archive is too large when unpacked.")
    for member in members:
        if not _is_plain_file(member) or member.flag_bits & 0x1:
            raise InvalidArchiveError(f"The archive has a member that is no plain file: {member.filename!r}.")
        if member.file_size > MAX_RATIO * max(member.compress_size, 1024):
            raise InvalidArchiveError(f"{member.filename!r} in the archive is packed too tightly to be true.")
    checked = [(member, _checked_parts(member.filename)) for member in members]
    if len({parts for _, parts in checked}) != len(checked):
        raise InvalidArchiveError("The archive has two files of the same name.")
    return checked


def unpack(archive: Path, directory: Path, *, max_unpacked_bytes: int = MAX_UNPACKED_BYTES) -> list[Path]:
    """Unpacks into a folder, making it where needed, and returns the top-level entries.

    Raises:
        InvalidArchiveError: Not a zip file, or one with members that may not be unpacked.
        StorageError: The disk is full or the folder can't be written.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            members = checked_members(packed, max_unpacked_bytes=max_unpacked_bytes)
            for member, parts in members:
                target = directory.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(member) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink, MIB)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError) as error:
        raise InvalidArchiveError(
            f"{archive.name} is not a readable zip file: {as_clause(error)}."
        ) from error
    except OSError as error:
        raise StorageError(
            f"{archive.name} can't be unpacked into {directory}: {as_clause(error)}."
        ) from error
    return [directory / name for name in dict.fromkeys(parts[0] for _, parts in members)]
