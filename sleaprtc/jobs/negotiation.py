"""Chooses the worker for a job: collects answers and ranks those that accepted. Reads no clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from enum import StrEnum

from ..protocol.jobs import JobResponse


class SelectionRule(StrEnum):
    """What makes one accepting worker better than another."""

    FASTEST = "fastest"
    SOONEST = "soonest"
    MOST_MEMORY = "most-memory"


def _seconds_to_end(response: JobResponse) -> float:
    """Returns waiting and training time together; a worker without an estimate ranks last."""
    minutes = response.estimated_duration_minutes
    if minutes is None:
        return math.inf
    return (response.estimated_start_time_sec or 0.0) + 60 * minutes


def _seconds_to_start(response: JobResponse) -> float:
    start = response.estimated_start_time_sec
    return math.inf if start is None else start


def _missing_memory_mb(response: JobResponse) -> float:
    info = response.worker_info
    return -(info.available_memory_mb or 0.0) if info else 0.0


_RANKS: dict[SelectionRule, Callable[[JobResponse], tuple[float, ...]]] = {
    SelectionRule.FASTEST: lambda r: (_seconds_to_end(r), _missing_memory_mb(r)),
    SelectionRule.SOONEST: lambda r: (_seconds_to_start(r), _seconds_to_end(r)),
    SelectionRule.MOST_MEMORY: lambda r: (_missing_memory_mb(r), _seconds_to_end(r)),
}


class Negotiation:
    """One round of asking.

    Args:
        job_id: Answers about other jobs are ignored.
        asked: Peer ids of the workers that were asked; answers of others are ignored.
    """

    def __init__(self, job_id: str, asked: Iterable[str]) -> None:
        self.job_id = job_id
        self.asked = tuple(dict.fromkeys(asked))
        self._responses: dict[str, JobResponse] = {}
        self._gone: set[str] = set()

    def record(self, worker_id: str, response: JobResponse) -> bool:
        """Records a worker's first answer; returns False for anything else."""
        if response.job_id != self.job_id or worker_id not in self.asked or worker_id in self._responses:
            return False
        self._responses[worker_id] = response
        return True

    def withdraw(self, worker_id: str) -> None:
        """Excludes a worker that left the room, or was tried and lost."""
        self._gone.add(worker_id)

    @property
    def is_complete(self) -> bool:
        """Whether nobody is left to wait for."""
        return all(worker in self._responses or worker in self._gone for worker in self.asked)

    @property
    def refused(self) -> dict[str, JobResponse]:
        """The answers of those that declined."""
        return {w: r for w, r in self._responses.items() if not r.accepted}

    @property
    def silent(self) -> tuple[str, ...]:
        """Those that haven't answered."""
        return tuple(w for w in self.asked if w not in self._responses)

    def ranked(self, rule: SelectionRule) -> list[str]:
        """Returns the workers that accepted and are still there, best first; ties go to the first asked."""
        accepted = [
            (w, self._responses[w])
            for w in self.asked
            if w not in self._gone and w in self._responses and self._responses[w].accepted
        ]
        return [w for w, _ in sorted(accepted, key=lambda pair: _RANKS[rule](pair[1]))]

    def response_of(self, worker_id: str) -> JobResponse | None:
        """Returns a worker's answer, if it has answered."""
        return self._responses.get(worker_id)
