"""Whether the worker of a followed job is lost: decided from what is seen of it, and watched in its room.

All times are in seconds awake (:mod:`sleaprtc.base.awake_clock`): while this process stood still, nobody was
silent.
"""

from __future__ import annotations

import math
import time
from enum import Enum, auto
from typing import Final

import attrs
import trio

from ....errors import SleapRTCError, TransferError, WorkerLostError
from ....jobs.properties import read_worker
from ....signaling.link import Link
from ...events.job import Emit, Notice
from ...inbox import Inbox
from ...records.job_ids import short_id
from ..order.persistence import AWAY_SEC
from .exchange import FileExchange
from .inquiry import Inquiry
from .progress import JobProgress
from .worker_channel import WorkerChannel

CHECK_INTERVAL_SEC: Final = 1.0
SILENCE_SEC: Final = 6.0
"""Workers report every 5 seconds. After a longer silence, the room is asked whether the worker is there."""

ABSENCES_COUNTED: Final = 2
"""How often in a row a silent worker must be missing. It may be missing once as it reconnects."""

AWAY_SHOWN_SEC: Final = 12.0
"""After this silence a person is told that the worker is away, and for how long it is waited for."""

LONG_SILENCE_SEC: Final = 10.0
"""Where another worker can take the job, one whose data channel is gone is lost after this silence."""

CHANNEL_SILENCE_SEC: Final = 60.0
"""The same of one whose data channel is there, if it promised to report every 5 seconds. Its connection to
the server may be half open, which it notices within 45 seconds."""

MODEL_WAIT_SEC: Final = 5 * 60.0
"""How long a worker that is done may send nothing of its result: as long as it may be away."""


@attrs.frozen
class Forbearance:
    """How long a worker may be away before its job is given up.

    Attributes:
        away_sec: While the work continues, or may be resumed.
        is_replaceable: Whether another worker can take the job before the work has begun. If so, hardly
            anything is lost by turning to that one, and a much shorter absence is enough.
    """

    away_sec: float = AWAY_SEC
    is_replaceable: bool = False


PATIENT: Final = Forbearance()


class Look(Enum):
    """What a look into the room has shown of the worker."""

    NONE = auto()
    """Nobody looked, or nobody could."""
    PRESENT = auto()
    MISSING = auto()


class Verdict(Enum):
    """What follows from what is seen of a worker."""

    WAIT = auto()
    ASK = auto()
    """Ask the worker for the job's state."""
    AWAY = auto()
    """It is away from now on, and waited for."""
    BACK = auto()
    """It is no longer away; it may have to be asked."""
    HAS_LEFT = auto()
    IS_SILENT = auto()
    RESULT_OVERDUE = auto()


@attrs.frozen
class Sight:
    """What is known of a worker at one moment.

    Attributes:
        silence_sec: The time since its last message, the last bytes of a file, or this client's last return
            into the room.
        overdue_sec: The time since the worker was done, or any of these; None before it is done.
        undelivered: Whether the server has just reported an undelivered message.
        is_online: Whether the client is connected to the server.
        is_settled: Whether the client has been for long enough that the worker, too, must be back by now.
        has_channel: Whether there is a data channel to the worker.
        had_channel: Whether there ever was one.
        was_heard: Whether the worker has sent a status.
        has_begun: Whether the work has begun, so that it may continue without this client.
        promises_statuses: Whether the worker announces that it reports every few seconds.
        look: What a look into the room has shown.
    """

    silence_sec: float
    overdue_sec: float | None = None
    undelivered: bool = False
    is_online: bool = True
    is_settled: bool = True
    has_channel: bool = True
    had_channel: bool = True
    was_heard: bool = True
    has_begun: bool = True
    promises_statuses: bool = False
    look: Look = Look.NONE

    @property
    def is_worth_a_look(self) -> bool:
        """Whether the room has to be asked for the worker before anything can be decided."""
        knows_nothing = self.undelivered or self.silence_sec > SILENCE_SEC
        return knows_nothing and not (self.is_online and not self.is_settled)


def patience_sec(sight: Sight, forbearance: Forbearance) -> float:
    """Returns how long a worker may be silent, or missing if that is what was seen."""
    may_be_quiet = sight.has_channel or not sight.had_channel
    if may_be_quiet and not sight.promises_statuses and sight.look is not Look.MISSING:
        return math.inf
    if sight.has_begun or not forbearance.is_replaceable:
        return forbearance.away_sec
    if sight.look is Look.MISSING:
        return 0.0
    if sight.has_channel:
        return CHANNEL_SILENCE_SEC
    return LONG_SILENCE_SEC if sight.had_channel else math.inf


