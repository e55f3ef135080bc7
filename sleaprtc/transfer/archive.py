"""Packs model folders into one zip file, and unpacks received ones.

A received archive isn't trusted: every member is checked before the first one is written.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from ..base.sentences import as_clause
from ..errors import InvalidArchiveError, InvalidFileNameError, SleapRTCError, StorageError
from ..formats.reading import shown, writing
from ..formats.staging import replaced_folder
from ..formats.zip_files import ZipLimits, extract_member, fault_of_members, open_zip
from ..protocol.limits import MIB
from .names import checked_name

MAX_MEMBERS: Final = 2000
MAX_UNPACKED_BYTES: Final = 16 * 1024 * MIB
MAX_MEMBER_DEPTH: Final = 4


def pack_folders(folders: Iterable[Path], archive: Path) -> None:
    """Writes folders with their files into a zip file, each folder under its own name.

    Raises:
        StorageError: A file can't be read, or the archive can't be written. No partial archive is left.
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


def _checked_parts(name: str, error: type[SleapRTCError]) -> tuple[str, ...]:
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or len(path.parts) > MAX_MEMBER_DEPTH:
        raise error(f"The archive has a member that may not be unpacked: {shown(name)}.")
    try:
        return tuple(checked_name(part) for part in path.parts)
    except InvalidFileNameError as cause:
        raise error(f"The archive has a member that may not be unpacked: {cause}") from cause


def _checked_members(
    archive: zipfile.ZipFile, name: str, max_unpacked_bytes: int, error: type[SleapRTCError]
) -> list[tuple[zipfile.ZipInfo, tuple[str, ...]]]:
    """Returns the files of an archive with their path parts, after checking all of them."""
    if (fault := fault_of_members(archive, ZipLimits(MAX_MEMBERS, max_unpacked_bytes))) is not None:
        raise error(f"{name} {fault}")
    members = (member for member in archive.infolist() if not member.is_dir())
    return [(member, _checked_parts(member.filename, error)) for member in members]


def unpack(
    archive: Path,
    directory: Path,
    *,
    max_unpacked_bytes: int = MAX_UNPACKED_BYTES,
    error: type[SleapRTCError] = InvalidArchiveError,
) -> list[Path]:
    """Unpacks into a folder that appears only once it is complete, and returns the top-level entries.

    Args:
        archive: The zip file.
        directory: The folder, which is replaced if it exists.
        max_unpacked_bytes: The limit for all members together.
        error: The class to raise for a broken archive.

    Raises:
        SleapRTCError: Of the class ``error``: it isn't a zip file, or has members that may not be unpacked.
        StorageError: The disk is full or the folder can't be written.
    """
    with open_zip(archive, error) as packed, replaced_folder(directory) as folder:
        members = _checked_members(packed, archive.name, max_unpacked_bytes, error)
        for member, parts in members:
            target = folder.joinpath(*parts)
            with writing(str(target)):
                target.parent.mkdir(parents=True, exist_ok=True)
            extract_member(packed, member, target)
    return [directory / name for name in dict.fromkeys(parts[0] for _, parts in members)]
