"""Creates folders that appear complete or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .reading import writing

STAGING_PREFIX: Final = ".sleap-rtc-unpacking-"
"""Begins with :data:`sleaprtc.transfer.names.RESERVED_PREFIX`, so no received file can have such a name."""


@contextmanager
def staged_folder(parent: Path) -> Iterator[Path]:
    """Creates a folder in ``parent`` for the block, and removes it with its content when the block ends.

    Raises:
        StorageError: The folder can't be created.
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
    """Lets the block fill a folder, which replaces ``directory`` if the block ends without an error.

    Until then whatever is at ``directory``, such as a killed process's leftovers, stays there.

    Raises:
        StorageError: The folder can't be created, or can't replace ``directory``.
    """
    with staged_folder(directory.parent) as folder:
        content = folder / directory.name
        with writing(str(directory)):
            content.mkdir()
        yield content
        with writing(str(directory)):
            shutil.rmtree(directory, ignore_errors=True)
            content.rename(directory)
