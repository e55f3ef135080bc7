"""Keeps a job's record up to date with what happens to it."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Final

import attrs

from ...errors import JobFailedError, SleapRTCError, StorageError, TakenOverError, WorkerLostError
from ..events.job import Completed, Event, StatusChanged
from .files import CANCELLED, COMPLETED, FAILED, LOST, RUNNING, JobRecord, reread, save

SAVE_INTERVAL_SEC: Final = 5.0

_log = logging.getLogger(__name__)


class Logbook:
    """One job's record. That it can't be written costs attaching later, never the job.

    Nothing is written before something happens.

    Args:
        record: As the job begins, or as it was found.
        out_dir: Where the result goes, once it is there, if not where the record says.
    """

    def __init__(self, record: JobRecord, out_dir: str | None = None) -> None:
        self.record = record
        self._out_dir = record.out_dir if out_dir is None else out_dir
        self._saved_at = float("-inf")

    def begin(self) -> None:
        """Writes down that there is such a job."""
        self._save()

    def see(self, event: Event) -> None:
        """Takes note of what happens."""
        if isinstance(event, StatusChanged):
            self.record = attrs.evolve(
                self.record,
                state=RUNNING if self.record.state == LOST else self.record.state,  # it has been found again
                last_seq=max(event.seq or 0, self.record.last_seq),
                last_status=attrs.asdict(event),
                last_seen_at=time.time(),
            )
            if time.monotonic() - self._saved_at > SAVE_INTERVAL_SEC:
                self._save()
        elif isinstance(event, Completed):
            paths = (*event.model_dirs, *([event.predictions] if event.predictions else []))
            results = tuple(str(Path(path).absolute()) for path in paths)
            replace = self.record.replace and self._out_dir == self.record.out_dir
            self.record = attrs.evolve(self.record, results=results, out_dir=self._out_dir, replace=replace)
            self._end(COMPLETED, "")

    def fail(self, error: SleapRTCError) -> None:
        """Takes note of how the job ended without a model, unless it has one from before."""
        if self.record.state == COMPLETED or isinstance(error, TakenOverError):
            return
        if isinstance(error, WorkerLostError) and not error.before_work:
            self._end(LOST, str(error))
        elif isinstance(error, JobFailedError) and error.error_code == "CANCELLED":
            self._end(CANCELLED, str(error))
        else:
            self._end(FAILED, str(error))

    def leave(self, *, is_cancelled: bool, is_complete: bool) -> str | None:
        """Takes note that this process ends before the job did.

        Args:
            is_cancelled: The worker has said that it dropped the job.
            is_complete: The worker has said that the job is done: its result waits there, or has arrived.

        Returns:
            What becomes of the job, and what is left to be done, as a sentence; None where it is completed.
        """
        if self.record.state == COMPLETED:
            return None
        worker, job = self.record.worker, self.record.job_id[:8]
        if is_cancelled:
            self._end(CANCELLED, "")
            return f"Job {job} was cancelled on {worker}; nothing of it is kept."
        if is_complete:
            message = f"{worker} is done with the job; its result: sleap-rtc client fetch {job}"
        else:
            message = (
                f"{worker} hasn't said that it dropped the job, which may go on there. "
                f"When it can be reached: sleap-rtc client cancel {job}"
            )
        self._end(LOST, message)
        return message

    def detach(self) -> None:
        """Writes down how far the job was seen; it goes on without this process."""
        self._save()

    def _end(self, state: str, message: str) -> None:
        self.record = attrs.evolve(self.record, state=state, message=message, ended_at=time.time())
        self._save()

    def _save(self) -> None:
        self._saved_at = time.monotonic()
        known = reread(self.record).state
        if known == COMPLETED != self.record.state or (known == CANCELLED and self.record.state == LOST):
            return  # another process knows better
        try:
            save(self.record)
        except StorageError as error:
            _log.warning("%s", error)
