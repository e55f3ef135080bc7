"""What a worker keeps on disk between jobs and between its own lives."""

from __future__ import annotations

import fcntl
import logging
import shutil
from pathlib import Path
from typing import Final, TextIO

import attrs

from ..errors import StorageError
from ..protocol.jobs import JobError, JobFailed
from .journal import FAILED, Journal, JournalEntry

JOB_DIR_PREFIX: Final = "job-"

_log = logging.getLogger(__name__)


def lock_work_dir(work_dir: Path) -> TextIO:
    """Takes the folder for this process, until the returned file is closed.

    Raises:
        StorageError: It can't be written, or another worker has it.
    """
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
        lock = (work_dir / ".lock").open("w")
    except OSError as error:
        raise StorageError(f"The work folder {work_dir} can't be written: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StorageError(
            f"Another worker uses the work folder {work_dir}; give this one its own with --work-dir."
        ) from error
    return lock


def fail_interrupted(journal: Journal) -> list[JournalEntry]:
    """Writes down as failed what was under way when the worker last ended; returns those jobs."""
    interrupted = []
    for entry in journal.entries():
        if entry.is_unfinished:
            word = JobFailed(
                entry.job_id,
                JobError("WORKER_RESTARTED", "The worker was restarted while it had this job.", True),
            )
            journal.change(entry.job_id, FAILED, last_word=word)
            shutil.rmtree(entry.directory, ignore_errors=True)
            interrupted.append(attrs.evolve(entry, state=FAILED, last_word=word))
    return interrupted


def remove_orphans(journal: Journal, jobs_dir: Path) -> None:
    """Deletes job folders that the journal knows nothing of."""
    known = {entry.directory for entry in journal.entries()}
    for path in jobs_dir.glob(f"{JOB_DIR_PREFIX}*"):
        if path not in known:
            shutil.rmtree(path, ignore_errors=True)


def forget_old(journal: Journal, now: float, keep_sec: float) -> None:
    """Deletes ended jobs, with the models that nobody fetched, ``keep_sec`` after their last change."""
    for entry in journal.entries():
        if not entry.is_unfinished and now - entry.updated_at > keep_sec:
            shutil.rmtree(entry.directory, ignore_errors=True)
            journal.forget(entry.job_id)
            _log.info("Job %s is forgotten.", entry.job_id)
