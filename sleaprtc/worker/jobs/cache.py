"""Keeps datasets and models by their digests, so that none has to be sent twice."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

from ...base.logs import get_logger
from ...base.private_files import make_private_dirs
from ...errors import InvalidMessageError
from ...transfer.framing import parse_digest

TEMPORARY_PREFIX: Final = ".new-"

_log = get_logger(__name__)


class FileCache:
    """A folder of files named for their digests, each a hard link to the same file in its job's folder.

    Synchronous, so call it in a thread. It raises no disk errors: a job without a cache is only slower.
    Verify what comes out: a job may have written to its files.

    Args:
        directory: Where the files are kept; created when needed.
        max_bytes: How much space they may take; the least recently used are deleted first.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes

    def fetch(self, digest: str, size_bytes: int, target: Path) -> bool:
        """Links or copies the file with this digest and size to ``target``; False if it isn't here."""
        kept = self._path(digest)
        if kept is None:
            return False
        try:
            status = kept.stat()
            if status.st_size != size_bytes or target.exists():
                return False
            _link_or_copy(kept, target)
            os.utime(kept, ns=(time.time_ns(), status.st_mtime_ns))  # used now; not changed
        except FileNotFoundError:
            return False
        except OSError as error:
            _log.warning("The cache can't be read.", error=str(error))
            return False
        return True

    def add(self, digest: str, path: Path) -> None:
        """Keeps a file whose digest was verified, and deletes older ones to make room."""
        kept = self._path(digest)
        try:
            size_bytes = path.stat().st_size
            if kept is None or size_bytes > self._max_bytes:
                return
            if kept.exists() and kept.samefile(path):
                return
            make_private_dirs(self._directory)
            self._shrink(self._max_bytes - size_bytes)
            folder = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=self._directory))
            try:
                _link_or_copy(path, folder / kept.name)
                (folder / kept.name).replace(kept)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError as error:
            _log.warning("A file isn't kept in the cache.", file=path.name, error=str(error))

    def clean(self) -> None:
        """Brings the folder within its limit, and removes what an earlier process left unfinished."""
        with contextlib.suppress(OSError):
            for folder in self._directory.glob(f"{TEMPORARY_PREFIX}*"):
                shutil.rmtree(folder, ignore_errors=True)
            self._shrink(self._max_bytes)

    def _path(self, digest: str) -> Path | None:
        try:
            return self._directory / "-".join(parse_digest(digest))
        except InvalidMessageError:
            return None

    def _shrink(self, max_bytes: int) -> None:
        kept = [(path, path.stat()) for path in self._directory.glob("*-*") if path.is_file()]
        total_bytes = sum(status.st_size for _, status in kept)
        for path, status in sorted(kept, key=lambda item: item[1].st_atime_ns):
            if total_bytes <= max_bytes:
                return
            path.unlink(missing_ok=True)
            total_bytes -= status.st_size


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
