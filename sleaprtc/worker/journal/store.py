"""What a worker knows of its jobs, on disk, so that neither a crash nor a reboot forgets them.

One SQLite file in the work folder. Calls block for as long as the disk takes: they are made in threads.
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

from ...base.json_text import format_json, parse_json
from ...base.sentences import as_clause
from ...errors import ProtocolError, StorageError
from ...protocol.codec import decode_job_message, encode_job_message
from ...protocol.jobs import JobComplete, JobFailed, JobMessage, JobRequest, JobStatus

MAX_STATUSES_PER_JOB: Final = 20_000
"""Older ones are dropped: a year of statuses every half hour, or ten thousand epochs."""

BUSY_TIMEOUT_SEC: Final = 2.0
"""How long to wait where another process, such as a backup, has the file locked. Statuses wait behind it, and
a client takes a worker for lost that says nothing for ten seconds."""

SCHEMA_VERSION: Final = 1

RECEIVING: Final = "receiving"
TRAINING: Final = "training"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
DELIVERED: Final = "delivered"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS jobs (
    job_id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL,
    request TEXT NOT NULL,
    directory TEXT NOT NULL,
    state TEXT NOT NULL,
    last_word TEXT,
    archive TEXT,
    updated_at REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS statuses (
    job_id TEXT NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    status TEXT NOT NULL,
    PRIMARY KEY (job_id, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS logs (
    job_id TEXT PRIMARY KEY REFERENCES jobs (job_id) ON DELETE CASCADE,
    offset_bytes INTEGER NOT NULL,
    tail BLOB NOT NULL
) STRICT;
"""


@attrs.frozen
class JournalEntry:
    """A job as the journal has it.

    Attributes:
        state: ``receiving``, ``training`` (also while it predicts), ``completed`` (its result waits to be
            fetched), ``failed`` or ``delivered``.
        directory: The job's own folder.
        last_word: What the client is told when it asks again.
        archive: The file that goes to the client, of a completed job.
        updated_at: Unix epoch seconds.
    """

    job_id: str
    client_id: str
    request: JobRequest
    directory: Path
    state: str
    last_word: JobComplete | JobFailed | None
    archive: Path | None
    updated_at: float

    @property
    def is_unfinished(self) -> bool:
        """Whether the job was being worked on when this was written."""
        return self.state in (RECEIVING, TRAINING)


class Journal:
    """The file. One worker process has it open at a time.

    Args:
        path: Made where it doesn't exist.

    Raises:
        StorageError: It can't be opened, is no journal, or belongs to a worker that runs.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        with _translated("opened"):
            self._db = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_SEC, check_same_thread=False, isolation_level=None
            )
            try:
                path.chmod(0o600)
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(_SCHEMA)
        self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._db.close()

    def begin(self, job_id: str, client_id: str, request: JobRequest, directory: Path) -> None:
        """Writes a job down before anything is done for it."""
        self._write(
            "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, NULL, NULL, ?)",
            (job_id, client_id, _dump(request), str(directory), RECEIVING, time.time()),
        )

    def change(
        self,
        job_id: str,
        state: str,
        *,
        last_word: JobComplete | JobFailed | None = None,
        archive: Path | None = None,
    ) -> None:
        """Moves a job on; what isn't given stays as it is."""
        self._write(
            "UPDATE jobs SET state = ?, last_word = coalesce(?, last_word),"
            " archive = coalesce(?, archive), updated_at = ? WHERE job_id = ?",
            (
                state,
                None if last_word is None else _dump(last_word),
                None if archive is None else str(archive),
                time.time(),
                job_id,
            ),
        )

    def follow_clock(self, jump_sec: float, now: float) -> None:
        """Moves the times of all jobs with a clock that was set; none is left in the future."""
        self._write("UPDATE jobs SET updated_at = min(updated_at + ?, ?)", (jump_sec, now))

    def add_status(self, status: JobStatus) -> None:
        """Keeps a status for a client that isn't there to hear it."""
        self._write(
            "INSERT OR REPLACE INTO statuses SELECT job_id, ?, ? FROM jobs WHERE job_id = ?",
            (status.seq, _dump(status), status.job_id),
        )
        if status.seq is not None and status.seq > MAX_STATUSES_PER_JOB:
            self._write(
                "DELETE FROM statuses WHERE job_id = ? AND seq <= ?",
                (status.job_id, status.seq - MAX_STATUSES_PER_JOB),
            )

    def statuses_after(self, job_id: str, seq: int, most: int = -1) -> list[JobStatus]:
        """Lists what was said after ``seq``, in order; with ``most``, no more than so many."""
        rows = self._read(
            "SELECT status FROM statuses WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?",
            (job_id, seq, most),
        )
        return [message for (text,) in rows if isinstance(message := _load(text), JobStatus)]

    def last_status(self, job_id: str) -> JobStatus | None:
        """Looks up what was said last."""
        rows = self._read("SELECT status FROM statuses WHERE job_id = ? ORDER BY seq DESC LIMIT 1", (job_id,))
        message = _load(rows[0][0]) if rows else None
        return message if isinstance(message, JobStatus) else None

    def keep_log(self, job_id: str, offset_bytes: int, tail: bytes) -> None:
        """Keeps the end of a trainer's log, which began ``offset_bytes`` into it."""
        self._write(
            "INSERT OR REPLACE INTO logs SELECT job_id, ?, ? FROM jobs WHERE job_id = ?",
            (offset_bytes, tail, job_id),
        )

    def kept_log(self, job_id: str) -> tuple[int, bytes]:
        """The end of a trainer's log and how many bytes were before it; nothing where none was kept."""
        rows = self._read("SELECT offset_bytes, tail FROM logs WHERE job_id = ?", (job_id,))
        return (int(rows[0][0]), bytes(rows[0][1])) if rows else (0, b"")

    def find(self, job_id: str) -> JournalEntry | None:
        """Looks a job up."""
        rows = self._read("SELECT * FROM jobs WHERE job_id = ?", (job_id,))
        return _entry(rows[0]) if rows else None

    def entries(self) -> list[JournalEntry]:
        """Lists all jobs, the oldest first."""
        rows = self._read("SELECT * FROM jobs ORDER BY updated_at", ())
        return [entry for row in rows if (entry := _entry(row)) is not None]

    def forget(self, job_id: str) -> None:
        """Deletes a job and its statuses; its folder is the caller's."""
        self._write("DELETE FROM jobs WHERE job_id = ?", (job_id,))

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
    job_id, client_id, request_text, directory, state, word_text, archive, updated_at = row
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
    )
