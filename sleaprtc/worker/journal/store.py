"""What a worker knows of its jobs, on disk, so that neither a crash nor a reboot forgets them.

One SQLite file in the work folder. How a job moves from state to state is :mod:`sleaprtc.jobs.life`'s.
Calls block for as long as the disk takes: they are made in threads.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs

from ...base.database import Layout, open_database
from ...base.json_text import format_json, parse_json
from ...base.logs import get_logger
from ...base.sentences import as_clause
from ...errors import ProtocolError, StorageError
from ...jobs import life
from ...jobs.life import Cause, State
from ...protocol.codec import decode_job_message, encode_job_message
from ...protocol.jobs import JobComplete, JobFailed, JobMessage, JobRequest, JobStatus

MAX_STATUSES_PER_JOB: Final = 20_000
"""Older ones are dropped: a year of statuses every half hour, or ten thousand epochs."""

BUSY_TIMEOUT_SEC: Final = 2.0
"""How long to wait while another process, such as a backup, has the file locked. Statuses wait behind it, and
a client gives a worker up for lost after ten seconds of silence."""

_log = get_logger(__name__)

LAYOUT: Final = Layout(
    name="journal",
    option="--work-dir",
    steps=(
        (
            """CREATE TABLE IF NOT EXISTS jobs (
                job_id TEXT PRIMARY KEY,
                client_id TEXT NOT NULL,
                request TEXT NOT NULL,
                directory TEXT NOT NULL,
                state TEXT NOT NULL,
                last_word TEXT,
                archive TEXT,
                updated_at REAL NOT NULL
            ) STRICT""",
            """CREATE TABLE IF NOT EXISTS statuses (
                job_id TEXT NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
                seq INTEGER NOT NULL,
                status TEXT NOT NULL,
                PRIMARY KEY (job_id, seq)
            ) STRICT, WITHOUT ROWID""",
            """CREATE TABLE IF NOT EXISTS logs (
                job_id TEXT PRIMARY KEY REFERENCES jobs (job_id) ON DELETE CASCADE,
                offset_bytes INTEGER NOT NULL,
                tail BLOB NOT NULL
            ) STRICT""",
        ),
        (
            "ALTER TABLE jobs ADD COLUMN resumes INTEGER NOT NULL DEFAULT 0",
            "ALTER TABLE jobs ADD COLUMN is_stopping INTEGER NOT NULL DEFAULT 0",
        ),
    ),
)

_RESUMES: Final = {Cause.RESUMED: 1, Cause.INTERRUPTED: -1}
"""What a move adds to the count of resumes. An owner who stops the worker shows nothing about the work."""

_BEGUN: Final = "job_id, client_id, request, directory, state, updated_at"
_COLUMNS: Final = (
    "job_id, client_id, request, directory, state, last_word, archive, updated_at, resumes, is_stopping"
)


@attrs.frozen
class JournalEntry:
    """A job as the journal has it.

    Attributes:
        state: A :class:`~sleaprtc.jobs.life.State`, or a newer version's.
        directory: The job's own folder.
        last_word: What a client that asks again is sent.
        archive: The file that a completed job sends to its client.
        updated_at: Unix epoch seconds.
        resumes: How often the work was resumed since it last made progress.
        is_stopping: Whether the client asked to end the job early.
    """

    job_id: str
    client_id: str
    request: JobRequest
    directory: Path
    state: str
    last_word: JobComplete | JobFailed | None
    archive: Path | None
    updated_at: float
    resumes: int = 0
    is_stopping: bool = False


class Journal:
    """The file. One worker process has it open at a time.

    Args:
        path: Made if it doesn't exist.

    Raises:
        StorageError: It can't be opened, is no journal, or belongs to a running worker.
        NewerStateError: A newer version wrote it.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = open_database(path, LAYOUT, BUSY_TIMEOUT_SEC)

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._db.close()

    def begin(
        self,
        job_id: str,
        client_id: str,
        request: JobRequest,
        directory: Path,
        cause: Cause = Cause.ASSIGNED,
    ) -> None:
        """Writes a job down before anything is done for it, in the place of an earlier one with its id.

        Raises:
            StorageError: The file can't be written, or ``cause`` begins no job in the earlier one's state.
        """
        with self._lock, _translated("written"):
            earlier = self._state_of(job_id)
            following = life.after(earlier, cause)
            if following is None:
                raise StorageError(f"The worker has a job with this job_id already, and it is {earlier}.")
            self._db.execute(
                f"INSERT OR REPLACE INTO jobs ({_BEGUN}) VALUES (?, ?, ?, ?, ?, ?)",
                (job_id, client_id, _dump(request), str(directory), str(following), time.time()),
            )

    def move(
        self,
        job_id: str,
        cause: Cause,
        *,
        last_word: JobComplete | JobFailed | None = None,
        archive: Path | None = None,
    ) -> State | None:
        """Moves a job on; what isn't given stays as it is. A job that is absent then is deleted.

        A job begins with :meth:`begin`. Of a job that is cancelled, nothing is kept but that and its key.

        Returns:
            The state that the job is in then; None if ``cause`` changes nothing in its present one.
        """
        with self._lock, _translated("written"):
            state = self._state_of(job_id)
            following = None if state == State.ABSENT else life.after(state, cause)
            if following is None:
                _log.info("A job's state stays as it is.", job=job_id, state=state, cause=str(cause))
            elif following is State.ABSENT:
                self._db.execute("DELETE FROM jobs WHERE job_id = ?", (job_id,))
            else:
                self._db.execute(
                    "UPDATE jobs SET state = ?, resumes = max(0, resumes + ?),"
                    " last_word = coalesce(?, last_word), archive = coalesce(?, archive), updated_at = ?"
                    " WHERE job_id = ?",
                    (
                        str(following),
                        _RESUMES.get(cause, 0),
                        None if last_word is None else _dump(last_word),
                        None if archive is None else str(archive),
                        time.time(),
                        job_id,
                    ),
                )
            if following is State.CANCELLED:
                self._clear(job_id)
            return following

    def _clear(self, job_id: str) -> None:
        """Deletes what a job's page says of the job's content."""
        self._db.execute("DELETE FROM statuses WHERE job_id = ?", (job_id,))
        self._db.execute("DELETE FROM logs WHERE job_id = ?", (job_id,))
        rows = self._db.execute("SELECT request FROM jobs WHERE job_id = ?", (job_id,)).fetchall()
        request = _load(rows[0][0]) if rows else None
        if isinstance(request, JobRequest):
            bare = JobRequest(job_id, request.job_type, attach_digest=request.attach_digest)
            self._db.execute("UPDATE jobs SET request = ? WHERE job_id = ?", (_dump(bare), job_id))

    def hand_over(self, job_id: str, client_id: str) -> None:
        """Notes which peer follows the job from now on."""
        self._write("UPDATE jobs SET client_id = ? WHERE job_id = ?", (client_id, job_id))

    def note_stop(self, job_id: str) -> None:
        """Notes that the client asked to end the job early."""
        self._write("UPDATE jobs SET is_stopping = 1 WHERE job_id = ?", (job_id,))

    def note_progress(self, job_id: str) -> None:
        """Notes that resumed work has made progress."""
        self._write("UPDATE jobs SET resumes = 0 WHERE job_id = ?", (job_id,))

    def follow_clock(self, jump_sec: float, now: float) -> None:
        """Moves the times of all jobs along with a clock that was set; none is left in the future."""
        self._write("UPDATE jobs SET updated_at = min(updated_at + ?, ?)", (jump_sec, now))

    def add_status(self, status: JobStatus) -> None:
        """Keeps a status for a client that isn't connected to receive it."""
        self._write(
            "INSERT OR REPLACE INTO statuses (job_id, seq, status)"
            " SELECT job_id, ?, ? FROM jobs WHERE job_id = ?",
            (status.seq, _dump(status), status.job_id),
        )
        if status.seq is not None and status.seq > MAX_STATUSES_PER_JOB:
            self._write(
                "DELETE FROM statuses WHERE job_id = ? AND seq <= ?",
                (status.job_id, status.seq - MAX_STATUSES_PER_JOB),
            )

    def statuses_after(self, job_id: str, seq: int, most: int = -1) -> list[JobStatus]:
        """Returns the statuses after ``seq``, in order, and at most ``most`` of them."""
        rows = self._read(
            "SELECT status FROM statuses WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?",
            (job_id, seq, most),
        )
        return [message for (text,) in rows if isinstance(message := _load(text), JobStatus)]

    def last_status(self, job_id: str) -> JobStatus | None:
        """Returns a job's last status."""
        rows = self._read("SELECT status FROM statuses WHERE job_id = ? ORDER BY seq DESC LIMIT 1", (job_id,))
        message = _load(rows[0][0]) if rows else None
        return message if isinstance(message, JobStatus) else None

    def keep_log(self, job_id: str, offset_bytes: int, tail: bytes) -> None:
        """Keeps the end of a trainer's log, which starts ``offset_bytes`` into the whole log."""
        self._write(
            "INSERT OR REPLACE INTO logs (job_id, offset_bytes, tail)"
            " SELECT job_id, ?, ? FROM jobs WHERE job_id = ?",
            (offset_bytes, tail, job_id),
        )

    def kept_log(self, job_id: str) -> tuple[int, bytes]:
        """Returns the kept end of a trainer's log, after the number of bytes before it."""
        rows = self._read("SELECT offset_bytes, tail FROM logs WHERE job_id = ?", (job_id,))
        return (int(rows[0][0]), bytes(rows[0][1])) if rows else (0, b"")

    def find(self, job_id: str) -> JournalEntry | None:
        """Returns a job's entry, if there is one."""
        rows = self._read(f"SELECT {_COLUMNS} FROM jobs WHERE job_id = ?", (job_id,))
        return _entry(rows[0]) if rows else None

    def entries(self) -> list[JournalEntry]:
        """Returns all jobs, oldest change first."""
        rows = self._read(f"SELECT {_COLUMNS} FROM jobs ORDER BY updated_at", ())
        return [entry for row in rows if (entry := _entry(row)) is not None]

    def directories(self) -> list[tuple[Path, str]]:
        """Returns all jobs' folders with the jobs' states, also of a job whose request can't be read here."""
        return [(Path(text), state) for text, state in self._read("SELECT directory, state FROM jobs", ())]

    def forget_course(self, job_id: str) -> None:
        """Deletes a job's statuses and log for good, and leaves how it ended; raises as below."""
        self._write("DELETE FROM statuses WHERE job_id = ?", (job_id,))
        self._write("DELETE FROM logs WHERE job_id = ?", (job_id,))
        self._overwrite_traces()

    def forget_for_good(self, job_id: str, cause: Cause) -> None:
        """Deletes a job for good: also its traces in the log that SQLite keeps beside the file.

        Args:
            job_id: The job, if it is still there.
            cause: Why; it has to lead from the job's present state to none.

        Raises:
            StorageError: The file can't be written, or another process, such as a backup, still reads what
                was deleted, or ``cause`` doesn't delete the job.
        """
        self.move(job_id, cause)
        with self._lock, _translated("read"):
            state = self._state_of(job_id)
        if state != State.ABSENT:
            raise StorageError(f"The job can't be deleted while it is {state}.")
        self._overwrite_traces()

    def _overwrite_traces(self) -> None:
        with self._lock, _translated("written"):
            (is_blocked, *_) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_blocked:
            raise StorageError("Another process reads the worker's journal just now. Try again in a minute.")

    def _state_of(self, job_id: str) -> str:
        rows = self._db.execute("SELECT state FROM jobs WHERE job_id = ?", (job_id,)).fetchall()
        return str(rows[0][0]) if rows else State.ABSENT

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        with self._lock, _translated("written"):
            self._db.execute(statement, values)

    def _read(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._lock, _translated("read"):
            return self._db.execute(query, values).fetchall()


@contextmanager
def _translated(verb: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"The journal can't be {verb}: {as_clause(error)}.") from error


def _dump(message: JobMessage) -> str:
    return format_json(encode_job_message(message))


def _load(text: str) -> JobMessage | None:
    try:
        return decode_job_message(parse_json(text))
    except (ProtocolError, ValueError):
        return None  # written by a newer version


def _entry(row: tuple[Any, ...]) -> JournalEntry | None:
    job_id, client_id, request_text, directory, state, word_text, archive, updated_at = row[:8]
    resumes, is_stopping = row[8:]
    request = _load(request_text)
    last_word = None if word_text is None else _load(word_text)
    if not isinstance(request, JobRequest):
        return None
    return JournalEntry(
        job_id,
        client_id,
        request,
        Path(directory),
        state,
        last_word if isinstance(last_word, JobComplete | JobFailed) else None,
        None if archive is None else Path(archive),
        updated_at,
        resumes,
        bool(is_stopping),
    )
