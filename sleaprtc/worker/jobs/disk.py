"""A worker's disk: measures it, remembers who reserved what, and makes room (:mod:`sleaprtc.jobs.disk`)."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Collection
from pathlib import Path

from ...base.sentences import as_clause
from ...errors import StorageError
from ...jobs.disk import DiskRefusal, DiskUse, has_to_end, needed_bytes, refusal, spare_bytes
from ...protocol.jobs import JobRequest
from ...protocol.limits import MIB
from ...transfer.disk import DiskFullError
from .cache import FileCache


class WorkerDisk:
    """What a worker's folder may take, and what its jobs have reserved of it.

    Whatever measures blocks for as long as the disk takes, so it is called in threads.

    Args:
        folder: The worker's folder.
        quota_bytes: The most that may lie in it; infinite if only the disk limits it.
        cache: Files of earlier jobs, which make room; None if none are kept.
    """

    def __init__(self, folder: Path, quota_bytes: float, cache: FileCache | None) -> None:
        self._folder = folder
        self._quota_bytes = quota_bytes
        self._cache = cache
        self._reserved: dict[str, float] = {}
        self._job_dirs: dict[str, Path] = {}
        self._lock = threading.Lock()  # held from measuring to reserving

    # --- reserving, without checking the disk -------------------------------------------------

    def reserve(self, request: JobRequest) -> None:
        """Reserves what a job needs."""
        self._reserved[request.job_id] = needed_bytes(request)

    def release_all_but(self, job_ids: Collection[str]) -> None:
        """Releases what other jobs than these have reserved."""
        for job_id in self._reserved.keys() - set(job_ids):
            del self._reserved[job_id]
            self._job_dirs.pop(job_id, None)

    def refusal(self, use: DiskUse, request: JobRequest) -> DiskRefusal | None:
        """Returns why a job can't reserve what it needs, as the disk was measured; None if it can."""
        return refusal(use, dict(self._reserved), request.job_id, needed_bytes(request))

    # --- checking the disk --------------------------------------------------------------------

    def begin(self, request: JobRequest, job_dir: Path) -> None:
        """Reserves what an assigned job needs, and makes room for it.

        Raises:
            DiskFullError: There isn't enough any more.
            StorageError: The disk can't be measured.
        """
        with self._lock:
            use = self.measure()
            refused = self.refusal(use, request)
            if refused is not None:
                raise DiskFullError(refused.sentence)
            self.reserve(request)
            self._job_dirs[request.job_id] = job_dir
            self._make_room(use)

    def check_file(self, job_id: str, size_bytes: float) -> None:
        """Checks whether a file that a client offers for its job fits, and makes room for it.

        Raises:
            DiskFullError: It doesn't.
            StorageError: The disk can't be measured.
        """
        with self._lock:
            use = self.measure()
            needed = use.by_job.get(job_id, 0.0) + size_bytes
            if needed <= self._reserved.get(job_id, 0.0):
                return
            spare = spare_bytes(use, dict(self._reserved), {job_id})
            if size_bytes > spare:
                raise DiskFullError(
                    f"The file has {size_bytes / MIB:.0f} MiB, and the worker has "
                    f"{max(spare, 0) / MIB:.0f} MiB of disk left that no other job has reserved."
                )
            self._reserved[job_id] = needed
            self._make_room(use)

    def has_to_end(self, job_id: str) -> bool:
        """Whether a job takes what others have reserved; makes room first.

        Raises:
            StorageError: The disk can't be measured.
        """
        reserved = self._reserved.get(job_id)
        job_dir = self._job_dirs.get(job_id)
        if reserved is None or job_dir is None or occupied_bytes(job_dir) <= reserved:
            return False
        with self._lock:
            use = self.measure()
            self._make_room(use)
            return has_to_end(use, dict(self._reserved), job_id)

    def measure(self) -> DiskUse:
        """Returns how full the disk is.

        Raises:
            StorageError: It can't be measured.
        """
        try:
            free_bytes = shutil.disk_usage(self._folder).free
        except OSError as error:
            raise StorageError(f"The worker's disk can't be measured: {as_clause(error)}.") from error
        return DiskUse(
            self._quota_bytes,
            occupied_bytes(self._folder),
            free_bytes,
            0.0 if self._cache is None else self._cache.evictable_bytes(),
            {job_id: occupied_bytes(job_dir) for job_id, job_dir in list(self._job_dirs.items())},
        )

    def _make_room(self, use: DiskUse) -> None:
        """Evicts from the cache what the reservations don't leave room for."""
        lacking = use.evictable_bytes - spare_bytes(use, dict(self._reserved))
        if self._cache is not None and lacking > 0:
            self._cache.evict(lacking)


def occupied_bytes(folder: Path) -> float:
    """Returns what the files below a folder occupy; one with several names there counts once."""
    found: dict[tuple[int, int], int] = {}
    for directory, _, names in os.walk(folder):
        for name in names:
            try:
                status = Path(directory, name).lstat()
            except OSError:
                continue  # gone meanwhile
            if stat.S_ISREG(status.st_mode):
                found[status.st_dev, status.st_ino] = status.st_blocks * 512
    return float(sum(found.values()))
