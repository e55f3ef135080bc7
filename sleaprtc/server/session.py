"""One peer's WebSocket connection."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator
from typing import Final

import trio

from ..base.logs import get_logger
from ..base.nurseries import contained
from ..base.rate import TokenBucket
from ..errors import InvalidMessageError, RateLimitedError
from ..protocol.close_codes import CloseCode
from ..protocol.limits import CLOSE_GRACE_SEC, MIB
from ..rooms.refusals import encode_error
from .capacity import Place
from .frames import (
    CloseReceived,
    FrameError,
    FrameEvent,
    FrameReader,
    PingReceived,
    encode_close,
    encode_pong,
    encode_text,
)
from .hub import Hub
from .outbox import Frame, Outbox
from .settings import ServerSettings
from .sockets import PeerStream

logger = get_logger(__name__)

WRITE_BYTES: Final = 64 * 1024
"""Waiting frames are joined into pieces of about this size."""

DEADLINE_BYTES: Final = MIB
"""The write timeout is for this much, not for everything that waits: a slow reader isn't a dead one."""

MESSAGES_AT_ONCE: Final = 32
"""How many messages of one peer are handled before other tasks get a turn."""

_LOST: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


class Session:
    """A reader, and a writer for what the socket doesn't accept at once.

    Until the peer registers, :meth:`run` does both in turn. From then on, :meth:`read` runs in the room's
    nursery and ends with the room, and :meth:`run` is only the writer. No peer's reader ever waits for
    another peer's socket.
    """

    __slots__ = (
        "_address",
        "_bucket",
        "_frames",
        "_held",
        "_hub",
        "_outbox",
        "_peer_left",
        "_place",
        "_reader_left",
        "_reading_scope",
        "_refused_bucket",
        "_scope",
        "_settings",
        "_stream",
        "_stuck_at",
        "_unreadable",
        "_writing",
    )

    def __init__(
        self,
        stream: PeerStream,
        place: Place,
        hub: Hub,
        settings: ServerSettings,
        *,
        address: str | None = None,
    ) -> None:
        self._stream = stream
        self._place = place
        self._address = stream.address if address is None else address
        self._hub = hub
        self._settings = settings
        self._frames = FrameReader()
        self._outbox = Outbox(
            max_messages=settings.outbox_messages,
            max_bytes=settings.outbox_bytes,
            budget=hub.outbox_budget,
        )
        self._bucket = TokenBucket(settings.messages_per_sec, settings.message_burst)
        self._refused_bucket = TokenBucket(settings.refused_messages_per_sec, settings.refused_message_burst)
        self._scope = trio.CancelScope()
        self._reading_scope: trio.CancelScope | None = None
        self._reader_left: trio.Event | None = None
        self._held: list[bytes] = []
        self._writing = False
        self._stuck_at = math.inf
        self._peer_left = False
        self._unreadable = False

    # --- for the hub, and its batch ---------------------------------------------------------

    @property
    def address(self) -> str:
        """The peer's IP address; behind a trusted proxy, the one that the proxy reports."""
        return self._address

    def deliver(self, text: str, sender: Hashable | None = None) -> bool:
        """Writes or queues a message; returns False if the peer is gone or the sender's share is used up.

        The connection is closed with 1013 if the peer reads nothing for too long, or lets too many of the
        server's answers pile up.
        """
        return self._put(encode_text(text), sender)

    def close(self, code: CloseCode, reason: str) -> None:
        """Closes the connection after everything that is queued, or after ``CLOSE_GRACE_SEC`` in any case."""
        self._end(encode_close(code, reason))

    async def read(self) -> None:
        """Hands messages to the hub until the connection or the room ends; a failure ends the connection."""
        self._reader_left = trio.Event()
        try:
            with (
                contained("A connection can't be read.") as containment,
                trio.CancelScope() as self._reading_scope,
            ):
                while not self._outbox.closed:
                    await self._read_once()
            if containment.failure is not None:
                self._fail()
        finally:
            self._reader_left.set()

    # --- the connection's task --------------------------------------------------------------

    async def run(self) -> None:
        """Serves the connection until it ends, but leaves closing the socket to the caller."""
        self._hub.connected(self)
        try:
            with self._scope:
                await self._wait_for_registration()
                while frames := await self._outbox.take():
                    await self._write(frames)
                await self._take_leave()
        except _LOST:
            pass
        finally:
            self._end(None)
            self._outbox.discard()
            self._hub.disconnected(self)

    async def _wait_for_registration(self) -> None:
        deadline = trio.current_time() + self._settings.registration_timeout_sec
        while not self._outbox.closed and not self._hub.is_registered(self):
            # Only around reading: a message that is being written must not be cut off.
            with trio.CancelScope(deadline=deadline) as self._reading_scope:
                await self._read_once()
            if self._hub.is_registered(self):
                self._place.settle()
            elif trio.current_time() >= deadline:
                self.close(CloseCode.NO_REGISTRATION, "No registration in time.")
            await self._write(self._outbox.take_now())

    async def _take_leave(self) -> None:
        """Sends the close frame, and reads on until the peer has closed, too.

        The peer may still be sending, and closing a socket with unread bytes resets the connection (RFC 1122,
        section 4.2.2.13): the peer would never see the close frame.
        """
        if self._outbox.close_frame is None:
            return
        await self._stream.send_all(self._outbox.close_frame)
        if self._unreadable:
            await self._stream.send_eof()
        if self._reader_left is not None:
            await self._reader_left.wait()
        while not self._peer_left:
            await self._read_once()

    # --- writing ----------------------------------------------------------------------------

    def _put(self, frame: bytes, sender: Hashable | None = None) -> bool:
        """Writes a frame at once, as is usual, or queues it for the writer's task if others wait."""
        if self._outbox.closed:
            return False
        if self._writing or not self._outbox.is_empty():
            if trio.current_time() >= self._stuck_at:
                self._outbox.give_up()
            elif self._outbox.put(frame, sender):
                return True
            if self._outbox.overflowed:
                self.close(CloseCode.TRY_AGAIN_LATER, "The peer reads too slowly.")
            return False
        self._held.append(frame)
        if not self._hub.batch.is_held:
            self.write_held()
        elif len(self._held) == 1:
            self._hub.batch.add(self)
        return not self._outbox.closed

    def write_held(self) -> None:
        """Writes what the socket accepts of the deferred frames, and leaves the rest to the writer's task."""
        data = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held.clear()
        try:
            written = self._stream.send_now(data)
        except _LOST:
            self._end(None)
            return
        if written < len(data):
            self._outbox.put_rest(memoryview(data)[written:])

    async def _write(self, frames: list[Frame]) -> None:
        self._writing = True
        self._set_stuck_at(trio.current_time() + self._settings.write_timeout_sec)
        written_bytes = 0
        for data in _joined(frames):
            if written_bytes >= DEADLINE_BYTES:
                self._set_stuck_at(trio.current_time() + self._settings.write_timeout_sec)
                written_bytes = 0
            await self._stream.send_all(data)
            written_bytes += len(data)
            if self._outbox.overflowed:
                break
        self._writing = False
        self._set_stuck_at(math.inf)

    def _set_stuck_at(self, moment: float) -> None:
        """Sets the deadline of the current write, unless the connection is closing and has one already.

        After ``moment``, the next message to the peer closes it with 1013, which it may still read. If nobody
        sends one, the connection ends a little later without a close frame.
        """
        self._stuck_at = moment
        if not self._outbox.closed:
            self._scope.deadline = moment + CLOSE_GRACE_SEC

    def _end(self, close_frame: bytes | None) -> None:
        """Stops reading, and lets the writer finish."""
        if self._outbox.closed:
            return
        self._outbox.close(close_frame)
        self._scope.deadline = trio.current_time() + CLOSE_GRACE_SEC
        if self._reading_scope is not None:
            self._reading_scope.cancel()

    # --- reading ----------------------------------------------------------------------------

    async def _read_once(self) -> None:
        """Waits until something arrives, and handles all of it."""
        try:
            data = await self._stream.receive_some()
        except _LOST:
            data = b""
        if not data:
            self._peer_left = True
            self._end(None)
        elif not self._unreadable:
            await self._act_on_all(self._frames.feed(data))

    async def _act_on_all(self, events: Iterator[FrameEvent]) -> None:
        batch = self._hub.batch
        batch.hold()
        try:
            for number, event in enumerate(events, start=1):
                self._act_on(event)
                if number % MESSAGES_AT_ONCE == 0:
                    batch.release()
                    # Shielded, since cancellation would lose the frames that haven't been handled yet.
                    await trio.lowlevel.cancel_shielded_checkpoint()
                    batch.hold()
        except FrameError as error:
            self._unreadable = True
            self._end(encode_close(error.code, error.reason))
        finally:
            batch.release()

    def _act_on(self, event: FrameEvent) -> None:
        if isinstance(event, CloseReceived):
            self._peer_left = True
            self._end(encode_close(event.code))
        elif self._outbox.closed:
            pass  # what arrives between a close frame and its answer is dropped
        elif isinstance(event, PingReceived):
            if self._bucket.take(now := trio.current_time()) > 0:
                self._refuse_flood(now)
            else:
                self._put(encode_pong(event.payload))
        else:
            self._receive(event)

    def _receive(self, message: str | bytes) -> None:
        try:
            if self._bucket.take(now := trio.current_time()) > 0:
                self._refuse_flood(now)
            elif isinstance(message, bytes):
                self.deliver(encode_error(InvalidMessageError("Messages are JSON in text frames.")))
            else:
                self._hub.receive(self, message, now)
        except Exception:
            # A failure here ends this peer's connection, since its view of the room may be wrong now.
            # Not contained(), which would add a microsecond to every message.
            logger.exception("A message can't be handled.")
            self._fail()

    def _fail(self) -> None:
        self.close(CloseCode.INTERNAL_ERROR, "The server failed.")

    def _refuse_flood(self, now: float) -> None:
        self.deliver(encode_error(RateLimitedError("Too many messages in too short a time.")))
        if self._refused_bucket.take(now) > 0:
            self.close(CloseCode.RATE, "Too many messages.")


def _joined(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Joins frames into pieces of at most ``WRITE_BYTES``; a larger frame is a piece by itself."""
    piece: list[Frame] = []
    size = 0
    for frame in frames:
        if size + len(frame) > WRITE_BYTES and piece:
            yield b"".join(piece)
            piece, size = [], 0
        piece.append(frame)
        size += len(frame)
    if piece:
        yield piece[0] if len(piece) == 1 else b"".join(piece)
