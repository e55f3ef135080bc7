"""The user's private files: where they are, and how they are written atomically.

New folders are accessible to their owner alone. An existing folder keeps its permissions, and isn't used if
others have access to it.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
import tempfile
from pathlib import Path
from typing import Any, Final

import platformdirs

from ..errors import OpenFolderError, StorageError
from .sentences import as_clause

STATE_DIR_VARIABLE: Final = "SLEAP_RTC_STATE_DIR"
PRIVATE_MODE: Final = 0o700
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def state_dir() -> Path:
    """Returns the folder of the user's own state: ``$SLEAP_RTC_STATE_DIR``, or the platform's usual one."""
    base = os.environ.get(STATE_DIR_VARIABLE)
    return Path(base) if base else platformdirs.user_state_path("sleap-rtc")


def private_state_dir() -> Path:
    """Returns the same folder, after a check that it is private. It needn't exist.

    Raises:
        OpenFolderError: Other users have access to it.
    """
    folder = state_dir()
    check_private(folder, STATE_DIR_VARIABLE)
    return folder


def openness(folder: Path) -> str | None:
    """Returns how a folder is open to others and how to close it, for a sentence; None if it is private."""
    try:
        found = folder.stat().st_mode
    except OSError:
        return None  # reported when the folder is used
    mode = stat.S_IMODE(found)
    if not stat.S_ISDIR(found) or not mode & OTHERS:
        return None
    return f"is open to others (its mode is {mode:04o}): close it with `chmod 700 {shlex.quote(str(folder))}`"


def check_private(folder: Path, option: str) -> None:
    """Checks that nobody but its owner has access to a folder. It needn't exist.

    Args:
        folder: The folder to check.
        option: The option or variable that chooses another folder, for the error's sentence.

    Raises:
        OpenFolderError: Other users have access to it.
    """
    problem = openness(folder)
    if problem is not None:
        raise OpenFolderError(f"The folder {folder} {problem}, or choose another with {option}.")


def make_private_dirs(folder: Path) -> None:
    """Creates a folder and its missing parents, each accessible to its owner alone.

    Raises:
        OSError: One of them can't be created.
    """
    if folder.is_dir():
        return
    if not folder.parent.exists():
        make_private_dirs(folder.parent)
    folder.mkdir(mode=PRIVATE_MODE, exist_ok=True)


def write_private_json(path: Path, content: Any) -> None:
    """Atomically writes a JSON file that only its owner can read. Creates its folder if needed.

    Raises:
        StorageError: The folder can't be created, or the file can't be written.
    """
    try:
        make_private_dirs(path.parent)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")  # its mode is 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(content, file)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError(f"{path} can't be written: {as_clause(error)}.") from error
