"""Packs a model folder into a reproducible zip file: the same model always gives the same digest.

It contains only what prediction needs. Nothing is compressed, because weights hardly shrink, and because
versions of zlib don't all write the same bytes.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Final

from ..base.sentences import as_clause
from ..errors import InvalidArchiveError, SleapRTCError, StorageError
from ..protocol.limits import MIB
from .archive import unpack

CHECKPOINT_NAME: Final = "best.ckpt"
CONFIG_NAME: Final = "training_config.yaml"
MODEL_FILES: Final = (CHECKPOINT_NAME, CONFIG_NAME)

MAX_MODEL_BYTES: Final = 8 * 1024 * MIB
"""Unpacked size. sleap-nn's largest backbone has 200 million weights, 2.4 GB with its optimizer's state."""

EARLIEST: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can store."""

UNIX: Final = 3
PLAIN_FILE: Final = 0o100644 << 16


def is_model_folder(folder: Path) -> bool:
    """Whether a folder has the files that prediction needs."""
    return all((folder / name).is_file() for name in MODEL_FILES)


def pack_model(folder: Path, archive: Path) -> None:
    """Packs a model folder.

    Raises:
        StorageError: A file can't be read, or the archive can't be written. No partial archive is left.
    """
    try:
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
            for name in MODEL_FILES:
                member = zipfile.ZipInfo(name, EARLIEST)
                member.create_system, member.external_attr = UNIX, PLAIN_FILE
                member.file_size = (folder / name).stat().st_size
                with (folder / name).open("rb") as source, packed.open(member, "w") as sink:
                    shutil.copyfileobj(source, sink, MIB)
    except (OSError, zipfile.LargeZipFile) as error:
        archive.unlink(missing_ok=True)
        raise StorageError(f"The model in {folder.name} can't be packed: {as_clause(error)}.") from error


def unpack_models(
    archive: Path, directory: Path, error: type[SleapRTCError] = InvalidArchiveError
) -> list[Path]:
    """Unpacks one received model, or several in folders of their own, and returns their folders.

    Raises:
        SleapRTCError: Of the class ``error``: it has members that may not be unpacked, or holds no model.
        StorageError: The disk is full or the folder can't be written.
    """
    entries = unpack(archive, directory, max_unpacked_bytes=MAX_MODEL_BYTES, error=error)
    folders = [directory, *(entry for entry in entries if entry.is_dir())]
    found = [folder for folder in folders if is_model_folder(folder)]
    if not found:
        raise error(f"{archive.name} holds no model: it lacks {' or '.join(MODEL_FILES)}.")
    return found
