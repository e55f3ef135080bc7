"""Keeps datasets and models by their digests, so that none has to be sent twice."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from ...base.json_text import parse_json
from ...base.logs import get_logger
from ...base.private_files import make_private_dirs, write_private_json
from ...errors import InvalidMessageError, StorageError
from ...transfer.framing import parse_digest

TEMPORARY_PREFIX: Final = ".new-"
NOTE_SUFFIX: Final = ".used"
"""Of the small file beside each kept one: it names the jobs whose file it is, and is as old as the last use.
The kept file's own times can't tell that: a backup reads it, and its jobs' links share its times."""

_log = get_logger(__name__)


class FileCache:
    """A folder of files named for their digests, each a hard link to the same file in its job's folder.

    Synchronous, so call it in a thread. It raises no disk errors: a job without a cache is only slower.
    Verify what comes out: a job may have written to its files.

    A job is named by the digest of its attach key. Whoever purges it has the key, even after the worker's
    journal has forgotten the job.

    Args:
        directory: Where the files are kept; created when needed.
        max_bytes: How much space they may take; the least recently used are deleted first.
        max_age_sec: How long a file is kept after its last use.
    """

    def __init__(self, directory: Path, max_bytes: int, max_age_sec: float = math.inf) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._max_age_sec = max_age_sec
        self._lock = threading.Lock()

    def fetch(self, digest: str, size_bytes: int, target: Path, job: str | None = None) -> bool:
        """Links or copies the file with this digest and size to ``target``; False if it isn't here.

        Args:
            digest: The file's digest, with its algorithm.
            size_bytes: The file's size.
            target: Where it goes.
            job: Whose file it is from now on, too.
        """
        kept = self._path(digest)
        if kept is None:
            return False
        try:
            with self._lock:
                if kept.stat().st_size != size_bytes or target.exists():
                    return False
                _link_or_copy(kept, target)
                _note_use(kept, job)
        except FileNotFoundError:
            return False
        except (OSError, StorageError) as error:
            _log.warning("The cache can't be read.", error=str(error))
            return False
        return True

    def add(self, digest: str, path: Path, job: str | None = None) -> None:
        """Keeps a file whose digest was verified, and deletes older ones to make room.

        Args:
            digest: The file's digest, with its algorithm.
            path: The file.
            job: Whose file it is.
        """
        kept = self._path(digest)
        if kept is None:
            return
        try:
            with self._lock:
                self._add(kept, path, job)
        except (OSError, StorageError) as error:
            _log.warning("A file isn't kept in the cache.", file=path.name, error=str(error))

    def _add(self, kept: Path, path: Path, job: str | None) -> None:
        size_bytes = path.stat().st_size
        if size_bytes > self._max_bytes:
            return
        if kept.exists() and kept.samefile(path):
            _note_use(kept, job)
            return
        make_private_dirs(self._directory)
        self._shrink(self._max_bytes - size_bytes)
        _note_use(kept, job)  # first, so that no file is here without its job
        folder = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=self._directory))
        try:
            _link_or_copy(path, folder / kept.name)
            (folder / kept.name).replace(kept)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def clean(self, now: float | None = None) -> None:
        """Deletes what is too old or too much, and what an earlier process left unfinished.

        Args:
            now: In Unix epoch seconds; the present by default.
        """
        now = time.time() if now is None else now
        with contextlib.suppress(OSError, StorageError), self._lock:
            for folder in self._directory.glob(f"{TEMPORARY_PREFIX}*"):
                shutil.rmtree(folder, ignore_errors=True)
            for note in self._directory.glob(f"*{NOTE_SUFFIX}"):
                if not note.with_suffix("").exists():
                    note.unlink(missing_ok=True)
            for path in self._kept():
                if not _note_of(path).exists():  # version 0.1.0 made none
                    _note_use(path, None)
                if now - _used_at(path) > self._max_age_sec:
                    _delete(path)
            self._shrink(self._max_bytes)

    def delete_files_of(self, job: str) -> None:
        """Deletes a job's files, even those that another job uses too: that one sends them again.

        Raises:
            OSError: One of them can't be deleted.
        """
        with self._lock:
            for path in self._kept():
                if job in _jobs_of(path):
                    _delete(path)

    def evictable_bytes(self) -> float:
        """Returns what would be free without the files that no job uses just now."""
        with contextlib.suppress(OSError), self._lock:
            return float(sum(status.st_size for _, status in self._unused()))
        return 0.0

    def evict(self, least_bytes: float) -> None:
        """Deletes files that no job uses, the least recently used first, until that much is free."""
        with contextlib.suppress(OSError), self._lock:
            for path, status in sorted(self._unused(), key=lambda item: _used_at(item[0])):
                if least_bytes <= 0:
                    return
                _delete(path)
                least_bytes -= status.st_size

    def _unused(self) -> list[tuple[Path, os.stat_result]]:
        found = [(path, path.stat()) for path in self._kept()]
        return [(path, status) for path, status in found if status.st_nlink == 1]

    def _path(self, digest: str) -> Path | None:
        try:
            return self._directory / "-".join(parse_digest(digest))
        except InvalidMessageError:
            return None

    def _kept(self) -> Iterator[Path]:
        for path in self._directory.glob("*-*"):
            if path.suffix != NOTE_SUFFIX and path.is_file():
                yield path

    def _shrink(self, max_bytes: int) -> None:
        kept = [(path, path.stat().st_size, _used_at(path)) for path in self._kept()]
        total_bytes = sum(size_bytes for _, size_bytes, _ in kept)
        for path, size_bytes, _ in sorted(kept, key=lambda item: item[2]):
            if total_bytes <= max_bytes:
                return
            _delete(path)
            total_bytes -= size_bytes


@attrs.frozen
class JobCache:
    """The cache as one job uses it.

    Attributes:
        files: All jobs' files.
        job: The digest of the job's attach key; None if it has none, and can't be purged.
        keeps_nothing: Whether the job wants none of its files kept: it uses what is here, and adds nothing.
    """

    files: FileCache
    job: str | None = None
    keeps_nothing: bool = False

    def fetch(self, digest: str, size_bytes: int, target: Path) -> bool:
        """As :meth:`FileCache.fetch`, for this job."""
        return self.files.fetch(digest, size_bytes, target, self.job)

    def add(self, digest: str, path: Path) -> None:
        """As :meth:`FileCache.add`, for this job."""
        if not self.keeps_nothing:
            self.files.add(digest, path, self.job)


def _note_of(kept: Path) -> Path:
    return kept.with_name(kept.name + NOTE_SUFFIX)


def _note_use(kept: Path, job: str | None) -> None:
    jobs = _jobs_of(kept)
    write_private_json(_note_of(kept), sorted(jobs | ({job} if job is not None else set())))


def _jobs_of(kept: Path) -> set[str]:
    try:
        return {str(job) for job in parse_json(_note_of(kept).read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError):
        return set()


def _used_at(kept: Path) -> float:
    with contextlib.suppress(OSError):
        return _note_of(kept).stat().st_mtime
    return kept.stat().st_mtime


def _delete(kept: Path) -> None:
    kept.unlink(missing_ok=True)
    _note_of(kept).unlink(missing_ok=True)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
