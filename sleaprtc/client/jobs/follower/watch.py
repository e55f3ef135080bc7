"""Whether the worker of a followed job is lost: decided from what is seen of it, and watched in its room."""

from __future__ import annotations

import math
from enum import Enum, auto
from typing import Final

import attrs
import trio

from ....errors import SleapRTCError, TransferError, WorkerLostError
from ....jobs.properties import read_worker
from ....signaling.link import Link
from ...inbox import Inbox
from .exchange import FileExchange
from .inquiry import Inquiry
from .progress import JobProgress
from .worker_channel import WorkerChannel

CHECK_INTERVAL_SEC: Final = 1.0
SILENCE_SEC: Final = 6.0
"""Workers report every 5 seconds. After a longer silence, the room is asked whether the worker is there."""

ABSENCES_COUNTED: Final = 2
"""How often in a row a silent worker must be missing. It may be missing once as it reconnects."""

LONG_SILENCE_SEC: Final = 10.0
"""After this silence a worker is lost if its data channel is gone."""

CHANNEL_SILENCE_SEC: Final = 60.0
"""After this silence a worker is lost, although its data channel is there, if it promised to report every 5
seconds. Its connection to the server may be half open, which it notices within 45 seconds."""

MODEL_WAIT_SEC: Final = 120.0
"""How long a worker that is done may send nothing of its result."""


class Verdict(Enum):
    """What follows from a look at a worker."""

    WAIT = auto()
    LOOK = auto()
    """Ask the room whether the worker is there."""
    ASK = auto()
    """Ask the worker how the job stands."""
    HAS_LEFT = auto()
    IS_SILENT = auto()
    RESULT_OVERDUE = auto()


@attrs.frozen
class Sight:
    """What is known of a worker at one moment.

    Attributes:
        silence_sec: The time since its last message, or the last bytes of a file.
        overdue_sec: The time since the worker was done, or the last bytes of a file; None before it is done.
        undelivered: Whether the server has just reported an undelivered message.
        is_online: Whether the client is connected to the server.
        is_settled: Whether the client has been for long enough that the worker, too, must be back by now.
        has_channel: Whether there is a data channel to the worker.
        had_channel: Whether there ever was one.
        was_heard: Whether the worker has sent a status.
    """

    silence_sec: float
    overdue_sec: float | None = None
    undelivered: bool = False
    is_online: bool = True
    is_settled: bool = True
    has_channel: bool = True
    had_channel: bool = True
    was_heard: bool = True


def patience_sec(sight: Sight, *, promises_statuses: bool) -> float:
    """Returns how long a silence may be. Only a promise to report, or a lost data channel, limits it."""
    if sight.has_channel:
        return CHANNEL_SILENCE_SEC if promises_statuses else math.inf
    return LONG_SILENCE_SEC if sight.had_channel else math.inf


class Watch:
    """Decides whether a worker is lost. Every judgement is made from a :class:`Sight`.

    Attributes:
        promises_statuses: Whether the worker announces that it reports every few seconds.
    """

    def __init__(self) -> None:
        self._absences = 0
        self.promises_statuses = False

    def begin(self, sight: Sight) -> Verdict:
        """Returns ``WAIT`` if there is nothing to decide yet, else ``LOOK`` or ``RESULT_OVERDUE``.

        After ``LOOK``, :meth:`conclude` decides.
        """
        if sight.overdue_sec is not None and sight.overdue_sec > MODEL_WAIT_SEC:
            return Verdict.RESULT_OVERDUE
        if sight.is_online and not sight.is_settled:
            self._absences = 0  # the worker may not be back yet
            return Verdict.WAIT
        if sight.undelivered or sight.silence_sec > SILENCE_SEC:
            return Verdict.LOOK
        return self.conclude(sight, is_missing=False)

    def conclude(self, sight: Sight, *, is_missing: bool) -> Verdict:
        """Decides after a look into the room. ``is_missing`` is whether the worker wasn't there."""
        self._absences = self._absences + 1 if is_missing else 0
        if self._absences >= ABSENCES_COUNTED or (self._absences and sight.undelivered):
            return Verdict.HAS_LEFT
        if sight.is_online and sight.silence_sec > patience_sec(
            sight, promises_statuses=self.promises_statuses
        ):
            return Verdict.IS_SILENT
        asks = not is_missing and sight.silence_sec > SILENCE_SEC and sight.was_heard
        return Verdict.ASK if asks else Verdict.WAIT


