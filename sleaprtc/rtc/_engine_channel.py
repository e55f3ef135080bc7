"""The Trio side of an engine's data channel."""

from __future__ import annotations

import logging
import math
from collections import deque
from typing import Final

import trio

from ..errors import ChannelClosedError
from ..protocol.limits import CHUNK_BYTES, MIB
from ._bridge import Bridge
from .channel import DataChannel
from .engines.base import Engine, EngineEvents

MAX_INBOUND_BYTES: Final = 64 * MIB
"""Messages received and not yet read. A sender that waits for acknowledgements stays far below this. SCTP in
aiortc has no back-pressure, so any other sender is disconnected before it fills the memory."""

MESSAGES_PER_TURN: Final = 16
"""Received in a row before other tasks get their turn, which costs about as much as receiving two."""

CLOSE_TIMEOUT_SEC: Final = 2.0
"""For queued messages and the closing handshake of a channel (RFC 8831, section 6.7)."""

_log = logging.getLogger(__name__)


class EngineChannel(DataChannel, EngineEvents):
    """A data channel whose engine runs across the bridge. Both directions only enqueue.

    Attributes:
        settled: Set once the channel is open, or is known never to open.
        closed_event: Set once it's closed.
        reason: Why it's closed, as a sentence.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._engine: Engine | None = None
        self._inbox, self._inbound = trio.open_memory_channel[str | bytes](math.inf)
        self._inbound_bytes = 0
        self._received_messages = 0
        self._outbox: deque[str | bytes] = deque()
        self._outbox_bytes = 0
        self._writable = trio.Event()
        self._closing = False
        self.is_open = False
        self.settled = trio.Event()
        self.closed_event = trio.Event()
        self.reason = ""
        self.gather_inbox, self.gathered_candidates = trio.open_memory_channel[
            tuple[str, str | None, int | None]
        ](math.inf)

    def attach(self, engine: Engine) -> None:
        """Sets the engine that carries this channel."""
        self._engine = engine

    # --- events of the engine ---------------------------------------------------------------

    def opened(self) -> None:
        """See :class:`EngineEvents`."""
        self.is_open = True
        self.settled.set()

    def received(self, message: str | bytes) -> None:
        """See :class:`EngineEvents`."""
        if self._closing or self.closed_event.is_set():
            return
        self._inbound_bytes += len(message)
        self._inbox.send_nowait(message)
        if self._inbound_bytes > MAX_INBOUND_BYTES:
            self.closed("The other side sent more than it was allowed to.")
            self._bridge.call_soon(self._close_engine)

    def buffer_low(self) -> None:
        """See :class:`EngineEvents`."""
        self._writable.set()

    def closed(self, reason: str) -> None:
        """See :class:`EngineEvents`."""
        if self.closed_event.is_set():
            return
        self.reason = reason
        self.closed_event.set()
        self.settled.set()
        self._writable.set()
        self._inbox.close()

    def gathered(self, candidate: str, sdp_mid: str | None, sdp_mline_index: int | None) -> None:
        """See :class:`EngineEvents`."""
        self.gather_inbox.send_nowait((candidate, sdp_mid, sdp_mline_index))

    # --- the channel ------------------------------------------------------------------------

    def _closed_error(self) -> ChannelClosedError:
        return ChannelClosedError(self.reason or "The connection was closed by this side.")

    @property
    def message_bytes(self) -> int:
        """See :class:`DataChannel`."""
        return CHUNK_BYTES if self._engine is None else self._engine.message_bytes

    @property
    def unsent_bytes(self) -> int:
        """See :class:`DataChannel`."""
        return self._outbox_bytes + (0 if self._engine is None else self._engine.buffered_bytes)

    @property
    def unread_bytes(self) -> int:
        """See :class:`DataChannel`."""
        return self._inbound_bytes

    def _is_full(self) -> bool:
        engine = self._engine
        return engine is None or self.unsent_bytes >= engine.high_water_bytes

    async def send(self, message: str | bytes) -> None:
        """See :class:`DataChannel`.

        Other tasks get their turn only if this waits: a checkpoint costs more than sending a message.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._is_closed() and self._is_full():
            self._writable = trio.Event()
            await self._writable.wait()
        if self._is_closed():
            raise self._closed_error()
        self._outbox.append(message)
        self._outbox_bytes += len(message)
        if len(self._outbox) == 1:
            self._bridge.call_soon(self._empty_outbox)

    def _is_closed(self) -> bool:
        return self._closing or self.closed_event.is_set()

    def _empty_outbox(self) -> None:
        try:
            while self._outbox and self._engine is not None:
                message = self._outbox.popleft()
                self._outbox_bytes -= len(message)
                self._engine.send(message)
            # The engine reports only a fall of its own buffer, which may not even have been above the mark.
            if not self._is_full():
                self._writable.set()
        except Exception:
            _log.debug("The engine doesn't take messages any more.", exc_info=True)
            self._outbox.clear()
            self._outbox_bytes = 0
            self.closed("The connection to the other side was lost.")

    async def receive(self) -> str | bytes:
        """See :class:`DataChannel`. Other tasks get their turn if this waits, and every few messages."""
        self._received_messages += 1
        if self._received_messages % MESSAGES_PER_TURN:
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            await trio.lowlevel.checkpoint()
        try:
            message = self._next_message()
            if message is None:
                message = await self._inbound.receive()
        except trio.EndOfChannel:
            raise self._closed_error() from None
        self._inbound_bytes -= len(message)
        return message

    def _next_message(self) -> str | bytes | None:
        try:
            return self._inbound.receive_nowait()
        except trio.WouldBlock:
            return None

    async def aclose(self) -> None:
        """See :class:`DataChannel`. Queued messages get up to ``CLOSE_TIMEOUT_SEC`` to leave."""
        if self._is_closed():
            await trio.lowlevel.checkpoint()
            return
        self._closing = True
        self._writable.set()
        self._bridge.call_soon(self._close_engine)
        try:
            if not self.is_open:
                return
            with trio.move_on_after(CLOSE_TIMEOUT_SEC):
                await self.closed_event.wait()
        finally:
            self.closed("The connection was closed by this side.")

    def _close_engine(self) -> None:
        try:
            if self._engine is not None:
                self._engine.close_channel()
        except Exception:
            _log.debug("Closing the engine's channel failed.", exc_info=True)
            self.closed("The connection to the other side was lost.")
