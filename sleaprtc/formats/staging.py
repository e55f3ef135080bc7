"""Folders that appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .reading import writing

STAGING_PREFIX: Final = ".sleap-rtc-unpacking-"
"""Begins with what no received file may be called (:data:`sleaprtc.transfer.names.RESERVED_PREFIX`)."""


@contextmanager
def staged_folder(parent: Path) -> Iterator[Path]:
    """Makes a folder in ``parent`` for the block, and removes it, with what is still in it, at its end.

    Raises:
        StorageError: The folder can't be made.
    """
    with writing(str(parent)):
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def replaced_folder(directory: Path) -> Iterator[Path]:
    """Lets the block fill a folder that becomes ``directory`` only if the block ends without an error.

    What is at ``directory`` until then stays until then; such as what a killed process left there.

    Raises:
        StorageError: The folder can't be made, or can't take its place.
    """
    with staged_folder(directory.parent) as folder:
        content = folder / directory.name
        with writing(str(directory)):
            content.mkdir()
        yield content
        with writing(str(directory)):
            shutil.rmtree(directory, ignore_errors=True)
            content.rename(directory)
