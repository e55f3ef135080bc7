"""A person's private files: where they are, and how they are written, which is whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

import platformdirs

from .errors import StorageError
from .sentences import as_clause

STATE_DIR_VARIABLE: Final = "SLEAP_RTC_STATE_DIR"


def state_dir() -> Path:
    """Where a person's programs keep what they know: ``$SLEAP_RTC_STATE_DIR``, or the user's state folder."""
    base = os.environ.get(STATE_DIR_VARIABLE)
    return Path(base) if base else platformdirs.user_state_path("sleap-rtc")


def write_private_json(path: Path, content: Any) -> None:
    """Writes a JSON file that its owner alone can read, making its folder where needed.

    Raises:
        StorageError: The folder can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")  # 0600 by itself
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file)
        Path(temporary).replace(path)
    except OSError as error:
        raise StorageError(f"{path} can't be written: {as_clause(error)}.") from error
