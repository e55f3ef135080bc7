"""Notices about the worker that gets a job, while that can still be changed."""

from __future__ import annotations

from ....jobs.properties import problem_sentences
from ...events.job import Emit, Event, Notice, StatusChanged, WorkerSummary


def announce_problems(worker: WorkerSummary, emit: Emit) -> None:
    """Reports what is wrong with a worker before it gets the job."""
    for sentence in problem_sentences(worker.problems):
        emit(Notice(f"{worker.worker}: {sentence}"))


class DeviceWatch:
    """Passes events on, and adds a notice as soon as a training leaves its worker's GPU idle.

    Args:
        worker: Whose job it is.
        emit: Takes the events.
    """

    def __init__(self, worker: WorkerSummary, emit: Emit) -> None:
        self._worker = worker
        self._emit = emit
        self._is_said = not worker.gpu_memory_mb

    def __call__(self, event: Event) -> None:
        """Takes an event."""
        self._emit(event)
        if not self._is_said and isinstance(event, StatusChanged) and event.device == "cpu":
            self._is_said = True
            gpu = self._worker.gpu_model or "GPU"
            self._emit(
                Notice(
                    f"{self._worker.worker} trains on its CPU, and its {gpu} sits idle; `sleap-rtc doctor` "
                    "on that machine says why."
                )
            )
