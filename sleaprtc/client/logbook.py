"""Keeps a job's record up to date with what happens to it."""

from __future__ import annotations

import logging
import time
from typing import Final

import attrs

from ..errors import JobCancelledError, JobFailedError, SleapRTCError, StorageError, WorkerLostError
from .events import Completed, Event, StatusChanged
from .records import CANCELLED, COMPLETED, FAILED, LOST, RUNNING, JobRecord, save

SAVE_INTERVAL_SEC: Final = 5.0

_log = logging.getLogger(__name__)


class Logbook:
    """One job's record. That it can't be written costs attaching later, never the job.

    Args:
        record: As the job begins, or as it was found.
    """

    def __init__(self, record: JobRecord) -> None:
        self.record = record
        self._saved_at = float("-inf")
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
            results = (*event.model_dirs, *([event.predictions] if event.predictions else []))
            self.record = attrs.evolve(self.record, results=results)
            self._end(COMPLETED, "")

    def fail(self, error: BaseException) -> None:
        """Takes note of how the job ended without a model, unless it has one from before."""
        if self.record.state == COMPLETED:
            return
        if isinstance(error, WorkerLostError):
            self._end(LOST, str(error))
        elif isinstance(error, JobFailedError) and error.error_code == "CANCELLED":
            self._end(CANCELLED, str(error))
        elif isinstance(error, SleapRTCError) and not isinstance(error, JobCancelledError):
            self._end(FAILED, str(error))
        else:
            self._end(CANCELLED, "")

    def detach(self) -> None:
        """Writes down how far the job was seen; it goes on without this process."""
        self._save()

    def _end(self, state: str, message: str) -> None:
        self.record = attrs.evolve(self.record, state=state, message=message, ended_at=time.time())
        self._save()

    def _save(self) -> None:
        self._saved_at = time.monotonic()
        try:
            save(self.record)
        except StorageError as error:
            _log.warning("%s", error)
