"""Locks a folder for one process: two that share their state would undo each other's work."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StorageError
from .private_files import check_private, make_private_dirs
from .sentences import as_clause


def lock_of(folder: Path) -> Path:
    """The file by which a folder is locked."""
    return folder / ".lock"


@contextmanager
def lock_folder(folder: Path, owner: str, option: str) -> Iterator[None]:
    """Creates a folder if needed, and locks it for this process until the block is left.

    Args:
        folder: The folder to lock.
        owner: What kind of program locks it, such as "worker", for the error's sentence.
        option: The option that chooses another folder, for the error's sentence.

    Raises:
        StorageError: The folder can't be written, or another process has locked it.
        OpenFolderError: Other users have access to the folder.
    """
    try:
        make_private_dirs(folder)
        check_private(folder, option)
        descriptor = os.open(lock_of(folder), os.O_WRONLY | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(f"The folder {folder} can't be written: {as_clause(error)}.") from error
    with os.fdopen(descriptor, "w"):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StorageError(
                f"Another {owner} uses the folder {folder}; give this one its own with {option}."
            ) from error
        yield
