"""The data channel to a job's client, however often that client connects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs
import trio

from ...base.logs import bind, get_logger
from ...base.nurseries import contained
from ...errors import RefusedError, SleapRTCError
from ...protocol.messages import Offer
from ...rtc.peer import CONNECT_TIMEOUT_SEC, IceSettings, Peer, open_peer
from ...rtc.proof import Role
from ...rtc.secret import RoomSecret
from ...signaling.post import Signal, SignalReceiver, SignalSender, open_signal_queue, put_signal
from ...transfer.proven import open_proven_transfers
from ...transfer.rate_limit import RateLimit
from ...transfer.resuming import ResumingTransfers

_log = get_logger(__name__)


@attrs.frozen(kw_only=True)
class Answerer:
    """Answers WebRTC offers as this worker.

    Attributes:
        local_id: This worker's name in the room.
        send: Sends an answer or a candidate to its target.
        ice: Returns the current ICE servers; called for each offer.
        engine: The WebRTC engine.
        secret: The room's secret, which the other side has to prove that it knows; None if the room has none.
        limit: The limit on the rate of files, which all connections share.
    """

    local_id: str
    send: Callable[[Signal], Awaitable[None]]
    ice: Callable[[], Awaitable[IceSettings]]
    engine: str
    secret: RoomSecret | None
    limit: RateLimit | None = None

    @asynccontextmanager
    async def connect(
        self, remote_id: str, signals: SignalReceiver, *, timeout_sec: float = CONNECT_TIMEOUT_SEC
    ) -> AsyncIterator[Peer]:
        """Connects to the peer that made an offer, until the block is left; raises as :func:`open_peer` does.

        Args:
            remote_id: The other peer.
            signals: The other peer's signals; the offer is the first.
            timeout_sec: How long the connection may take to open.
        """
        async with open_peer(
            local_id=self.local_id,
            remote_id=remote_id,
            initiator=False,
            send=self.send,
            incoming=signals,
            ice=await self.ice(),
            engine=self.engine,
            connect_timeout_sec=timeout_sec,
        ) as peer:
            yield peer


class ClientConnection:
    """Answers the client's offers. A new offer replaces the connection before it.

    Args:
        answerer: Answers each offer.
        remote_id: The client.

    Attributes:
        remote_id: The peer whose offers are answered; a later process of the client has another id.
        signals: The queue for the client's signals.
        transfers: The files that go over these connections.
    """

    def __init__(self, answerer: Answerer, remote_id: str) -> None:
        self._answerer = answerer
        self.remote_id = remote_id
        self.signals: SignalSender
        self.signals, self._signals = open_signal_queue()
        self.transfers = ResumingTransfers()

    async def run(self) -> None:
        """Answers offers until cancelled. A failure costs the connection of one offer."""
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()
            forward: SignalSender | None = None
            async for signal in self._signals:
                if isinstance(signal, Offer):
                    scope.cancel()
                    scope = trio.CancelScope()
                    forward, signals = open_signal_queue()
                    nursery.start_soon(self._connect, signals, scope)
                if forward is not None and not put_signal(forward, signal):
                    _log.debug("A signal came too late for its connection.")

    async def _connect(self, signals: SignalReceiver, scope: trio.CancelScope) -> None:
        bind(peer=self.remote_id)
        with scope, signals, contained("The connection failed unexpectedly."):
            try:
                async with self._answerer.connect(self.remote_id, signals) as peer:
                    _log.info("The client is connected.", engine=peer.engine)
                    await self._use(peer)
            except SleapRTCError as error:
                _log.info("The connection has ended.", error=str(error))

    async def _use(self, peer: Peer) -> None:
        try:
            async with open_proven_transfers(
                peer, role=Role.WORKER, secret=self._answerer.secret, limit=self._answerer.limit
            ) as transfers:
                await self.transfers.use_until_closed(transfers)
        except RefusedError as error:
            # Logged here: a client that finds the same gives the job up, which cancels the connection.
            _log.warning("The connection was ended.", error=str(error), code=error.code)
