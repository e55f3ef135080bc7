"""Runs the asyncio side of a peer connection: an event loop of its own, inside Trio.

Only bytes, text, frozen types and this package's exceptions cross the bridge. Futures, other libraries'
exceptions and :class:`asyncio.CancelledError` stay on the asyncio side.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

import trio
import trio_asyncio

from ..base.nurseries import contained
from ..base.sentences import as_clause
from ..errors import ConnectionFailedError, SleapRTCError
from .background import open_background_nursery

T = TypeVar("T")

DATAGRAMS_PER_WAKE_UP: Final = 64
"""Read per wake-up at most. Waking a Trio task costs about as much as reading this many."""

MAX_DATAGRAM_BYTES: Final = 4096
"""WebRTC stacks stay below an Ethernet frame (RFC 8831, section 5: 1200 bytes if the MTU is unknown)."""

SOCKET_BUFFER_BYTES: Final = 4 * 2**20
"""Requested from the kernel, which grants what its own limit allows. A burst that doesn't fit is lost and
sent again, which costs far more than memory."""

SEND_BACKLOG_DATAGRAMS: Final = 1024
"""Datagrams kept while the kernel's send buffer is full; more are dropped, as the network would."""

_log = logging.getLogger(__name__)


class DatagramTransport(asyncio.DatagramTransport):
    """A UDP socket on the loop that reads until it would block, rather than once per wake-up.

    It doesn't expose its socket, because aioice would lower the receive buffer again.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: asyncio.DatagramProtocol
    ) -> None:
        super().__init__({"sockname": sock.getsockname(), "peername": _peer_name(sock)})
        self._loop = loop
        self._sock = sock
        self._protocol = protocol
        self._backlog: deque[tuple[bytes, Any]] = deque()
        self._closing = False
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)
        protocol.connection_made(self)
        loop.add_reader(sock, self._read)

    def _read(self) -> None:
        for _ in range(DATAGRAMS_PER_WAKE_UP):
            if self._closing:
                return
            try:
                datagram, address = self._sock.recvfrom(MAX_DATAGRAM_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # an ICMP error about an earlier datagram
                self._protocol.error_received(error)
                return
            try:
                self._protocol.datagram_received(datagram, address)
            except Exception:  # anybody can send anything to a UDP port
                _log.debug("A datagram from %s was dropped.", address, exc_info=True)

    def _send_now(self, datagram: bytes, address: Any) -> bool:
        try:
            if address is None or self.get_extra_info("peername") is not None:
                self._sock.send(datagram)
            else:
                self._sock.sendto(datagram, address)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self._protocol.error_received(error)
        return True

    def sendto(self, data: bytes | bytearray | memoryview, addr: Any = None) -> None:
        """Sends one datagram, now or as soon as the kernel has room for it."""
        if self._closing or not data:
            return
        if not self._backlog and self._send_now(bytes(data), addr):
            return
        if not self._backlog:
            self._loop.add_writer(self._sock, self._send_backlog)
        if len(self._backlog) < SEND_BACKLOG_DATAGRAMS:
            self._backlog.append((bytes(data), addr))

    def _send_backlog(self) -> None:
        while self._backlog and self._send_now(*self._backlog[0]):
            self._backlog.popleft()
        if not self._backlog:
            self._loop.remove_writer(self._sock)

    def is_closing(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closing

    def close(self) -> None:
        """Closes the socket; the loop then calls the protocol's ``connection_lost``."""
        if self._closing:
            return
        self._closing = True
        self._loop.remove_reader(self._sock)
        if self._backlog:
            self._loop.remove_writer(self._sock)
        self._sock.close()
        self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """The same as :meth:`close`, which doesn't wait for queued datagrams either."""
        self.close()


def _number(file: Any) -> int:
    return file if isinstance(file, int) else int(file.fileno())


def _peer_name(sock: socket.socket) -> Any:
    try:
        return sock.getpeername()
    except OSError:
        return None


