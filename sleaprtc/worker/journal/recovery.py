"""What a worker keeps on disk between jobs and across its own restarts."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Final

import attrs
import platformdirs

from ...base.json_text import parse_json
from ...base.logs import get_logger
from ...base.private_files import PRIVATE_MODE
from ...base.sentences import as_clause
from ...errors import StorageError
from ...jobs import life
from ...jobs.life import Cause, State
from ...protocol.jobs import JobError, JobFailed
from ...protocol.vocabulary import ErrorCode
from .answers import keep_log
from .store import Journal, JournalEntry

JOB_DIR_PREFIX: Final = "job-"
MAX_DRIFT_SEC: Final = 60.0
"""If two clocks drift apart by more than this in an hour, one of them was set."""

EPHEMERAL_KEPT_SEC: Final = 3600.0
"""How long it is kept how an ephemeral job ended, for a client that couldn't be told."""

_log = get_logger(__name__)


def default_work_dir(name: str) -> Path:
    """Returns the default folder for the files of the worker with this name."""
    return platformdirs.user_data_path("sleap-rtc") / "worker" / re.sub(r"[^\w-]", "_", name)


class ResumeTokenFile:
    """The token with which a killed worker gets its name back while the server still believes it connected.

    Args:
        work_dir: The folder of the file.
        room_id: The room that the token holds in.
        name: The worker's name, which the token is for.
    """

    def __init__(self, work_dir: Path, room_id: str, name: str) -> None:
        self._path = work_dir / "resume.json"
        self._place = [room_id, name]

    def read(self) -> str | None:
        """Returns the token of this worker's last run, if that was the same worker in the same room."""
        try:
            *place, token = parse_json(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError):
            return None
        return token if place == self._place and isinstance(token, str) else None

    def write(self, token: str | None) -> None:
        """Stores a token, readable by the owner only. A disk that can't be written is logged, not raised."""
        try:
            self._path.unlink(missing_ok=True)
            self._path.touch(mode=0o600)
            self._path.write_text(json.dumps([*self._place, token]), encoding="utf-8")
        except OSError as error:
            _log.warning("The worker's name can't be stored for its next start.", error=str(error))


def make_jobs_dir(work_dir: Path) -> Path:
    """Makes the folder for the jobs' own folders.

    Raises:
        StorageError: It can't be made.
    """
    jobs_dir = work_dir / "jobs"
    try:
        jobs_dir.mkdir(mode=PRIVATE_MODE, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {jobs_dir} can't be made: {as_clause(error)}.") from error
    return jobs_dir


def note_restart(journal: Journal) -> list[JournalEntry]:
    """Moves on the jobs that were under way when the worker ended: work is interrupted, the others failed.

    Returns:
        The jobs that failed.

    Raises:
        StorageError: The journal can't be read or written.
    """
    failed = []
    for entry in journal.entries():
        following = life.after(entry.state, Cause.RESTARTED)
        if following is State.FAILED:
            word = JobFailed(
                entry.job_id,
                JobError(ErrorCode.WORKER_RESTARTED, "The worker was restarted while it had this job.", True),
            )
            journal.move(entry.job_id, Cause.RESTARTED, last_word=word)
            keep_log(journal, entry.job_id, entry.directory)
            shutil.rmtree(entry.directory, ignore_errors=True)
            failed.append(attrs.evolve(entry, state=State.FAILED, last_word=word))
        elif following is not None and following != entry.state:
            journal.move(entry.job_id, Cause.RESTARTED)
    return failed


def remove_orphans(journal: Journal, jobs_dir: Path) -> None:
    """Deletes job folders in which nothing is kept: those unknown to the journal, and what a kill left.

    The folder of a job in a newer version's state stays.

    Raises:
        StorageError: The journal can't be read.
    """
    known = {directory for directory, state in journal.directories() if life.keeps_files(state)}
    for path in jobs_dir.glob(f"{JOB_DIR_PREFIX}*"):
        if path not in known:
            shutil.rmtree(path, ignore_errors=True)


@attrs.frozen
class WallClock:
    """The machine's date at one moment, together with a clock that nobody sets.

    Attributes:
        wall_sec: Unix epoch seconds.
        monotonic_sec: The other clock's time; it may stand still while the machine sleeps.
    """

    wall_sec: float
    monotonic_sec: float

    def jump_sec(self, wall_sec: float, monotonic_sec: float) -> float:
        """Returns how far the date was set since then. A machine that slept looks set forward."""
        jump_sec = (wall_sec - self.wall_sec) - (monotonic_sec - self.monotonic_sec)
        return jump_sec if abs(jump_sec) > MAX_DRIFT_SEC else 0.0


def forget_old(journal: Journal, now: float, keep_sec: float, jump_sec: float = 0.0) -> list[JournalEntry]:
    """Deletes jobs that are over, with results that nobody fetched, ``keep_sec`` after their last change.

    Of an ephemeral job, only a result is kept that long. A job in a newer version's state is kept.

    Setting the clock forward by ``jump_sec`` makes no job older: a machine that starts in 1970 and
    then learns the date forgets no models.

    Returns:
        Those jobs.

    Raises:
        StorageError: The journal can't be read or written.
    """
    journal.follow_clock(jump_sec, now)
    forgotten = []
    for entry in journal.entries():
        is_old = now - entry.updated_at > _kept_sec(entry, keep_sec)
        if is_old and life.after(entry.state, Cause.KEPT_LONG_ENOUGH) is State.ABSENT:
            shutil.rmtree(entry.directory, ignore_errors=True)
            journal.move(entry.job_id, Cause.KEPT_LONG_ENOUGH)
            forgotten.append(entry)
            _log.info("The job is forgotten.", job=entry.job_id)
    return forgotten


def _kept_sec(entry: JournalEntry, keep_sec: float) -> float:
    if not entry.request.ephemeral or life.keeps_result(entry.state):
        return keep_sec
    return min(keep_sec, EPHEMERAL_KEPT_SEC)
