"""The HTTP port: Hypercorn's protocol on connections that this package accepts.

:func:`hypercorn.trio.serve` accepts connections itself, without a limit. Its timeout for idle connections
doesn't work with quart-trio: the task that would start it after an answer is cancelled when the answer ends,
so the connection stays open for ever. Hypercorn has no public hook between its listeners and its protocol, so
its ``TCPServer``, which serves one connection, is used directly. tests/server/test_hypercorn_seams.py checks
the internals that this module relies on.
"""

from __future__ import annotations

import logging
import math
import socket
import ssl
from typing import Final

import attrs
import h11
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart_trio import QuartTrio

from ..protocol.limits import (
    CLOSE_GRACE_SEC,
    HANDSHAKE_TIMEOUT_SEC,
    HTTP_ANSWER_SEC,
    HTTP_KEEP_ALIVE_SEC,
    HTTP_REQUEST_SEC,
)
from .accepting import Acceptor
from .capacity import Place
from .sockets import PeerSocket, PeerStream
from .tls import TlsStream

GRACE_SEC: Final = 1.0
"""How long requests that are being answered may still take once the server shuts down."""


class HttpStream:
    """The stream that Hypercorn reads and writes: a connection with a time limit for everything.

    Each wait for the other side ends in time:

    - ``HTTP_KEEP_ALIVE_SEC`` for the first byte of a request, from the handshake or the last answer on;
    - ``HTTP_REQUEST_SEC`` from there to the answer;
    - ``HTTP_ANSWER_SEC`` for the other side to read what is written.
    """

    def __init__(self, stream: PeerStream, accepted: PeerSocket, place: Place) -> None:
        self._stream = stream
        self._accepted = accepted
        self._place = place
        self._is_asked = False
        self._is_ended = False
        self._reading = trio.CancelScope()
        self._deadline = trio.current_time() + HTTP_KEEP_ALIVE_SEC

    @property
    def socket(self) -> socket.socket:
        """The socket, from which Hypercorn reads the addresses of both ends."""
        return self._accepted.socket

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Waits for something to read.

        Raises:
            trio.BrokenResourceError: Nothing arrived in time; the connection is closed.
        """
        with trio.CancelScope(deadline=self._deadline) as self._reading:
            while data := await self._stream.receive_some(max_bytes):
                if not self._is_ended:
                    self._note_asked()
                    return data
            return data
        self._accepted.close()
        raise trio.BrokenResourceError("the other side took too long")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Writes all of it. Hypercorn calls this under a shield.

        Raises:
            trio.BrokenResourceError: The other side didn't read in time; the connection is closed.
        """
        with trio.move_on_after(HTTP_ANSWER_SEC) as writing:
            await self._stream.send_all(data)
        if writing.cancelled_caught:
            self._accepted.close()
            raise trio.BrokenResourceError("the other side took too long")
        self._is_asked = False
        self._place.stir()
        self._set_deadline(HTTP_KEEP_ALIVE_SEC)

    async def send_eof(self) -> None:
        """Does nothing: :meth:`aclose` always follows."""

    async def aclose(self) -> None:
        """Ends the connection without a checkpoint: if Hypercorn were cancelled here, it would stay open.

        What the other side sends is read and dropped for a moment longer: closing a socket with unread bytes
        resets the connection (RFC 1122, section 4.2.2.13), and the answer would be lost.
        """
        if not self._is_ended:
            self._is_ended = True
            self._accepted.end()
            self._deadline = self._reading.deadline = trio.current_time() + CLOSE_GRACE_SEC

    def leave(self) -> None:
        """Closes the connection unless a request on it hasn't been answered yet."""
        if not self._is_asked:
            self._accepted.close()

    def close(self) -> None:
        """Closes the connection."""
        self._accepted.close()

    def _note_asked(self) -> None:
        if not self._is_asked:
            self._is_asked = True
            self._place.stir()
            self._set_deadline(HTTP_REQUEST_SEC)

    def _set_deadline(self, wait_sec: float) -> None:
        if not self._is_ended:
            self._deadline = self._reading.deadline = trio.current_time() + wait_sec