class Bridge:
    """Runs asyncio code from Trio. Use :func:`open_bridge`."""

    def __init__(self, loop: Any, nursery: trio.Nursery) -> None:
        self._loop = loop
        self._nursery = nursery
        self._readers: dict[int, trio.CancelScope] = {}
        self._context = contextvars.copy_context()  # holds trio-asyncio's current loop
        self._transports: set[DatagramTransport] = set()
        self._streams: set[asyncio.Transport] = set()
        self._create_stock_connection = loop.create_connection
        loop.create_connection = self._create_connection
        self._create_stock_endpoint = loop.create_datagram_endpoint
        loop.create_datagram_endpoint = self._create_datagram_endpoint
        loop.add_reader = self._add_reader
        loop.remove_reader = self._remove_reader
        # Stacks with threads of their own call this outside any context, in which a callback wouldn't find
        # the running loop.
        loop.call_soon_threadsafe = partial(loop.call_soon_threadsafe, context=self._context)
        loop.set_exception_handler(_log_loop_error)

    async def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Runs an asyncio coroutine function to its end.

        Cancelling this cancels the coroutine, and waits for it.

        Raises:
            SleapRTCError: As raised by the function.
            ConnectionFailedError: The function raised something else, or the loop has ended.
        """
        task = self._loop.create_task(function(*args), context=self._context.copy())
        try:
            result: T = await trio_asyncio.run_aio_future(task)
        except SleapRTCError:
            raise
        except asyncio.CancelledError:
            raise ConnectionFailedError("The WebRTC engine stopped.") from None
        except Exception as error:
            raise ConnectionFailedError(f"The WebRTC engine failed: {as_clause(error)}.") from error
        await trio.lowlevel.checkpoint_if_cancelled()  # a coroutine may have swallowed its cancellation
        return result

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        """Calls a function from within the loop. Calls keep their order."""
        self._loop.call_soon(callback, *args, context=self._context)

    async def close_sockets(self) -> None:
        """Closes the sockets that a stack left open."""
        for transport in self._transports:
            transport.close()
        for stream in self._streams:
            stream.abort()
        await self.run(asyncio.sleep, 0)  # lets the streams close their sockets

    async def _create_connection(self, *args: Any, **options: Any) -> tuple[asyncio.Transport, Any]:
        """Replaces the loop's public method of the same name, to keep track of streams to TURN servers."""
        stream, protocol = await self._create_stock_connection(*args, **options)
        self._streams.add(stream)
        return stream, protocol

    def _add_reader(self, file: Any, callback: Callable[..., object], *args: Any) -> None:
        """Replaces the loop's public method of the same name: calls back, then waits again at once.

        trio-asyncio's version queues a callback after each wake-up and waits for it, at twice the cost.
        """
        self._remove_reader(file)
        scope = self._readers[_number(file)] = trio.CancelScope()
        handle = asyncio.Handle(callback, args, self._loop, context=self._context.copy())
        self._nursery.start_soon(self._read_whenever, file, handle, scope)

    def _remove_reader(self, file: Any) -> bool:
        """Replaces the loop's public method of the same name."""
        scope = self._readers.pop(_number(file), None)
        if scope is not None:
            scope.cancel()
        return scope is not None

    async def _read_whenever(self, file: Any, handle: asyncio.Handle, scope: trio.CancelScope) -> None:
        # The loop's handler gets what the callback raises. Any other failure costs only this socket.
        with scope, contained("A socket can't be read."):
            while not scope.cancel_called:  # the callback may have closed the file
                await trio.lowlevel.wait_readable(file)
                handle._run()

    async def _create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], asyncio.DatagramProtocol],
        local_addr: tuple[str, int] | None = None,
        remote_addr: tuple[str, int] | None = None,
        **options: Any,
    ) -> tuple[asyncio.DatagramTransport, asyncio.DatagramProtocol]:
        """Replaces the loop's public method of the same name for the two kinds of call that ICE makes."""
        if options or (local_addr is None) == (remote_addr is None):
            stock: tuple[
                asyncio.DatagramTransport, asyncio.DatagramProtocol
            ] = await self._create_stock_endpoint(protocol_factory, local_addr, remote_addr, **options)
            return stock
        host, port = local_addr or remote_addr or ("", 0)
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, kind, number, _, address = found[0]
        sock = socket.socket(family, kind, number)
        try:
            sock.setblocking(False)
            if local_addr is not None:
                sock.bind(address)
            else:
                sock.connect(address)
            protocol = protocol_factory()
            transport = DatagramTransport(self._loop, sock, protocol)
        except BaseException:
            sock.close()
            raise
        self._transports.add(transport)
        return transport, protocol


def _log_loop_error(loop: Any, context: dict[str, Any]) -> None:
    """Logs an exception that a stack didn't catch. It ended one callback, not the connection.

    The level is debug, because stacks abandon their own work halfway when a connection ends.
    """
    _log.debug("In the WebRTC engine: %s", context.get("message"), exc_info=context.get("exception"))


async def _run_loop(
    done: trio.Event, *, task_status: trio.TaskStatus[Bridge] = trio.TASK_STATUS_IGNORED
) -> None:
    # Shielded: after a cancellation the body's cleanup still needs the loop, until it sets ``done``. A
    # failure of the loop itself costs only the connection that uses it.
    with trio.CancelScope(shield=True):
        async with trio_asyncio.open_loop() as loop, open_background_nursery() as nursery:
            bridge = Bridge(loop, nursery)
            task_status.started(bridge)
            await done.wait()
            await bridge.close_sockets()


@asynccontextmanager
async def open_bridge() -> AsyncIterator[Bridge]:
    """Runs an asyncio loop beside the body; leaving the block cancels whatever still runs on it.

    The loop lives in a task of its own: trio-asyncio would otherwise wrap the body's exceptions and
    leave its loop in the body's context. Each bridge has its own loop, so no loop outlives its owner.
    """
    done = trio.Event()
    async with open_background_nursery() as nursery:
        with trio.CancelScope(shield=True):  # ``start`` of a shielded task can't be cancelled halfway
            bridge = await nursery.start(_run_loop, done)
        try:
            yield bridge
        finally:
            done.set()
