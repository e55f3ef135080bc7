"""A path to a TCP port that can be cut, frozen and slowed down."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

import attrs
import trio

HOST = "127.0.0.1"
BLOCK_BYTES = 65536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER, socket(7)
_PATH_FAULTS = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


@attrs.define(eq=False)
class Connection:
    """One connection and its way on; ``flow`` is set while anything gets through."""

    near: trio.SocketStream
    far: trio.SocketStream
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    flow: trio.Event = attrs.field(factory=trio.Event)


class Proxy:
    """Carries connections to a port of this machine.

    Attributes:
        target_port: Of the server.
        port: Where it listens.
        delay_sec: How long each block is held up.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self._connections: set[Connection] = set()
        self.port = 0
        self.delay_sec = 0.0

    async def run(self, task_status=trio.TASK_STATUS_IGNORED) -> None:
        """Serves until cancelled."""
        (listener,) = await trio.open_tcp_listeners(0, host=HOST)
        self.port = listener.socket.getsockname()[1]
        await trio.serve_listeners(self._serve, [listener], task_status=task_status)

    def cut(self) -> None:
        """Resets every connection."""
        for connection in self._connections:
            for stream in (connection.near, connection.far):
                with suppress(OSError):
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            connection.scope.cancel()

    def freeze(self) -> None:
        """Carries nothing of the present connections any more, and tells nobody: they are half open."""
        for connection in self._connections:
            connection.flow = trio.Event()

    async def _serve(self, near: trio.SocketStream) -> None:
        try:
            far = await trio.open_tcp_stream(HOST, self.target_port)
        except OSError:
            return  # closes, as a path whose end is gone
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
