"""One WebSocket connection of a peer."""

from __future__ import annotations

import logging
import math

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from ..errors import InvalidMessageError, RateLimitedError
from ..protocol.close_codes import CloseCode
from ..protocol.limits import CLOSE_GRACE_SEC, MAX_FRAME_BYTES
from ..rooms.refusals import encode_error
from .hub import Hub
from .outbox import Outbox
from .rate import TokenBucket
from .settings import ServerSettings

logger = logging.getLogger(__name__)


class Session:
    """A reader and a writer over a bounded outbox.

    Until the peer registers, :meth:`run` does both by turns. From then on :meth:`read` runs in the room's
    nursery, and ends with the room; :meth:`run` stays the writer. Nobody's reader ever waits for somebody
    else's socket.
    """

    __slots__ = (
        "_bucket",
        "_hub",
        "_outbox",
        "_refused_bucket",
        "_scope",
        "_settings",
        "_waiting_scope",
        "_websocket",
    )

    def __init__(self, websocket: WebSocketConnection, hub: Hub, settings: ServerSettings) -> None:
        self._websocket = websocket
        self._hub = hub
        self._settings = settings
        self._outbox = Outbox(max_messages=settings.outbox_messages, max_bytes=settings.outbox_bytes)
        self._bucket = TokenBucket(settings.messages_per_sec, settings.message_burst)
        self._refused_bucket = TokenBucket(settings.refused_messages_per_sec, settings.refused_message_burst)
        self._scope = trio.CancelScope()
        self._waiting_scope: trio.CancelScope | None = None

    # --- for the hub ------------------------------------------------------------------------

    def deliver(self, text: str) -> bool:
        """Queues a message. A peer that has let too many pile up is closed with 1013."""
        if self._outbox.put(text):
            return True
        self.close(CloseCode.TRY_AGAIN_LATER, "The peer reads too slowly.")
        return False

    def close(self, code: CloseCode, reason: str) -> None:
        """Closes after everything that is queued, or after a moment's grace without it."""
        if self._outbox.closed:
            return
        self._outbox.close(code, reason)
        self._scope.deadline = trio.current_time() + CLOSE_GRACE_SEC
        if self._waiting_scope is not None:
            self._waiting_scope.cancel()

    async def read(self) -> None:
        """Hands messages to the hub until the connection or the room ends."""
        try:
            while not self._outbox.closed:
                self._receive(await self._websocket.get_message())
        except ConnectionClosed:
            self._outbox.close(None)
            self._scope.deadline = trio.current_time() + CLOSE_GRACE_SEC

    # --- the connection's task --------------------------------------------------------------

    async def run(self) -> None:
        """Serves the connection until it ends. The socket may still be open then."""
        self._hub.connected(self)
        try:
            with self._scope:
                await self._wait_for_registration()
                await self._write()
        except ConnectionClosed:
            pass
        finally:
            self._outbox.close(None)
            self._hub.disconnected(self)

    async def _wait_for_registration(self) -> None:
        deadline = trio.current_time() + self._settings.registration_timeout_sec
        while not self._outbox.closed:
            # Around the waiting alone: a message that is being sent isn't to be cut.
            with trio.CancelScope(deadline=deadline) as self._waiting_scope:
                frame = await self._websocket.get_message()
            if self._waiting_scope.cancelled_caught:
                self.close(CloseCode.NO_REGISTRATION, "No registration in time.")
                return
            self._receive(frame)
            if self._hub.is_registered(self):
                return
            await self._send(self._outbox.take_now())

    async def _write(self) -> None:
        while texts := await self._outbox.take():
            await self._send(texts)
        if self._outbox.close_code is not None:
            await self._websocket.aclose(self._outbox.close_code, self._outbox.close_reason)

    async def _send(self, texts: list[str]) -> None:
        self._set_deadline(trio.current_time() + self._settings.write_timeout_sec)
        for text in texts:
            if self._outbox.overflowed:
                break
            await self._websocket.send_message(text)
        self._set_deadline(math.inf)

    def _set_deadline(self, deadline: float) -> None:
        """Bounds the writing at hand, unless the connection is closing and has a deadline already."""
        if not self._outbox.closed:
            self._scope.deadline = deadline

    def _receive(self, frame: str | bytes) -> None:
        try:
            if self._bucket.take(now := trio.current_time()) > 0:
                self._refuse_flood(now)
            elif isinstance(frame, bytes):
                self.deliver(encode_error(InvalidMessageError("Messages are JSON in text frames.")))
            elif len(frame) * 4 > MAX_FRAME_BYTES and len(frame.encode()) > MAX_FRAME_BYTES:
                # The WebSocket layer counts characters, of which each can be four bytes.
                self.close(CloseCode.FRAME_TOO_LARGE, f"A frame may have at most {MAX_FRAME_BYTES} bytes.")
            else:
                self._hub.receive(self, frame)
        except Exception:
            # A fault of this program: it costs this peer its connection, and nobody else anything.
            logger.exception("A message couldn't be handled.")
            self.close(CloseCode.INTERNAL_ERROR, "The server failed.")

    def _refuse_flood(self, now: float) -> None:
        self.deliver(encode_error(RateLimitedError("Too many messages in too short a time.")))
        if self._refused_bucket.take(now) > 0:
            self.close(CloseCode.RATE, "Too many messages.")