class SecureHttpStream(HttpStream):
    """The same under TLS; Hypercorn recognizes it by its ``do_handshake``."""

    async def do_handshake(self) -> None:
        """Does the TLS handshake; Hypercorn limits it by ``ssl_handshake_timeout``."""
        await self._stream.start()
        self._set_deadline(HTTP_KEEP_ALIVE_SEC)

    def selected_alpn_protocol(self) -> str:
        """Returns the only protocol that the TLS context offers."""
        return "http/1.1"

    @property
    def transport_stream(self) -> HttpStream:
        """The stream that has the socket, as Hypercorn expects of a TLS stream."""
        return self


class _Http1Protocol(H11Protocol):
    """HTTP/1.1 that never switches to HTTP/2."""

    async def _check_protocol(self, event: h11.Request) -> None:
        """Omits the switch to HTTP/2: an upgrade is ignored (RFC 9110, section 7.8), a preface refused."""


class _Http1Server(TCPServer):
    """Serves one connection, without HTTP/2.

    No peer needs HTTP/2, and each PING would keep an idle connection open: :class:`HttpStream` sees only that
    Hypercorn writes something. Hypercorn has no setting that turns HTTP/2 off.
    """

    @property  # type: ignore[override]
    def protocol(self) -> _Http1Protocol:
        """The protocol that gets the bytes. It replaces Hypercorn's, which can switch to HTTP/2."""
        return self._protocol

    @protocol.setter
    def protocol(self, made: ProtocolWrapper) -> None:
        self._protocol = _Http1Protocol(
            made.app,
            made.config,
            made.context,
            made.task_group,
            made.state,
            made.ssl,
            made.client,
            made.server,
            made.send,
        )


@attrs.define(eq=False)
class HttpPort:
    """Serves one ASGI application."""

    app: QuartTrio
    acceptor: Acceptor
    tls: ssl.SSLContext | None
    _streams: set[HttpStream] = attrs.field(factory=set, init=False)
    _context: WorkerContext = attrs.field(factory=lambda: WorkerContext(None), init=False)
    _config: Config = attrs.field(factory=lambda: _config(), init=False)
    _all_gone: trio.Event = attrs.field(factory=trio.Event, init=False)

    async def run(
        self,
        listener: socket.socket,
        stop: trio.Event,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serves until ``stop`` is set, then gives requests that are being answered ``GRACE_SEC`` to finish.

        There is no ASGI lifespan: the application does nothing before its first request or after its last
        one.
        """
        # A task that serves one connection fails alone; see Acceptor.
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                accepting.start_soon(self.acceptor.run, listener, self._serve, connections)
                task_status.started()
                await stop.wait()
                accepting.cancel_scope.cancel()
            await self._context.terminated.set()
            await self._leave()
            connections.cancel_scope.cancel()

    async def _serve(self, accepted: PeerSocket, place: Place) -> None:
        stream = (
            HttpStream(accepted, accepted, place)
            if self.tls is None
            else SecureHttpStream(TlsStream(accepted, self.tls), accepted, place)
        )
        self._streams.add(stream)
        try:
            await _Http1Server(ASGIWrapper(self._answer), self._config, self._context, {}, stream)  # type: ignore[arg-type]
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            raise
        except* Exception as error:
            # Hypercorn, h11 or wsproto couldn't handle a stranger's bytes: headers that aren't ASCII raise
            # UnicodeDecodeError, for instance. The application's own exceptions don't come this way.
            self.acceptor.report("A request couldn't be read.", error=repr(error.exceptions[0]))
        finally:
            self._streams.discard(stream)
            if not self._streams:
                self._all_gone.set()

    async def _answer(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Calls the application, which logs and answers its own failures.

        An exception here is Quart's, from a stranger's request that it can't parse: an address with an
        unmatched bracket raises ValueError, for instance. Hypercorn would log a traceback for each. It
        answers with 500 in any case.
        """
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            self.acceptor.report("A request couldn't be read.", error=repr(error))

    async def _leave(self) -> None:
        for stream in tuple(self._streams):
            stream.leave()
        self._all_gone = trio.Event()
        if self._streams:
            with trio.move_on_after(GRACE_SEC):
                await self._all_gone.wait()
        for stream in tuple(self._streams):
            stream.close()  # even if it is writing under Hypercorn's shield


def _config() -> Config:
    config = Config()
    config.ssl_handshake_timeout = HANDSHAKE_TIMEOUT_SEC
    config.errorlog = logging.getLogger(f"{__name__}.hypercorn")
    config.errorlog.setLevel(logging.WARNING)
    config.include_server_header = False
    config.keep_alive_timeout = math.inf  # HttpStream does all timing
    return config
