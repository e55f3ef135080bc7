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
    """What a session needs of a connection: writing and closing without waiting, besides Trio's methods."""

    __slots__ = ()

    @property
    def address(self) -> str:
        """The other side's IP address; empty if it isn't known."""
        return ""

    async def start(self) -> None:
        """Prepares the connection for its first byte, such as by a TLS handshake.

        Raises:
            trio.BrokenResourceError: The handshake failed.
        """

    @abstractmethod
    def send_now(self, data: bytes) -> int:
        """Writes as much as the system accepts without waiting.

        Returns:
            How many bytes were written; it may be 0.

        Raises:
            trio.BrokenResourceError: The connection is lost.
            trio.ClosedResourceError: This side closed the connection.
        """

    @abstractmethod
    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Waits for something to read; empty bytes mean that the other side has ended the connection."""

    @abstractmethod
    def close(self) -> None:
        """Closes the connection."""


class PeerSocket(PeerStream):
    """An accepted connection, taken over from a Trio stream, which can't be used any more.

    Trio's own streams try every operation before they wait, and let other tasks run in either case. A server
    that reads what has just arrived and writes little is faster if it waits before it reads, and doesn't wait
    at all to write.
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
        """The other side's IP address; empty if it disconnected at once."""
        return self._address

    @property
    def socket(self) -> socket.socket:
        """The socket itself, to ask for its addresses."""
        return self._socket

    def send_now(self, data: bytes) -> int:
        """Writes as much as the system accepts without waiting."""
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
        """Waits until the system accepts at least one byte."""
        try:
            await trio.lowlevel.wait_writable(self._socket)
        except OSError as error:
            raise self._lost(error) from error

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Waits for something to read; empty bytes mean that the other side has ended the connection."""
        while True:
            try:
                await trio.lowlevel.wait_readable(self._socket)
                return self._socket.recv(max_bytes or RECEIVE_BYTES)
            except _NOT_NOW:
                continue
            except OSError as error:
                raise self._lost(error) from error

    async def send_eof(self) -> None:
        """Ends this side's direction: nothing more will be sent."""
        await trio.lowlevel.checkpoint()
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise self._lost(error) from error

    def end(self) -> None:
        """Does the same without a checkpoint; does nothing if the connection is lost."""
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
        """Returns the error that :mod:`trio.abc` specifies for a lost or closed connection."""
        if self._socket.fileno() < 0:
            return trio.ClosedResourceError("this side closed the connection")
        return trio.BrokenResourceError(f"the connection is gone: {error}")
