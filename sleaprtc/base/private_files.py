"""A person's private files: where they are, and how they are written, which is whole or not at all.

Folders of ours are made for their owner alone. One that is there already keeps its permissions, and
isn't used where they let others in.
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
    """Where a person's programs keep what they know: ``$SLEAP_RTC_STATE_DIR``, or the user's state folder."""
    base = os.environ.get(STATE_DIR_VARIABLE)
    return Path(base) if base else platformdirs.user_state_path("sleap-rtc")


def private_state_dir() -> Path:
    """The same folder, to read from it or to write to it; it needn't be there.

    Raises:
        OpenFolderError: It is there, and others have access to it.
    """
    folder = state_dir()
    check_private(folder, STATE_DIR_VARIABLE)
    return folder


def openness(folder: Path) -> str | None:
    """What lets others into a folder, and how to close it, in words; None where nothing does."""
    try:
        found = folder.stat().st_mode
    except OSError:
        return None  # whoever uses it finds that out, and says so
    mode = stat.S_IMODE(found)
    if not stat.S_ISDIR(found) or not mode & OTHERS:
        return None
    return f"is open to others (its mode is {mode:04o}): close it with `chmod 700 {shlex.quote(str(folder))}`"


def check_private(folder: Path, option: str) -> None:
    """Makes sure that a folder, where it is there, is its owner's alone.

    Args:
        folder: What is to be used.
        option: By which option or variable another folder can be chosen.

    Raises:
        OpenFolderError: Others have access to it.
    """
    problem = openness(folder)
    if problem is not None:
        raise OpenFolderError(f"The folder {folder} {problem}, or choose another with {option}.")


def make_private_dirs(folder: Path) -> None:
    """Makes a folder and those above it, where needed, each for its owner alone.

    Raises:
        OSError: That isn't possible.
    """
    if folder.is_dir():
        return
    if not folder.parent.exists():
        make_private_dirs(folder.parent)
    folder.mkdir(mode=PRIVATE_MODE, exist_ok=True)


def write_private_json(path: Path, content: Any) -> None:
    """Writes a JSON file that its owner alone can read, making its folder where needed.

    Raises:
        StorageError: The folder can't be written.
    """
    try:
        make_private_dirs(path.parent)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")  # 0600 by itself
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file)
        Path(temporary).replace(path)
    except OSError as error:
        raise StorageError(f"{path} can't be written: {as_clause(error)}.") from error
