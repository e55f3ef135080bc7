"""Connections that carry no job, only a measurement (protocol reference, "Checking a connection")."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import trio

from ...base.logs import bind, get_logger
from ...errors import RoomSecretMissingError, SleapRTCError
from ...protocol.jobs import ConnectionCheck, ConnectionCheckAnswer, JobMessage
from ...protocol.limits import RATE_PROBE_SEC
from ...protocol.vocabulary import Refusal
from ...rtc.channel import DataChannel
from ...rtc.proof import Role
from ...signaling.post import Signal, SignalReceiver, SignalSorter
from ...transfer.proven import end_unproven, prove_membership
from ...transfer.rate import answer_probe
from .connection import Answerer

_log = get_logger(__name__)


@attrs.define(eq=False)
class _Check:
    """A check that is in progress."""

    asker: str
    is_proven: bool
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


class ConnectionChecks:
    """Answers connection checks, one at a time, beside the jobs that run.

    What checks cost this worker is bounded in memory (nothing is kept), in bytes and in time.

    Args:
        answerer: Answers each check's offer.
    """

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer
        self._signals = SignalSorter()
        self._under_way: _Check | None = None

    def take_signal(self, signal: Signal) -> bool:
        """Hands a WebRTC signal to the check under way; returns False if it comes from another peer."""
        return self._signals.sort(signal)

    async def answer(
        self,
        asker: str,
        request: ConnectionCheck,
        proven: bool,
        try_send: Callable[[str, JobMessage], Awaitable[None]],
    ) -> None:
        """Accepts or declines a check, and carries it out. An unexpected failure is raised.

        A check that proves the room's secret replaces one that doesn't. Otherwise a peer that asks again and
        again could keep all others from being measured.
        """
        bind(peer=asker, check=request.job_id)
        under_way = self._under_way
        if under_way is not None and (under_way.is_proven or not proven):
            await try_send(asker, ConnectionCheckAnswer(request.job_id, accepted=False, reason=Refusal.BUSY))
            return
        if under_way is not None:
            self._signals.close(under_way.asker)
            under_way.scope.cancel()
        signals = self._signals.open(asker)
        check = self._under_way = _Check(asker, proven)
        try:
            with check.scope, trio.move_on_after(RATE_PROBE_SEC), signals:
                await try_send(asker, ConnectionCheckAnswer(request.job_id, accepted=True))
                await self._connect(asker, signals)
        finally:
            if self._under_way is check:
                self._signals.close(asker)
                self._under_way = None

    async def _connect(self, asker: str, signals: SignalReceiver) -> None:
        try:
            async with self._answerer.connect(asker, signals, timeout_sec=RATE_PROBE_SEC) as peer:
                await prove_membership(peer, role=Role.WORKER, secret=self._answerer.secret)
                await _answer_probe(peer.channel)
        except SleapRTCError as error:
            # the asker sees it too, and shows it to its user
            _log.info("A check of the connection ended early.", error=str(error), code=error.code)
        else:
            _log.info("The connection was measured.")


async def _answer_probe(channel: DataChannel) -> None:
    try:
        await answer_probe(channel)
    except RoomSecretMissingError as error:
        await end_unproven(channel, error)
        raise
