"""The limit on the rate of a worker's transfers, which its owner may change while it runs."""

from __future__ import annotations

from pathlib import Path

from ..base.folder_lock import lock_of
from ..base.held_files import is_held
from ..base.private_files import check_private
from ..errors import UsageError
from ..transfer.limit_file import LimitFile, limited


def limit_file(work_dir: Path) -> LimitFile:
    """Returns the file by which the limit of the worker of a folder is changed."""
    return LimitFile(work_dir / "limit.json")


def set_limit(work_dir: Path, bytes_per_sec: float | None) -> str:
    """Changes the limit of the worker that runs with a folder; returns a sentence about it.

    Raises:
        UsageError: None runs with it on this machine.
        OpenFolderError: Others have access to the folder.
        StorageError: The folder can't be written.
    """
    if not is_held(lock_of(work_dir)):
        raise UsageError(
            f"No worker of yours runs with the folder {work_dir} here, so there is nothing to limit; "
            "--work-dir, or --name, says which one is meant."
        )
    check_private(work_dir, "--work-dir")
    limit_file(work_dir).write(bytes_per_sec)
    return limited("The worker", bytes_per_sec)
