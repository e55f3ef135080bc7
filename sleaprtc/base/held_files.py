"""Files that a process holds while it runs, so that other processes of its user see that it does."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .private_files import make_private_dirs


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Holds a file until the block is left or the process ends; others may, too. It is created if needed.

    Raises:
        OSError: The folder or the file can't be made.
    """
    make_private_dirs(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "w"):
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


def is_held(path: Path) -> bool:
    """Whether a process holds a file, or has locked it (:mod:`.folder_lock`). It needn't exist."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    with os.fdopen(descriptor, "w"):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