class WorkerWatcher:
    """Watches the worker of one job.

    Args:
        link: The client's place in the room.
        inbox: What arrives in it.
        channel: The data channel to the worker.
        exchange: The job's files.
        progress: The job's progress.
        inquiry: Asks the worker.
        worker_id: The worker.
        work: What the worker does, as a noun for a sentence.
    """

    def __init__(
        self,
        *,
        link: Link,
        inbox: Inbox,
        channel: WorkerChannel,
        exchange: FileExchange,
        progress: JobProgress,
        inquiry: Inquiry,
        worker_id: str,
        work: str,
    ) -> None:
        self._link = link
        self._inbox = inbox
        self._channel = channel
        self._exchange = exchange
        self._progress = progress
        self._inquiry = inquiry
        self._worker_id = worker_id
        self._work = work
        self._watch = Watch()

    async def run(self) -> None:
        """Watches until the result is here: a worker that is lost after that has lost nothing.

        Raises:
            WorkerLostError: The worker has left the room, or has fallen silent.
            TransferError: It is done and doesn't send its result.
        """
        while not self._exchange.has_result:
            undelivered = False
            with trio.move_on_after(CHECK_INTERVAL_SEC):
                await self._inbox.undeliverable.wait()
                undelivered = True
            sight = self._sight(undelivered, trio.current_time())
            verdict = self._watch.begin(sight)
            if verdict is Verdict.LOOK:
                is_missing = await self._is_missing()
                # Asking takes its time, in which a connection may break or come back.
                sight = self._sight(undelivered, trio.current_time())
                verdict = self._watch.conclude(sight, is_missing=is_missing)
            if verdict is Verdict.RESULT_OVERDUE:
                raise TransferError(f"{self._worker_id} completed the job but didn't send its result.")
            if verdict is Verdict.ASK:
                await self._inquiry.ask()
            elif verdict is Verdict.HAS_LEFT:
                self._lose("has left the room")
            elif verdict is Verdict.IS_SILENT:
                self._lose("has fallen silent")

    def _sight(self, undelivered: bool, now: float) -> Sight:
        active_at = self._exchange.last_activity
        heard_at = self._inbox.last_heard.get(self._worker_id, active_at)
        completed_at = self._progress.completed_at
        return Sight(
            silence_sec=now - max(heard_at, active_at),
            overdue_sec=None if completed_at is None else now - max(completed_at, active_at),
            undelivered=undelivered,
            is_online=self._link.is_connected,
            is_settled=self._link.is_settled,
            has_channel=self._channel.transfers.is_connected,
            had_channel=self._channel.was_connected,
            was_heard=self._progress.was_heard,
        )

    def _lose(self, how: str) -> None:
        if self._exchange.has_result:
            return  # it came while the room was asked
        self._progress.end()
        when = f"during {self._work}" if self._progress.has_started else f"before {self._work} began"
        raise WorkerLostError(f"{self._worker_id} {how} {when}.")

    async def _is_missing(self) -> bool:
        try:
            peers = await self._link.discover({})
        except SleapRTCError:
            return False  # nobody knows without the server; the data channel shows it in its own time
        for peer in peers:
            if peer.peer_id == self._worker_id:
                promised_sec = read_worker(peer.metadata.properties).status_interval_sec
                self._watch.promises_statuses = promised_sec is not None
                return False
        return True
