"""What a person wants of a command's jobs while they run, and which jobs that can be about."""

from __future__ import annotations

import attrs
import trio


@attrs.frozen
class RunningJob:
    """A job whose work has begun.

    Attributes:
        job_id: The client's name for it.
        worker: The worker that has it.
        job_type: ``training`` or ``inference``.
        can_be_left: Whether the worker continues without its client, and keeps the result.
    """

    job_id: str
    worker: str
    job_type: str
    can_be_left: bool


class JobControl:
    """Carries a person's wishes to the jobs of one command. Without a wish, a job that is left continues.

    Attributes:
        running: The jobs whose work has begun and isn't done, by their ids.
        left: The jobs that were left running on their workers.
        stop_wanted: Set when the jobs are to end early and keep what they have.
        is_discarding: Whether jobs that are left are to be ended, and thrown away.
    """

    def __init__(self) -> None:
        self.running: dict[str, RunningJob] = {}
        self.left: list[RunningJob] = []
        self.stop_wanted = trio.Event()
        self.is_discarding = False

    def begin(self, job: RunningJob) -> None:
        """Notes that a job's work has begun."""
        self.running[job.job_id] = job

    def end(self, job_id: str) -> None:
        """Notes that a job's work is done, or that nobody follows it any more."""
        self.running.pop(job_id, None)

    def leave(self, job: RunningJob) -> None:
        """Notes that a job continues without this process."""
        self.end(job.job_id)
        self.left.append(job)
