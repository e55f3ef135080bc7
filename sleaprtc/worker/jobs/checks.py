"""Connections that are for no job: measured, and gone (protocol reference, "Checking a connection")."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeAlias

import attrs
import trio

from ...base.logs import bind, get_logger
from ...errors import RoomSecretMissingError, SleapRTCError
from ...protocol.jobs import ConnectionCheck, ConnectionCheckAnswer, JobMessage
from ...protocol.limits import RATE_PROBE_SEC
from ...protocol.messages import Answer, Candidate, Offer
from ...protocol.vocabulary import Refusal
from ...rtc.channel import DataChannel
from ...rtc.peer import IceSettings, open_peer
from ...rtc.proof import Role
from ...rtc.secret import RoomSecret
from ...transfer.proven import end_unproven, prove_membership
from ...transfer.rate import answer_probe

SIGNALS_WAITING: Final = 256

Signal: TypeAlias = Offer | Answer | Candidate

_log = get_logger(__name__)


@attrs.define(eq=False)
class _Check:
    """A check under way."""

    asker: str
    is_proven: bool
    signals: trio.MemorySendChannel[Signal]
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


class ConnectionChecks:
    """Answers connection checks, one at a time, beside whatever jobs run.

    What it costs this worker is bounded in memory (nothing is kept), in bytes and in time.

    Args:
        local_id: This worker's name in the room.
        send: Takes answers and candidates to the asker.
        ice: Called at each check for the ICE servers as they then are.
        engine: Which WebRTC engine to use.
        secret: The room's, which the asker has to prove that it knows.
    """

    def __init__(
        self,
        *,
        local_id: str,
        send: Callable[[Signal], Awaitable[None]],
        ice: Callable[[], Awaitable[IceSettings]],
        engine: str,
        secret: RoomSecret | None,
    ) -> None:
        self._local_id = local_id
        self._send = send
        self._ice = ice
        self._engine = engine
        self._secret = secret
        self._under_way: _Check | None = None

    def take_signal(self, signal: Signal) -> bool:
        """Takes a WebRTC signal of the peer that is being answered; False where it is another's."""
        if self._under_way is None or signal.sender != self._under_way.asker:
            return False
        # else a flood, or a connection that is already over
        with suppress(trio.WouldBlock, trio.BrokenResourceError):
            self._under_way.signals.send_nowait(signal)
        return True

    async def answer(
        self,
        asker: str,
        request: ConnectionCheck,
        proven: bool,
        try_send: Callable[[str, JobMessage], Awaitable[None]],
    ) -> None:
        """Says yes or no to a check, and carries it out; an unexpected failure, which is raised, costs it.

        One that proves the room's secret takes the place of one that doesn't: else a peer that asks and asks
        could keep all others from being measured.
        """
        bind(peer=asker, check=request.job_id)
        under_way = self._under_way
        if under_way is not None and (under_way.is_proven or not proven):
            await try_send(asker, ConnectionCheckAnswer(request.job_id, accepted=False, reason=Refusal.BUSY))
            return
        signals_send, signals = trio.open_memory_channel[Signal](SIGNALS_WAITING)
        check = self._under_way = _Check(asker, proven, signals_send)
        if under_way is not None:
            under_way.scope.cancel()
        try:
            with check.scope, trio.move_on_after(RATE_PROBE_SEC), signals:
                await try_send(asker, ConnectionCheckAnswer(request.job_id, accepted=True))
                await self._connect(asker, signals)
        finally:
            if self._under_way is check:
                self._under_way = None

    async def _connect(self, asker: str, signals: trio.MemoryReceiveChannel[Signal]) -> None:
        try:
            async with open_peer(
                local_id=self._local_id,
                remote_id=asker,
                initiator=False,
                send=self._send,
                incoming=signals,
                ice=await self._ice(),
                engine=self._engine,
                connect_timeout_sec=RATE_PROBE_SEC,
            ) as peer:
                await prove_membership(peer, role=Role.WORKER, secret=self._secret)
                await _answer_probe(peer.channel)
        except SleapRTCError as error:
            # the asker sees it too, and says it to its person
            _log.info("A check of the connection ended early.", error=str(error), code=error.code)
        else:
            _log.info("The connection was measured.")


async def _answer_probe(channel: DataChannel) -> None:
    try:
        await answer_probe(channel)
    except RoomSecretMissingError as error:
        await end_unproven(channel, error)
        raise
