"""A job's log on standard output, for people and for programs."""

from __future__ import annotations

import time

from ...base.printable import printable
from ...commandline.json_lines import print_json
from ...errors import JobFailedError
from ...protocol.jobs import JobLog
from ...protocol.vocabulary import ErrorCode
from ..events.job import Failed, StatusChanged, as_json_object
from ..events.orders import LogLine
from ..records.files import JobRecord
from .job_lines import log_status_line, trainer_lines
from .words import status_sentence


class PlainLog:
    """Prints lines; repeated ones are shown once."""

    def __init__(self, record: JobRecord) -> None:
        self._worker = record.worker
        self._last = ""

    def show(self, part: JobLog) -> None:
        """Prints what is new."""
        for status in part.statuses:
            sentence = status_sentence(StatusChanged.of(self._worker, status))
            if sentence != self._last:
                self._last = sentence
                print(log_status_line(self._worker, status, time.time()), flush=True)
        for line in trainer_lines(part.trainer_log):
            print(f"| {line}", flush=True)

    def show_failure(self, error: JobFailedError) -> None:
        """Prints why the job failed, or that it was cancelled."""
        if error.error_code == ErrorCode.CANCELLED:
            print(printable(str(error)), flush=True)
            return
        print(f"The job failed: {printable(str(error))}", flush=True)


class JSONLog:
    """One JSON object per line."""

    def __init__(self, record: JobRecord) -> None:
        self._record = record

    def show(self, part: JobLog) -> None:
        """Prints each status, and each line of the trainer's."""
        for status in part.statuses:
            event = StatusChanged.of(self._record.worker, status)
            print_json(
                {**as_json_object(event), "job_id": self._record.job_id, "timestamp": status.timestamp}
            )
        for line in trainer_lines(part.trainer_log):
            print_json(as_json_object(LogLine(self._record.job_id, line)))

    def show_failure(self, error: JobFailedError) -> None:
        """Prints why the job failed."""
        failed = Failed(self._record.job_id, error.error_code, str(error), error.exit_status)
        print_json(as_json_object(failed))
