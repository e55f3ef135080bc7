"""How much to do for a job: how long to wait for a worker, how often to retry, and how far to follow it."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

import attrs

RETRY_PATIENCE_SEC: Final = 60.0
"""The least time to wait for a worker when a job is retried: the lost one may come back."""


AWAY_SEC: Final = 5 * 60.0
"""How long a worker may be away while a job continues there, or may be resumed there: stopped, suspended,
restarted. A stop of two minutes is followed by new connections, which take some time themselves."""


class Until(Enum):
    """How far a job is followed."""

    BEGUN = auto()
    """Until its work has begun; it is left to its worker then."""
    RESULT = auto()
    """Until its result is here."""


class Patience:
    """How long to wait for a worker.

    Args:
        wait_sec: 0 not to wait, infinity for no limit.
        is_worth_waiting: Another reason to continue, such as a job of one's own that will free its worker.
    """

    def __init__(self, wait_sec: float = 0.0, is_worth_waiting: Callable[[], bool] = lambda: False) -> None:
        self.wait_sec = wait_sec
        self._is_worth_waiting = is_worth_waiting

    @property
    def limit_sec(self) -> float | None:
        """The longest wait; None for no limit."""
        return None if self._is_worth_waiting() or math.isinf(self.wait_sec) else self.wait_sec

    def is_over(self, waited_sec: float) -> bool:
        """Whether a wait of this length is enough."""
        return waited_sec >= self.wait_sec and not self._is_worth_waiting()


class Turn:
    """Whose turn it is to ask the workers: always this job's, if it is the only one."""

    async def take(self) -> None:
        """Waits for this job's turn."""

    def give_back(self) -> None:
        """Lets the next job ask; calling it again does nothing."""


@attrs.frozen
class Persistence:
    """How much to do for a job.

    Attributes:
        wait_sec: How long to wait for a worker that takes it; infinity for no limit.
        retries: How often to retry it after a failure that may not happen again.
        is_worth_waiting: See :class:`Patience`.
        turn: See :class:`Turn`.
        away_sec: How long its worker may be away while the job continues there, or may be resumed there.
        until: How far to follow it.
    """

    wait_sec: float = 0.0
    retries: int = 0
    is_worth_waiting: Callable[[], bool] = lambda: False
    turn: Turn = attrs.field(factory=Turn)
    away_sec: float = AWAY_SEC
    until: Until = Until.RESULT

    def patience(self, *, is_retry: bool, is_worth_waiting: Callable[[], bool] = lambda: False) -> Patience:
        """Returns how long to wait for a worker in this attempt, and as long as ``is_worth_waiting`` says."""
        least_sec = RETRY_PATIENCE_SEC if is_retry else 0.0
        return Patience(max(self.wait_sec, least_sec), lambda: self.is_worth_waiting() or is_worth_waiting())


ONE_ATTEMPT: Final = Persistence()
