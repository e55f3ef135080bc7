"""Small disks that can be filled to the last byte. Needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BLOCK_BYTES = 4096
FILLER = ".filler"


def missing_for_disks() -> str | None:
    """Returns why small disks aren't possible here, or None if they are."""
    if os.geteuid() != 0:
        return "they need root"
    return None if shutil.which("mount") else "there is no command `mount`"


@contextmanager
def open_disk(folder: Path, size_bytes: int) -> Iterator[None]:
    """Mounts a disk of its own, in memory, at ``folder`` while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    size = f"size={size_bytes},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "soak", str(folder)], check=True)
    try:
        yield
    finally:
        # Lazily: a process that is just ending may still hold a file.
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(folder: Path) -> None:
    """Takes all free space on the disk."""
    with (folder / FILLER).open("ab", buffering=0) as file, suppress(OSError):
        free_bytes = os.statvfs(folder).f_bavail * BLOCK_BYTES
        if free_bytes > BLOCK_BYTES:
            os.posix_fallocate(file.fileno(), 0, free_bytes - BLOCK_BYTES)
        file.seek(0, os.SEEK_END)
        while True:
            file.write(bytes(BLOCK_BYTES))


def make_room(folder: Path) -> None:
    """Frees what :func:`fill` took."""
    (folder / FILLER).unlink(missing_ok=True)
