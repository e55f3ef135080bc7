"""Waits for a worker to become free by watching the room, rather than by asking repeatedly."""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final, TypeVar

import trio

from ....base.exception_groups import single_error
from ....base.sentences import as_sentence
from ....errors import NetworkError, NoWorkerError, SignalingLostError, SleapRTCError, WorkerLostError
from ....jobs.properties import read_worker
from ....protocol.messages import PeerInfo
from ....protocol.vocabulary import WorkerStatus
from ....signaling.link import Link
from ...events.job import Emit, Waiting
from ...inbox import Inbox, decline_late
from ..order.filters import WorkerFilters
from ..order.persistence import Patience

T = TypeVar("T")

LOOK_INTERVAL_SEC: Final = 1.0
"""How often to look at the room; that costs workers nothing."""

ASK_AGAIN_SEC: Final = 60.0
"""When to ask workers again though the room looks the same: not all of them publish that they are free."""

RETRY_AFTER_RANGE_SEC: Final = (1.0, 600.0)
"""The range to which a worker's `retry_after_sec` is limited."""

PAUSE_MOST_SEC: Final = 30.0
"""The longest pause between requests; pauses double while workers look free but refuse."""

REPORT_INTERVAL_SEC: Final = 60.0


class WorkerQueue:
    """One job's wait.

    Args:
        link: The client's connection to the room.
        inbox: Messages from the room.
        filters: Which workers fit.
        worker: The only worker that may do the job; None for all that fit.
        patience: How long to wait.
        emit: Called with what happens.
    """

    def __init__(
        self,
        *,
        link: Link,
        inbox: Inbox,
        filters: WorkerFilters,
        worker: str | None,
        patience: Patience,
        emit: Emit,
    ) -> None:
        self._link = link
        self._inbox = inbox
        self._filters = filters
        self._worker = worker
        self._patience = patience
        self._emit = emit
        self._began = trio.current_time()
        self._reported_at = -math.inf
        self._free: set[str] = set()

    async def until_taken(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Calls ``ask`` whenever a worker may take the job, until one does.

        Raises:
            NoWorkerError: None did before the patience was over.
            WorkerLostError: The worker that took it was lost; before work, once the patience was over.
            SignalingLostError: The server can't be reached, and the patience is over.
        """
        self._began = trio.current_time()
        for pause_sec in _pauses():
            await self._look()
            try:
                return await ask()
            except (NoWorkerError, SignalingLostError, WorkerLostError) as error:
                if isinstance(error, WorkerLostError) and not error.before_work:
                    raise
                if self._patience.is_over(self._waited_sec):
                    raise self._in_vain(error) from error
                reason = error
            self._report(str(reason), anew=True)
            busy, retry_after_sec = _hints(reason)
            self._free -= set(busy)
            await self._until_worth_asking(str(reason), pause_sec, retry_after_sec)
        raise AssertionError("unreachable")

    @property
    def _waited_sec(self) -> float:
        return trio.current_time() - self._began

    def _in_vain(self, error: SleapRTCError) -> SleapRTCError:
        if self._patience.wait_sec == 0:
            if isinstance(error, NoWorkerError) and error.all_busy:
                return NoWorkerError(
                    f"{as_sentence(error)} With --wait, the command waits for one to become free."
                )
            return error
        sentence = f"{as_sentence(error)} Waited {_duration(self._waited_sec)} without success."
        if isinstance(error, WorkerLostError):
            return type(error)(sentence, before_work=True)
        return type(error)(sentence)

    def _report(self, reason: str, *, anew: bool = False) -> None:
        now = trio.current_time()
        if anew or now - self._reported_at >= REPORT_INTERVAL_SEC:
            self._reported_at = now
            self._emit(Waiting(reason, round(self._waited_sec, 1), self._patience.limit_sec))

    async def _look(self) -> set[str]:
        """Updates which of the workers that fit are free; returns those that weren't free before."""
        try:
            peers = await self._link.discover(self._filters.as_json())
        except NetworkError:
            return set()  # the link is coming back
        free = {peer.peer_id for peer in peers if self._is_free(peer)}
        newly_free = free - self._free
        self._free = free
        return newly_free

    def _is_free(self, peer: PeerInfo) -> bool:
        if self._worker is not None and peer.peer_id != self._worker:
            return False
        return read_worker(peer.metadata.properties).status in (WorkerStatus.AVAILABLE, None)

    async def _until_worth_asking(self, reason: str, pause_sec: float, retry_after_sec: float) -> None:
        """Waits until a worker is free, or may be, or the patience is over."""
        now = trio.current_time()
        earliest, latest = now + pause_sec, now + max(pause_sec, retry_after_sec)
        is_worth = False
        with single_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._decline_late_answers)
                while trio.current_time() < latest and not self._patience.is_over(self._waited_sec):
                    await trio.sleep(LOOK_INTERVAL_SEC * random.uniform(0.75, 1.25))
                    is_worth = bool(await self._look()) or is_worth
                    if is_worth and trio.current_time() >= earliest:
                        break
                    self._report(reason)
                nursery.cancel_scope.cancel()

    async def _decline_late_answers(self) -> None:
        """Frees the slots of workers that accept too late."""
        while True:
            sender, message = await self._inbox.next_job_message()
            await decline_late(self._inbox, sender, message)


def _pauses() -> Iterator[float]:
    """Yields the least pauses between two requests."""
    pause_sec = LOOK_INTERVAL_SEC
    while True:
        yield pause_sec
        pause_sec = min(2 * pause_sec, PAUSE_MOST_SEC)


def _hints(error: SleapRTCError) -> tuple[Iterable[str], float]:
    """Returns which workers may become free, and when to ask again at the latest."""
    if isinstance(error, SignalingLostError):
        return (), LOOK_INTERVAL_SEC
    if not isinstance(error, NoWorkerError):
        return (), ASK_AGAIN_SEC
    if error.retry_after_sec is None:
        return error.busy, ASK_AGAIN_SEC
    least, most = RETRY_AFTER_RANGE_SEC
    return error.busy, min(max(error.retry_after_sec, least), most)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
