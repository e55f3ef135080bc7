"""The data channel to a job's client, however often that client connects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import trio

from ...base.logs import bind, get_logger
from ...base.nurseries import contained
from ...errors import RefusedError, SleapRTCError
from ...protocol.messages import Answer, Candidate, Offer
from ...rtc.peer import IceSettings, Peer, open_peer
from ...rtc.proof import Role
from ...rtc.secret import RoomSecret
from ...transfer.proven import open_proven_transfers
from ...transfer.resuming import ResumingTransfers

SIGNALS_WAITING: Final = 256
"""Offers and candidates that wait to be handled. ICE makes a few dozen; a flood beyond that is dropped."""

Signal: TypeAlias = Offer | Answer | Candidate

_log = get_logger(__name__)


class ClientConnection:
    """Answers the client's offers. A new offer replaces the connection before it.

    Args:
        local_id: This worker's name in the room.
        remote_id: The client's.
        send: Sends answers and candidates to the client.
        ice: Returns the current ICE servers; called for each offer.
        engine: Which WebRTC engine to use.
        secret: The room's secret, which the client has to prove.

    Attributes:
        remote_id: Whose offers are answered; a later process of the same client has another name.
        transfers: The files that go over these connections.
    """

    def __init__(
        self,
        *,
        local_id: str,
        remote_id: str,
        send: Callable[[Signal], Awaitable[None]],
        ice: Callable[[], Awaitable[IceSettings]],
        engine: str,
        secret: RoomSecret | None,
    ) -> None:
        self._local_id = local_id
        self.remote_id = remote_id
        self._send = send
        self._ice = ice
        self._engine = engine
        self._secret = secret
        self._signals_send, self._signals = trio.open_memory_channel[Signal](SIGNALS_WAITING)
        self.transfers = ResumingTransfers()

    def take(self, signal: Signal) -> None:
        """Queues an offer or a candidate from the client."""
        try:
            self._signals_send.send_nowait(signal)
        except trio.WouldBlock:
            _log.warning("Dropped a WebRTC signal: too many are waiting.")

    async def run(self) -> None:
        """Answers offers until cancelled. A failure costs the connection of one offer."""
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()
            forward: trio.MemorySendChannel[Signal] | None = None
            async for signal in self._signals:
                if isinstance(signal, Offer):
                    scope.cancel()
                    scope = trio.CancelScope()
                    forward, signals = trio.open_memory_channel[Signal](SIGNALS_WAITING)
                    nursery.start_soon(self._connect, signals, scope)
                if forward is not None:
                    try:
                        forward.send_nowait(signal)
                    except (trio.WouldBlock, trio.BrokenResourceError):
                        _log.debug("A signal came too late for its connection.")

    async def _connect(self, signals: trio.MemoryReceiveChannel[Signal], scope: trio.CancelScope) -> None:
        bind(peer=self.remote_id)
        with scope, signals, contained("The connection failed unexpectedly."):
            try:
                async with open_peer(
                    local_id=self._local_id,
                    remote_id=self.remote_id,
                    initiator=False,
                    send=self._send,
                    incoming=signals,
                    ice=await self._ice(),
                    engine=self._engine,
                ) as peer:
                    _log.info("The client is connected.", engine=peer.engine)
                    await self._use(peer)
            except SleapRTCError as error:
                _log.info("The connection has ended.", error=str(error))

    async def _use(self, peer: Peer) -> None:
        try:
            async with open_proven_transfers(peer, role=Role.WORKER, secret=self._secret) as transfers:
                await self.transfers.use_until_closed(transfers)
        except RefusedError as error:
            # Said here: a client that finds the same gives the job up, which cancels the connection at once.
            _log.warning("The connection was ended.", error=str(error), code=error.code)