class Watch:
    """Decides whether a worker is away or lost. Every judgement is made from a :class:`Sight`.

    Args:
        forbearance: How long the worker may be away.
    """

    def __init__(self, forbearance: Forbearance) -> None:
        self._forbearance = forbearance
        self._absences = 0
        self._is_away = False

    def judge(self, sight: Sight) -> Verdict:
        """Decides what to do. ``sight`` has a look into the room if it was worth one."""
        is_settled = sight.is_online and sight.is_settled
        if sight.overdue_sec is not None and sight.overdue_sec > MODEL_WAIT_SEC:
            return Verdict.RESULT_OVERDUE if is_settled or sight.has_channel else Verdict.WAIT
        if not is_settled:
            self._absences = 0  # the worker may not be back yet; nobody knows without the server
            return Verdict.WAIT
        self._absences = self._absences + 1 if sight.look is Look.MISSING else 0
        is_missing = self._absences >= ABSENCES_COUNTED or (self._absences > 0 and sight.undelivered)
        patience = patience_sec(sight, self._forbearance)
        if is_missing and sight.silence_sec >= patience:
            return Verdict.HAS_LEFT
        if self._absences:
            return self._note_away(sight, is_missing)
        if sight.silence_sec > patience:
            return Verdict.IS_SILENT
        if sight.silence_sec <= SILENCE_SEC or sight.look is Look.PRESENT:
            return self._note_back(sight, is_silent=patience < math.inf)
        return Verdict.WAIT

    def _note_away(self, sight: Sight, is_away: bool) -> Verdict:
        if is_away and not self._is_away and sight.silence_sec > AWAY_SHOWN_SEC:
            self._is_away = True
            return Verdict.AWAY
        return Verdict.WAIT

    def _note_back(self, sight: Sight, *, is_silent: bool) -> Verdict:
        """Decides about a worker that is in the room, or was just heard."""
        if sight.silence_sec <= SILENCE_SEC and self._is_away:
            self._is_away = False
            return Verdict.BACK
        if is_silent and self._note_away(sight, is_away=True) is Verdict.AWAY:
            return Verdict.AWAY
        return Verdict.ASK if sight.silence_sec > SILENCE_SEC and sight.was_heard else Verdict.WAIT


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
        job_id: The client's name for the job.
        work: What the worker does, as a noun for a sentence.
        forbearance: How long the worker may be away.
        emit: Called with each event.
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
        job_id: str,
        work: str,
        forbearance: Forbearance,
        emit: Emit,
    ) -> None:
        self._link = link
        self._inbox = inbox
        self._channel = channel
        self._exchange = exchange
        self._progress = progress
        self._inquiry = inquiry
        self._worker_id = worker_id
        self._job_id = job_id
        self._work = work
        self._forbearance = forbearance
        self._emit = emit
        self._watch = Watch(forbearance)
        self._promises_statuses = False

    async def run(self) -> None:
        """Watches until the result is here: a worker that is lost after that has lost nothing.

        Raises:
            WorkerLostError: The worker has left the room, or has fallen silent, and wasn't back in time.
            TransferError: It is done and doesn't send its result.
        """
        while not self._exchange.has_result:
            undelivered = False
            with trio.move_on_after(CHECK_INTERVAL_SEC):
                await self._inbox.undeliverable.wait()
                undelivered = True
            sight = self._sight(undelivered)
            if sight.is_worth_a_look:
                look = await self._look()
                # Looking takes its time, in which a connection may break or come back.
                sight = attrs.evolve(self._sight(undelivered), look=look)
            await self._act(self._watch.judge(sight), sight)

    async def _act(self, verdict: Verdict, sight: Sight) -> None:
        if verdict is Verdict.RESULT_OVERDUE:
            raise TransferError(f"{self._worker_id} completed the job but didn't send its result.")
        if verdict is Verdict.HAS_LEFT:
            self._lose("has left the room")
        elif verdict is Verdict.IS_SILENT:
            self._lose("has fallen silent")
        elif verdict is Verdict.AWAY:
            self._emit(Notice(self._away_sentence(sight)))
        elif verdict is Verdict.BACK:
            self._emit(Notice(f"{self._worker_id} is back."))
        if verdict in (Verdict.ASK, Verdict.BACK) or (verdict is Verdict.AWAY and sight.was_heard):
            await self._inquiry.ask()

    def _sight(self, undelivered: bool) -> Sight:
        now = trio.current_time()
        active_at = max(self._exchange.last_activity, self._link.back_at)
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
            has_begun=self._progress.has_started or completed_at is not None,
            promises_statuses=self._promises_statuses,
        )

    def _away_sentence(self, sight: Sight) -> str:
        now = time.time()
        left_sec = patience_sec(sight, self._forbearance) - sight.silence_sec
        since, until = (
            time.strftime("%H:%M:%S", time.localtime(at)) for at in (now - sight.silence_sec, now + left_sec)
        )
        how = "has left the room" if sight.look is Look.MISSING else "is silent"
        goes_on = f" The {self._work} may continue there." if sight.has_begun else ""
        later = f" Later: sleap-rtc client attach {short_id(self._job_id)}" if sight.has_begun else ""
        return f"{self._worker_id} {how} since {since}.{goes_on} Waiting for it until {until}.{later}"

    def _lose(self, how: str) -> None:
        if self._exchange.has_result:
            return  # it came while the room was asked
        self._progress.end()
        if self._progress.complete is not None:
            raise TransferError(f"{self._worker_id} completed the job, but {how} before its result was here.")
        when = f"during {self._work}" if self._progress.has_started else f"before {self._work} began"
        raise WorkerLostError(f"{self._worker_id} {how} {when}.")

    async def _look(self) -> Look:
        try:
            peers = await self._link.discover({})
        except SleapRTCError:
            return Look.NONE  # nobody knows without the server; the data channel shows it in its own time
        for peer in peers:
            if peer.peer_id == self._worker_id:
                promised_sec = read_worker(peer.metadata.properties).status_interval_sec
                self._promises_statuses = promised_sec is not None
                return Look.PRESENT
        return Look.MISSING
