"""Prepares the demo's output folder, and never clears a folder that no demo made."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from ..base.sentences import as_clause
from ..errors import StorageError, UsageError

MARKER_NAME: Final = ".sleap-rtc-demo"
PRODUCTS: Final = (
    "recording",
    "server",
    "state",
    "worker-1",
    "worker-2",
    "models",
    "predictions.slp",
    "predictions.png",
    "summary.json",
)
"""Everything that a demo writes to its folder, and all that a later demo removes from it."""


def prepare_folder(folder: Path) -> None:
    """Creates the folder, or clears one that an earlier demo made.

    Files in it that no demo made are kept.

    Raises:
        UsageError: The folder exists, isn't empty, and wasn't made by a demo.
        StorageError: It can't be created or cleared.
    """
    try:
        if (
            folder.exists()
            and not (folder / MARKER_NAME).is_file()
            and (not folder.is_dir() or any(folder.iterdir()))
        ):
            raise UsageError(f"{folder} exists and wasn't made by a demo: name another folder with --out.")
        folder.mkdir(parents=True, exist_ok=True)
        for name in PRODUCTS:
            _remove(folder / name)
        (folder / MARKER_NAME).write_text(
            "Made by sleap-rtc demo, which clears it when it runs here again.\n"
        )
    except OSError as error:
        raise StorageError(f"The demo's folder {folder} can't be prepared: {as_clause(error)}.") from error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
