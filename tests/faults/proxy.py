"""A path to a TCP port that can be cut, frozen and slowed down."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress

import attrs
import trio

HOST = "127.0.0.1"
BLOCK_BYTES = 65536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER, socket(7)
_PATH_FAULTS = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


@attrs.define(eq=False)
class Connection:
    """One connection and the one it is forwarded to; ``flow`` is set while data passes."""

    near: trio.SocketStream
    far: trio.SocketStream
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    flow: trio.Event = attrs.field(factory=trio.Event)


class Proxy:
    """Forwards connections to a port of this machine.

    Args:
        target_port: The server's port.
        host: The address on which both the proxy and the server listen.
        port: The proxy's own port; 0 takes a free one.
        make_socket: Makes a TCP socket in the network that both are in.

    Attributes:
        target_port: The server's port.
        port: The proxy's own port.
        delay_sec: How long each block is delayed.
    """

    def __init__(
        self,
        target_port: int,
        host: str = HOST,
        port: int = 0,
        make_socket: Callable[[], socket.socket] = socket.socket,
    ) -> None:
        self.target_port = target_port
        self._host = host
        self._make_socket = make_socket
        self._connections: set[Connection] = set()
        self.port = port
        self.delay_sec = 0.0

    async def run(self, task_status=trio.TASK_STATUS_IGNORED) -> None:
        """Serves until cancelled."""
        sock = trio.socket.from_stdlib_socket(self._make_socket())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        await sock.bind((self._host, self.port))
        sock.listen()
        self.port = sock.getsockname()[1]
        await trio.serve_listeners(self._serve, [trio.SocketListener(sock)], task_status=task_status)

    def cut(self) -> None:
        """Resets every connection."""
        for connection in self._connections:
            for stream in (connection.near, connection.far):
                with suppress(OSError):
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            connection.scope.cancel()

    def freeze(self) -> None:
        """Silently stops forwarding on all present connections: they are half open."""
        for connection in self._connections:
            connection.flow = trio.Event()

    async def _serve(self, near: trio.SocketStream) -> None:
        sock = trio.socket.from_stdlib_socket(self._make_socket())
        try:
            await sock.connect((self._host, self.target_port))
            far = trio.SocketStream(sock)
        except OSError:
            sock.close()
            return  # closes, since one end is gone
        connection = Connection(near, far)
        connection.flow.set()
        self._connections.add(connection)
        try:
            with connection.scope:
                async with far, trio.open_nursery() as nursery:
                    nursery.start_soon(self._carry, connection, near, far)
                    nursery.start_soon(self._carry, connection, far, near)
        finally:
            self._connections.discard(connection)

    async def _carry(
        self, connection: Connection, source: trio.SocketStream, target: trio.SocketStream
    ) -> None:
        with suppress(*_PATH_FAULTS):
            while block := await source.receive_some(BLOCK_BYTES):
                await trio.sleep(self.delay_sec)
                await connection.flow.wait()
                await target.send_all(block)
            await connection.flow.wait()
        with suppress(*_PATH_FAULTS):
            await target.send_eof()
