"""From an accepted TCP connection to a session, and to its very end."""

from __future__ import annotations

import logging
from typing import Final

import trio
from trio_websocket import ConnectionClosed, wrap_server_stream

from ..protocol.limits import CLOSE_GRACE_SEC, HANDSHAKE_TIMEOUT_SEC
from .hub import Hub
from .session import Session
from .settings import ServerSettings
from .sockets import RECEIVE_BYTES, PeerStream

logger = logging.getLogger(__name__)

PATH: Final = "/"

_TOO_MANY: Final = b"Too many connections from this address.\n"
_TURNED_AWAY: Final = (
    b"HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nRetry-After: 60\r\n"
    b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(_TOO_MANY), _TOO_MANY)
)


async def serve_connection(stream: PeerStream, *, hub: Hub, settings: ServerSettings) -> None:
    """Serves one connection; whatever the peer does, no error leaves."""
    try:
        with hub.connection_counter.admitted(stream.address) as is_admitted:
            if not is_admitted:
                await _turn_away(stream)
            elif await _handshake(stream, hub):
                await Session(stream, hub, settings).run()
    except* (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError) as lost:
        logger.debug("A connection was lost: %r", lost)
    except* Exception:
        logger.exception("A connection couldn't be served.")
    finally:
        stream.close()


async def _handshake(stream: PeerStream, hub: Hub) -> bool:
    """Leaves the opening to trio-websocket; the frames that follow are the session's own."""
    with trio.move_on_after(HANDSHAKE_TIMEOUT_SEC):
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, stream, receive_buffer_size=RECEIVE_BYTES)
            # Its reader has done its work: a peer sends nothing more before it's answered (RFC 6455, 4.1).
            nursery.cancel_scope.cancel()
        if request.path.partition("?")[0] != PATH:
            await request.reject(404, body=b"The signaling server is at /.\n")
        elif hub.draining:
            await request.reject(503, body=b"The server is shutting down.\n")
        else:
            await request.accept()
            return True
    return False


async def _turn_away(stream: PeerStream) -> None:
    """Answers before the peer has asked, and leaves it a moment to read that."""
    with trio.move_on_after(CLOSE_GRACE_SEC):
        await stream.send_all(_TURNED_AWAY)
        await stream.send_eof()
        while await stream.receive_some():
            pass
