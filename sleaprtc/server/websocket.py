"""From an accepted TCP connection to a session, and to its very end."""

from __future__ import annotations

import logging
from typing import Final

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream
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
"""How long to read on after a frame that was too large: closing a socket with unread bytes in it resets
the connection (RFC 1122, section 4.2.2.13), and the peer would never see the close frame."""


async def serve_connection(stream: trio.SocketStream, *, hub: Hub, settings: ServerSettings) -> None:
    """Serves one connection; whatever the peer does, no error leaves."""
    websocket: WebSocketConnection | None = None
    try:
        async with trio.open_nursery() as nursery:
            websocket = await _handshake(nursery, stream, hub)
            if websocket is not None:
                await Session(websocket, hub, settings).run()
            nursery.cancel_scope.cancel()
        if websocket is not None and _ended_by_large_frame(websocket):
            await _linger(stream)
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
            nursery, stream, max_message_size=MAX_FRAME_BYTES, receive_buffer_size=RECEIVE_BYTES
        )
        if request.path.partition("?")[0] != PATH:
            await request.reject(404, body=b"The signaling server is at /.\n")
        elif hub.draining:
            await request.reject(503, body=b"The server is shutting down.\n")
        else:
            return await request.accept()
    return None


def _ended_by_large_frame(websocket: WebSocketConnection) -> bool:
    return websocket.closed is not None and websocket.closed.code == CloseCode.FRAME_TOO_LARGE


async def _linger(stream: trio.SocketStream) -> None:
    with trio.move_on_after(LINGER_SEC):
        await stream.send_eof()
        while await stream.receive_some(RECEIVE_BYTES):
            pass
