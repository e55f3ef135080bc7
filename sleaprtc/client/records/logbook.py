"""Keeps a job's record up to date while its process follows the job."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Final

import attrs

from ...base.sentences import as_sentence
from ...errors import JobFailedError, SleapRTCError, StorageError, TakenOverError, WorkerLostError
from ...jobs import life
from ...jobs.life import Seen, Sign
from ...protocol.vocabulary import ErrorCode
from ..events.job import Completed, Direction, Event, StatusChanged, Transferred
from .files import JobRecord, reread, save
from .job_ids import short_id

SAVE_INTERVAL_SEC: Final = 5.0

_log = logging.getLogger(__name__)


class Logbook:
    """One job's record. If it can't be written, attaching later isn't possible, but the job continues.

    Nothing is written before something happens.

    Args:
        record: The record as the job begins, or as it was found.
        out_dir: The folder for the result, if not the record's.
    """

    def __init__(self, record: JobRecord, out_dir: str | None = None) -> None:
        self.record = record
        self._out_dir = record.out_dir if out_dir is None else out_dir
        self._saved_at = float("-inf")

    def begin(self) -> None:
        """Writes down that the job was assigned to the record's worker."""
        if life.seen_after(reread(self.record).state, Sign.ASSIGNED) is not None:
            self._write()

    def see(self, event: Event) -> None:
        """Records an event."""
        if isinstance(event, StatusChanged):
            self.record = attrs.evolve(
                self.record.after(Sign.HEARD),
                last_seq=max(event.seq or 0, self.record.last_seq),
                last_status=attrs.asdict(event),
                last_seen_at=time.time(),
            )
            if time.monotonic() - self._saved_at > SAVE_INTERVAL_SEC:
                self._save()
        elif isinstance(event, Transferred) and event.direction == Direction.RECEIVE:
            self.note_done("The result hasn't arrived yet.")
        elif isinstance(event, Completed):
            paths = (*event.model_dirs, *([event.predictions] if event.predictions else []))
            results = tuple(str(Path(path).absolute()) for path in paths)
            replace = self.record.replace and self._out_dir == self.record.out_dir
            self.record = attrs.evolve(self.record, results=results, out_dir=self._out_dir, replace=replace)
            self._end(Sign.RESULT_IN_PLACE, event.cut_short or "")

    def fail(self, error: SleapRTCError, *, goes_on: bool = False) -> None:
        """Records how the job ended without a result, unless the record knows of a stronger end.

        Args:
            error: Why this process can't follow the job any more.
            goes_on: Whether the job was left running on its worker.
        """
        if isinstance(error, TakenOverError):
            return
        if goes_on or (isinstance(error, WorkerLostError) and not error.before_work):
            self._end(Sign.SILENCE, str(error))
        elif isinstance(error, JobFailedError) and error.error_code == ErrorCode.CANCELLED:
            self._end(Sign.CANCELLATION, str(error))
        else:
            self._end(Sign.FAILURE, str(error))

    def miss(self, error: SleapRTCError) -> SleapRTCError:
        """Records that the worker is done with the job, and that its result couldn't be brought here.

        Args:
            error: Why; one of those after which the worker, or this machine, still has the result.

        Returns:
            The error, with how to bring it here at the end of its sentence.
        """
        self.note_done(str(error), is_final=True)
        elsewhere = " --out FOLDER" if isinstance(error, StorageError) else ""
        command = f"sleap-rtc client fetch {short_id(self.record.job_id)}{elsewhere}"
        return type(error)(
            f"{as_sentence(error)} {self.record.worker} is done with the job; its result: {command}"
        )

    def note_done(self, message: str, *, is_final: bool = False) -> None:
        """Records that the worker is done with the job, unless more is known of it.

        Args:
            message: Why the result isn't here.
            is_final: Whether that replaces an earlier reason.
        """
        done = self.record.after(Sign.DONE)
        if done.state == Seen.NOT_FETCHED and (is_final or done.state != self.record.state):
            self.record = attrs.evolve(done, message=message, ended_at=time.time())
            self._save()

    def leave(self, *, is_cancelled: bool, is_complete: bool) -> str | None:
        """Records that this process ends before the job does.

        Args:
            is_cancelled: Whether the worker has confirmed that it dropped the job.
            is_complete: Whether the worker has reported the job done: its result waits there, or has arrived.

        Returns:
            What becomes of the job and what is left to do, as a sentence; None if the result is in its place.
        """
        if self.record.state == Seen.COMPLETED:
            return None
        worker, job = self.record.worker, short_id(self.record.job_id)
        if is_cancelled:
            self._end(Sign.CANCELLATION, "")
            return f"Job {job} was cancelled on {worker}; nothing of it is kept."
        if is_complete:
            message = f"{worker} is done with the job; its result: sleap-rtc client fetch {job}"
        else:
            message = (
                f"{worker} hasn't said that it dropped the job, which may continue there. "
                f"When it can be reached: sleap-rtc client cancel {job}"
            )
        self._end(Sign.SILENCE, message)
        return message

    def detach(self) -> None:
        """Writes down the last that was seen of a job that continues without this process."""
        self.record = self.record.after(Sign.HEARD)
        self._save()

    def _end(self, sign: Sign, message: str) -> None:
        if life.seen_after(self.record.state, sign) is None:
            return  # a stronger end is known
        self.record = attrs.evolve(self.record.after(sign), message=message, ended_at=time.time())
        self._save()

    def _save(self) -> None:
        """Writes the record, unless another process has seen something stronger."""
        self._saved_at = time.monotonic()
        if not life.outranks(reread(self.record).state, self.record.state):
            self._write()

    def _write(self) -> None:
        self._saved_at = time.monotonic()
        try:
            save(self.record)
        except StorageError as error:
            _log.warning("%s", error)
