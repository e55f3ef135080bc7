"""Serves an accepted TCP connection: the opening handshake, the session, and the closing."""

from __future__ import annotations

from typing import Final

import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, wrap_server_stream

from ..base.logs import get_logger
from ..base.nurseries import contained
from ..protocol.limits import CLOSE_GRACE_SEC, HANDSHAKE_TIMEOUT_SEC
from .capacity import Place
from .hub import Hub
from .proxies import FORWARDED_FOR, client_address, is_proxy
from .session import Session
from .settings import ServerSettings
from .sockets import RECEIVE_BYTES, PeerStream

logger = get_logger(__name__)

PATH: Final = "/"

_FORWARDED_FOR: Final = FORWARDED_FOR.lower().encode()

_TOO_MANY: Final = b"Too many connections from this address.\n"
_TURNED_AWAY: Final = (
    b"HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nRetry-After: 60\r\n"
    b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(_TOO_MANY), _TOO_MANY)
)

_UNREADABLE: Final = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


async def serve_connection(stream: PeerStream, place: Place, *, hub: Hub, settings: ServerSettings) -> None:
    """Serves one connection and closes it; raises nothing. A failure is logged and ends this connection."""
    try:
        with contained("A connection can't be served."):
            try:
                if is_proxy(stream.address, settings.trusted_proxies):
                    await _serve_forwarded(stream, place, hub, settings)
                elif not place.is_welcome:
                    await _turn_away(stream)
                elif await _handshake(stream, hub):
                    await Session(stream, place, hub, settings).run()
            except* (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError) as lost:
                logger.debug("A connection was lost.", error=repr(lost))
    finally:
        stream.close()


async def _serve_forwarded(stream: PeerStream, place: Place, hub: Hub, settings: ServerSettings) -> None:
    """Serves a connection that a trusted proxy makes for a client; it counts for the client's address."""
    request = await _read_opening(stream)
    if request is None:
        return
    forwarded_for = [
        value.decode("latin-1") for name, value in request.headers if name.lower() == _FORWARDED_FOR
    ]
    address = client_address(stream.address, forwarded_for, settings.trusted_proxies)
    if not place.move_to(address):
        with trio.move_on_after(CLOSE_GRACE_SEC):
            await request.reject(429, extra_headers=[(b"Retry-After", b"60")], body=_TOO_MANY)
    elif await _accept(request, hub):
        del request  # frees 9 KiB for as long as the peer stays
        await Session(stream, place, hub, settings, address=address).run()


async def _handshake(stream: PeerStream, hub: Hub) -> bool:
    """Does the opening handshake. Its state, 9 KiB, is freed here and not kept while the peer stays."""
    request = await _read_opening(stream)
    return request is not None and await _accept(request, hub)


async def _read_opening(stream: PeerStream) -> WebSocketRequest | None:
    """Reads the opening handshake with trio-websocket; the session handles the frames after it."""
    request: WebSocketRequest | None = None
    try:
        with trio.move_on_after(HANDSHAKE_TIMEOUT_SEC):
            await stream.start()
            # A failure costs the connection, see serve_connection().
            async with trio.open_nursery() as nursery:
                request = await wrap_server_stream(nursery, stream, receive_buffer_size=RECEIVE_BYTES)
                # Its reader is done: a peer sends nothing more before the answer (RFC 6455, section 4.1).
                nursery.cancel_scope.cancel()
    except* ValueError as error:
        # wsproto raises UnicodeDecodeError for headers that aren't ASCII. Only debug: strangers can cause it.
        logger.debug("An opening couldn't be read.", error=repr(error))
        stream.send_now(_UNREADABLE)
    return request


async def _accept(request: WebSocketRequest, hub: Hub) -> bool:
    with trio.move_on_after(HANDSHAKE_TIMEOUT_SEC):
        if request.path.partition("?")[0] != PATH:
            await request.reject(404, body=b"The signaling server is at /.\n")
        elif hub.draining:
            await request.reject(503, body=b"The server is shutting down.\n")
        else:
            await request.accept()
            return True
    return False


async def _turn_away(stream: PeerStream) -> None:
    """Answers 429 to any request, and gives the peer ``CLOSE_GRACE_SEC`` to read that."""
    with trio.move_on_after(CLOSE_GRACE_SEC):
        await stream.receive_some()  # an answer before the request confuses clients
        await stream.send_all(_TURNED_AWAY)
        await stream.send_eof()
        while await stream.receive_some():
            pass
