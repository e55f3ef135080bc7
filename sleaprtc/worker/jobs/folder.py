"""Deletes a job's own folder, or all of it that isn't needed any more."""

from __future__ import annotations

import shutil
from pathlib import Path


def remove_folder(folder: Path) -> None:
    """Deletes a folder, even while something else deletes it too.

    Raises:
        OSError: Something in it can't be deleted.
    """
    while folder.exists():
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue  # somebody else deletes it too


def remove_all_but(folder: Path, kept: Path) -> None:
    """Deletes all of a folder but one file. A subfolder that can't be deleted stays.

    Raises:
        OSError: A file can't be deleted.
    """
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path != kept:
            path.unlink(missing_ok=True)
