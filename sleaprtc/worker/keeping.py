"""What a worker keeps on disk between jobs and between its own lives."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Final

import attrs

from ..protocol.jobs import JobError, JobFailed
from .journal import FAILED, Journal, JournalEntry

JOB_DIR_PREFIX: Final = "job-"

_log = logging.getLogger(__name__)


class ResumeTokenFile:
    """What lets a worker that was killed have its name back, while the server still takes it for alive.

    Args:
        work_dir: Where the file is.
        room_id: The token holds in this room only.
        name: The worker's, likewise.
    """

    def __init__(self, work_dir: Path, room_id: str, name: str) -> None:
        self._path = work_dir / "resume.json"
        self._place = [room_id, name]

    def read(self) -> str | None:
        """The token of this worker's last life, if it was the same worker in the same room."""
        try:
            *place, token = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError):
            return None
        return token if place == self._place and isinstance(token, str) else None

    def write(self, token: str | None) -> None:
        """Keeps a token, readable by the owner only; without one, or without a disk, nothing is kept."""
        try:
            self._path.unlink(missing_ok=True)
            self._path.touch(mode=0o600)
            self._path.write_text(json.dumps([*self._place, token]), encoding="utf-8")
        except OSError as error:
            _log.warning("The worker's name can't be kept for its next start: %s.", error)


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
