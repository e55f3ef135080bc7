"""The output of ``--json``."""

from __future__ import annotations

from pathlib import Path

from ...commandline.json_lines import print_json
from ..events.job import Emit, Event, JobBegun, as_json_object


class JSONDisplay:
    """Prints one JSON object per line on standard output, each with the id of its job, if there is one.

    Args:
        names_jobs: Whether an object says that a job has got its id, which tells several of them apart.
        job_id: The job that has been begun before, where it is about such a one.
    """

    def __init__(self, *, names_jobs: bool = False, job_id: str | None = None) -> None:
        self._names_jobs = names_jobs
        self._job_id = job_id

    def show(self, event: Event) -> None:
        """Prints an event."""
        if isinstance(event, JobBegun):
            self._job_id = event.job_id
            if not self._names_jobs:
                return
        print_json({"job_id": self._job_id, **as_json_object(event)})


class SeveralJSON:
    """The same for several jobs at a time."""

    def for_job(self, _dataset: Path) -> Emit:
        """Returns where the events of one job are shown."""
        return JSONDisplay(names_jobs=True).show
