"""One process a folder: two that share their state would undo each other's work."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StorageError
from .private_files import check_private, make_private_dirs
from .sentences import as_clause


@contextmanager
def lock_folder(folder: Path, owner: str, option: str) -> Iterator[None]:
    """Makes a folder where needed and holds it for this process until the block is left.

    Args:
        folder: What to hold.
        owner: What holds it, as in "another worker", for the sentence.
        option: By which option another folder can be chosen.

    Raises:
        StorageError: The folder can't be written, or another process holds it.
        OpenFolderError: It is there, and others have access to it.
    """
    try:
        make_private_dirs(folder)
        check_private(folder, option)
        descriptor = os.open(folder / ".lock", os.O_WRONLY | os.O_CREAT, 0o600)
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
