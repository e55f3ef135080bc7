"""Accepts connections at a listening socket and gives each a place; both ports use it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, TypeAlias

import attrs
import trio

from ..base.logs import get_logger
from ..base.rate import TokenBucket
from .capacity import Capacity, Place
from .proxies import Network, is_proxy
from .sockets import PeerSocket

logger = get_logger(__name__)

PAUSE_SEC: Final = 0.1
"""Pause before the next try if the system has no descriptor or memory for a connection; Trio's is as long."""

REPORTS_PER_SEC: Final = 1 / 60
"""How often the log reports what strangers can cause at a port, so that they can't flood it: once a
minute."""

_OUT_OF_RESOURCES: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

_NO_PLACE: Final = b"The server has no place for another connection.\n"
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 60\r\n"
    b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(_NO_PLACE), _NO_PLACE)
)

ServeAccepted: TypeAlias = Callable[[PeerSocket, Place], Awaitable[None]]


@attrs.define(eq=False)
class Acceptor:
    """Accepts the connections of one port.

    Attributes:
        port: The port's name, for the log.
        capacity: How many connections there may be, and which one is ended for a new one.
        speaks_tls: Whether the port speaks TLS. If it does, a refused connection is closed without an answer.
        trusted_proxies: Proxies, whose connections count for the clients that they name.
    """

    port: str
    capacity: Capacity
    speaks_tls: bool
    trusted_proxies: Iterable[Network]
    _reports: TokenBucket = attrs.field(factory=lambda: TokenBucket(REPORTS_PER_SEC, 1), init=False)

    async def run(self, listener: socket.socket, serve: ServeAccepted, nursery: trio.Nursery) -> None:
        """Accepts connections and serves each in a task of the nursery. A failure ends that connection alone.

        :func:`trio.serve_listeners` does the same without places, and logs ten tracebacks a second if the
        process runs out of descriptors.
        """
        async with trio.SocketListener(trio.socket.from_stdlib_socket(listener)) as accepting:
            while True:
                try:
                    # Ignores a connection that was closed before it was accepted (ECONNABORTED).
                    stream = await accepting.accept()
                except OSError as error:
                    if error.errno not in _OUT_OF_RESOURCES:
                        raise
                    self.report("Connections can't be accepted.", error=error.strerror)
                    self.capacity.end_oldest_idle()
                    await trio.sleep(PAUSE_SEC)
                else:
                    # At once, not in the task: apart from this one, only connections with a place are open.
                    self._place(PeerSocket(stream), serve, nursery)

    def _place(self, accepted: PeerSocket, serve: ServeAccepted, nursery: trio.Nursery) -> None:
        scope = trio.CancelScope()

        def end() -> None:
            accepted.close()  # ends even a task that is shielded
            scope.cancel()

        ended_before = self.capacity.ended
        place = self.capacity.take_place(
            accepted.address, end, is_proxy=is_proxy(accepted.address, self.trusted_proxies)
        )
        if place is None:
            self.report(
                "A connection was refused: no place is left.", connections=self.capacity.max_connections
            )
            self._refuse(accepted)
            return
        if self.capacity.ended > ended_before:
            self.report(
                "Idle connections are ended, to make room for others.",
                connections=self.capacity.max_connections,
                ended=self.capacity.ended,
            )
        nursery.start_soon(partial(_serve, accepted, place, scope, serve))

    def _refuse(self, accepted: PeerSocket) -> None:
        """Answers 503 if that takes no time, and closes: a refused connection has no place to wait in."""
        try:
            if not self.speaks_tls:
                accepted.send_now(_FULL)
                accepted.end()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            accepted.close()

    def report(self, event: str, **fields: object) -> None:
        """Logs a warning about something that strangers can cause, at most once a minute."""
        if self._reports.take(trio.current_time()) == 0:
            logger.warning(event, port=self.port, **fields)


async def _serve(accepted: PeerSocket, place: Place, scope: trio.CancelScope, serve: ServeAccepted) -> None:
    try:
        with scope:
            await serve(accepted, place)
    except* (trio.BrokenResourceError, trio.ClosedResourceError) as lost:
        logger.debug("A connection was lost.", error=repr(lost))
    except* Exception:
        # A bug in this program: it ends this connection alone.
        logger.exception("A connection couldn't be served.")
    finally:
        place.leave()
        accepted.close()
