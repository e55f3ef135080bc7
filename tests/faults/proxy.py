"""A path to a TCP port that can be cut, frozen and slowed down."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

import trio

HOST = "127.0.0.1"
BLOCK_BYTES = 65536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER, socket(7)
_PATH_FAULTS = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


class Proxy:
    """Carries connections to ``target_port`` of this machine.

    Attributes:
        port: Where it listens.
        delay_sec: How long each block is held up.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._open: set[tuple[trio.SocketStream, trio.SocketStream, trio.CancelScope]] = set()
        self._flow = trio.Event()
        self._flow.set()
        self.port = 0
        self.delay_sec = 0.0

    async def run(self, task_status=trio.TASK_STATUS_IGNORED) -> None:
        """Serves until cancelled."""
        (listener,) = await trio.open_tcp_listeners(0, host=HOST)
        self.port = listener.socket.getsockname()[1]
        await trio.serve_listeners(self._serve, [listener], task_status=task_status)

    def cut(self) -> None:
        """Resets every connection."""
        for near, far, scope in self._open:
            for stream in (near, far):
                with suppress(OSError):
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            scope.cancel()

    def freeze(self) -> None:
        """Carries nothing any more, and tells nobody."""
        self._flow = trio.Event()

    def thaw(self) -> None:
        """Carries on."""
        self._flow.set()

    async def _serve(self, near: trio.SocketStream) -> None:
        try:
            far = await trio.open_tcp_stream(HOST, self._target_port)
        except OSError:
            return  # as if nobody listened
        with trio.CancelScope() as scope:
            connection = (near, far, scope)
            self._open.add(connection)
            try:
                async with far, trio.open_nursery() as nursery:
                    nursery.start_soon(self._carry, near, far)
                    nursery.start_soon(self._carry, far, near)
            finally:
                self._open.discard(connection)

    async def _carry(self, source: trio.SocketStream, target: trio.SocketStream) -> None:
        with suppress(*_PATH_FAULTS):
            while block := await source.receive_some(BLOCK_BYTES):
                await trio.sleep(self.delay_sec)
                await self._flow.wait()
                await target.send_all(block)
        with suppress(*_PATH_FAULTS):
            await target.send_eof()
