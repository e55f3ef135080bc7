"""Connections that are only measured (protocol reference, "Checking a connection")."""

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
    """A check that is in progress."""

    asker: str
    is_proven: bool
    signals: trio.MemorySendChannel[Signal]
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


class ConnectionChecks:
    """Answers connection checks, one at a time, alongside running jobs.

    A check costs the worker a bounded amount of memory, bytes and time.

    Args:
        local_id: This worker's name in the room.
        send: Sends answers and candidates to the asker.
        ice: Returns the current ICE servers; called for each check.
        engine: Which WebRTC engine to use.
        secret: The room's secret, which the asker has to prove.
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
        """Handles a WebRTC signal of the current asker; returns False for anybody else's."""
        if self._under_way is None or signal.sender != self._under_way.asker:
            return False
        # a flood, or a connection that is already over
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
        """Accepts or refuses a check, and runs it. An unexpected failure ends the check and is raised.

        A check that proves the room's secret replaces one that doesn't. Otherwise, a peer that keeps asking
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
            # the asker sees it too, and reports it
            _log.info("A check of the connection ended early.", error=str(error), code=error.code)
        else:
            _log.info("The connection was measured.")


async def _answer_probe(channel: DataChannel) -> None:
    try:
        await answer_probe(channel)
    except RoomSecretMissingError as error:
        await end_unproven(channel, error)
        raise
