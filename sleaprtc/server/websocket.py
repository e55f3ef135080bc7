"""From an accepted TCP connection to a session, and to its very end."""

from __future__ import annotations

import logging
from typing import Final

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream
from wsproto import frame_protocol
from wsproto.utilities import ProtocolError

from ..protocol.close_codes import CloseCode
from ..protocol.limits import HANDSHAKE_TIMEOUT_SEC, MAX_FRAME_BYTES
from .hub import Hub
from .session import Session
from .settings import ServerSettings

logger = logging.getLogger(__name__)

PATH: Final = "/"
RECEIVE_BYTES: Final = 16 * 1024
LINGER_SEC: Final = 1.0
"""How long to read on after a frame that wasn't read to its end: closing a socket with unread bytes in it
resets the connection (RFC 1122, section 4.2.2.13), and the peer would never see the close frame."""

_BROKEN_FRAME: Final = frozenset(
    {frame_protocol.CloseReason.PROTOCOL_ERROR, frame_protocol.CloseReason.INVALID_FRAME_PAYLOAD_DATA}
)


class _HeldOpenStream(trio.abc.Stream):
    """A TCP stream that its user can't close.

    trio-websocket closes it at once where a peer breaks the protocol, before anybody has told that peer why.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def serve_connection(stream: trio.SocketStream, *, hub: Hub, settings: ServerSettings) -> None:
    """Serves one connection; whatever the peer does, no error leaves."""
    try:
        async with trio.open_nursery() as nursery:
            websocket = await _handshake(nursery, stream, hub)
            if websocket is not None:
                await Session(websocket, hub, settings).run()
            nursery.cancel_scope.cancel()
        if websocket is not None and websocket.closed is not None:
            await _part(stream, websocket.closed.code)
    except* (
        ConnectionClosed,
        ProtocolError,
        trio.BrokenResourceError,
        trio.ClosedResourceError,
        OSError,
    ) as lost:
        logger.debug("A connection was lost: %r", lost)
    except* Exception:
        logger.exception("A connection couldn't be served.")
    finally:
        await trio.aclose_forcefully(stream)


async def _handshake(
    nursery: trio.Nursery, stream: trio.SocketStream, hub: Hub
) -> WebSocketConnection | None:
    with trio.move_on_after(HANDSHAKE_TIMEOUT_SEC):
        request = await wrap_server_stream(
            nursery,
            _HeldOpenStream(stream),
            max_message_size=MAX_FRAME_BYTES,
            receive_buffer_size=RECEIVE_BYTES,
        )
        if request.path.partition("?")[0] != PATH:
            await request.reject(404, body=b"The signaling server is at /.\n")
        elif hub.draining:
            await request.reject(503, body=b"The server is shutting down.\n")
        else:
            return await request.accept()
    return None


async def _part(stream: trio.SocketStream, code: int) -> None:
    """Takes leave of a peer whose frame was broken or too large, so that it can read why."""
    if code not in _BROKEN_FRAME and code != CloseCode.FRAME_TOO_LARGE:
        return
    with trio.move_on_after(LINGER_SEC):
        if code in _BROKEN_FRAME:
            await stream.send_all(frame_protocol.FrameProtocol(client=False, extensions=[]).close(code))
        await stream.send_eof()
        while await stream.receive_some(RECEIVE_BYTES):
            pass
