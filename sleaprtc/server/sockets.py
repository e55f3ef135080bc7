"""A TCP connection that can also be written to without waiting."""

from __future__ import annotations

import socket
from abc import abstractmethod
from contextlib import suppress
from typing import Final

import trio

RECEIVE_BYTES: Final = 16 * 1024

_NOT_NOW: Final = (BlockingIOError, InterruptedError)


class PeerStream(trio.abc.HalfCloseableStream):
    """What a session needs of a connection: to write, and to close, without waiting."""

    __slots__ = ()

    @property
    def address(self) -> str:
        """Where the other side is; empty where that isn't known."""
        return ""

    async def start(self) -> None:
        """Does what comes before the first byte, such as a TLS handshake.

        Raises:
            trio.BrokenResourceError: The other side does something else.
        """

    @abstractmethod
    def send_now(self, data: bytes) -> int:
        """Writes what the system takes at once.

        Returns:
            How many bytes that were.

        Raises:
            trio.BrokenResourceError: The connection is gone.
            trio.ClosedResourceError: This side closed it.
        """

    @abstractmethod
    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Waits for something to read; nothing at all means that the other side has ended."""

    @abstractmethod
    def close(self) -> None:
        """Closes the connection."""


class PeerSocket(PeerStream):
    """Takes an accepted connection over from a Trio stream, which can't be used any more.

    Trio's own streams try every operation before they wait for it, and let other tasks run in either case.
    A server that reads what has just arrived and writes little does better to wait first when it reads, and
    not to wait at all when it writes.
    """

    __slots__ = ("_address", "_socket")

    def __init__(self, stream: trio.SocketStream) -> None:
        accepted = stream.socket
        self._socket = socket.socket(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self._socket.setblocking(False)
        try:
            self._address = str(self._socket.getpeername()[0])
        except OSError:  # gone already
            self._address = ""

    @property
    def address(self) -> str:
        """Where the other side is; empty where it was gone at once."""
        return self._address

    @property
    def socket(self) -> socket.socket:
        """The socket itself, to be asked for its names."""
        return self._socket

    def send_now(self, data: bytes) -> int:
        """Writes what the system takes at once."""
        try:
            return self._socket.send(data)
        except _NOT_NOW:
            return 0
        except OSError as error:
            raise self._lost(error) from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Writes all of it."""
        with memoryview(data) as rest:
            start = 0
            while start < len(rest):
                await self.wait_send_all_might_not_block()
                try:
                    start += self._socket.send(rest[start:])
                except _NOT_NOW:
                    continue
                except OSError as error:
                    raise self._lost(error) from error

    async def wait_send_all_might_not_block(self) -> None:
        """Waits until the system takes at least one byte."""
        try:
            await trio.lowlevel.wait_writable(self._socket)
        except OSError as error:
            raise self._lost(error) from error

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Waits for something to read; nothing at all means that the other side has ended."""
        while True:
            try:
                await trio.lowlevel.wait_readable(self._socket)
                return self._socket.recv(max_bytes or RECEIVE_BYTES)
            except _NOT_NOW:
                continue
            except OSError as error:
                raise self._lost(error) from error

    async def send_eof(self) -> None:
        """Tells the other side that nothing more comes."""
        await trio.lowlevel.checkpoint()
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise self._lost(error) from error

    def end(self) -> None:
        """Does the same without waiting, where the other side is still there."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    async def aclose(self) -> None:
        """Closes the connection."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Closes the connection."""
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()

    def _lost(self, error: OSError) -> Exception:
        """Speaks of a lost connection as :mod:`trio.abc` has it."""
        if self._socket.fileno() < 0:
            return trio.ClosedResourceError("this side closed the connection")
        return trio.BrokenResourceError(f"the connection is gone: {error}")
