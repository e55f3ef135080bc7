"""A worker's answers to a process that has a job's key: the job's state, and its log so far.

Nothing here waits for the network. Calls block for as long as the disk takes, so they are made in threads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from ...jobs import life
from ...jobs.keys import is_key_of
from ...protocol.codec import encode_job_message
from ...protocol.jobs import AppError, JobAttached, JobComplete, JobFailed, JobLog, JobLogRequest, JobStatus
from ...protocol.vocabulary import ErrorCode
from ..trainer import LOG_NAME
from .store import Journal, JournalEntry

MAX_STATUSES_PER_ANSWER: Final = 200
MAX_STATUS_BYTES_PER_ANSWER: Final = 48 * 1024
MAX_LOG_BYTES_PER_ANSWER: Final = 24 * 1024
"""A frame to the server has at most 256 KiB, and one byte may take six characters in JSON."""

MAX_KEPT_LOG_BYTES: Final = 64 * 1024
"""How much is kept of the end of the trainer's log when a job is over; the reason of a failure is there."""


def unknown_job(job_id: str) -> AppError:
    """The reply to a request for an unknown job, or somebody else's."""
    return AppError(ErrorCode.UNKNOWN_JOB, "This worker has no such job of yours.", job_id=job_id)


def taken_over(job_id: str) -> AppError:
    """The message for a process that followed a job until another one attached to it."""
    return AppError(ErrorCode.TAKEN_OVER, "Another process of yours follows the job now.", job_id=job_id)


def describe(
    journal: Journal, entry: JournalEntry, is_stopping: bool, follows: bool | None = None
) -> JobAttached:
    """The reply that describes a job; ``follows`` is whether the asker follows it, or None if nobody does.

    Raises:
        StorageError: The journal can't be read.
    """
    word = entry.last_word
    return JobAttached(
        entry.job_id,
        life.as_reported(entry.state),
        since=entry.updated_at,
        last_status=journal.last_status(entry.job_id),
        result=word.result if isinstance(word, JobComplete) else None,
        error=word.error if isinstance(word, JobFailed) else None,
        stop_requested=is_stopping or entry.is_stopping,
        follows=follows,
    )


def page_of_log(journal: Journal, request: JobLogRequest) -> JobLog | AppError:
    """The reply with the next part of a job's statuses and log, as much as one message holds.

    Raises:
        StorageError: The journal can't be read.
    """
    entry = journal.find(request.job_id)
    if entry is None or not is_key_of(entry.request, request.attach_key):
        return unknown_job(request.job_id)
    found = journal.statuses_after(request.job_id, request.after_seq, MAX_STATUSES_PER_ANSWER)
    statuses = _as_many_as_fit(found)
    begin_bytes, text = _read_log(journal, entry, request.log_offset_bytes)
    part = _whole_lines(text)
    is_all = len(statuses) == len(found) < MAX_STATUSES_PER_ANSWER and len(part) == len(text)
    return JobLog(
        entry.job_id,
        life.as_reported(entry.state),
        tuple(statuses),
        part.decode("utf-8", "replace"),
        begin_bytes + len(part),
        has_more=not is_all,
    )


def keep_log(journal: Journal, job_id: str, job_dir: Path) -> None:
    """Keeps the end of a trainer's log before the job's folder is deleted.

    Raises:
        StorageError: The journal can't be written.
    """
    log = _log_file(job_dir)
    if log is not None:
        begin_bytes, tail = _read_end(log, MAX_KEPT_LOG_BYTES)
        journal.keep_log(job_id, begin_bytes, tail)


def _as_many_as_fit(statuses: list[JobStatus]) -> list[JobStatus]:
    """Returns the first statuses that fit into a message, and at least one, so that paging makes progress."""
    room_bytes = MAX_STATUS_BYTES_PER_ANSWER
    for count, status in enumerate(statuses):
        room_bytes -= len(json.dumps(encode_job_message(status)))
        if room_bytes < 0:
            return statuses[: max(count, 1)]
    return statuses


def _log_file(job_dir: Path) -> Path | None:
    """Returns the trainer's log, which is in a folder inside the job's."""
    try:
        return next(iter(sorted(job_dir.glob(f"*/{LOG_NAME}"))), None)
    except OSError:
        return None  # the job's folder was deleted just now


def _read_log(journal: Journal, entry: JournalEntry, offset_bytes: int | None) -> tuple[int, bytes]:
    """Reads a log from an offset on, or its end. Returns up to one byte more than a message holds."""
    log = _log_file(entry.directory)
    if log is not None:
        if offset_bytes is None:
            return _read_end(log, MAX_LOG_BYTES_PER_ANSWER)
        return offset_bytes, _read_from(log, offset_bytes)
    begin_bytes, tail = journal.kept_log(entry.job_id)
    if offset_bytes is None:
        skipped = max(0, len(tail) - MAX_LOG_BYTES_PER_ANSWER)
    else:
        skipped = min(max(0, offset_bytes - begin_bytes), len(tail))
    return begin_bytes + skipped, tail[skipped:]


def _read_end(log: Path, most_bytes: int) -> tuple[int, bytes]:
    try:
        with log.open("rb") as file:
            begin_bytes = max(0, file.seek(0, 2) - most_bytes)
            file.seek(begin_bytes)
            return begin_bytes, file.read(most_bytes)
    except OSError:
        return 0, b""  # it was deleted just now, with the job's folder


def _read_from(log: Path, offset_bytes: int) -> bytes:
    try:
        with log.open("rb") as file:
            file.seek(max(0, offset_bytes))
            return file.read(MAX_LOG_BYTES_PER_ANSWER + 1)
    except OSError:
        return b""


def _whole_lines(text: bytes) -> bytes:
    """Cuts text that is too long for a message, at the end of a line if there is one."""
    if len(text) <= MAX_LOG_BYTES_PER_ANSWER:
        return text
    end = text.rfind(b"\n", 0, MAX_LOG_BYTES_PER_ANSWER) + 1
    return text[: end or MAX_LOG_BYTES_PER_ANSWER]
