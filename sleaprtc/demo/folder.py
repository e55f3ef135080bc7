"""The demo's own folder: made anew by every run, and never somebody else's."""

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
"""Everything that a demo lays into its folder, and all that a later one removes from it."""


def prepare_folder(folder: Path) -> None:
    """Makes an empty folder, or clears one that an earlier demo made.

    Files that no demo made stay where they are.

    Raises:
        UsageError: The folder is there and isn't a demo's.
        StorageError: It can't be made or cleared.
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
