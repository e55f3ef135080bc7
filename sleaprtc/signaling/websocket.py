"""Opens a WebSocket to the signaling server, and turns every failure into one of this package's errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, cast
from urllib.parse import SplitResult, urlsplit

import h11
import trio
import wsproto.utilities
from trio_websocket import HandshakeError, WebSocketConnection, wrap_client_stream

from ..base.exception_groups import leaves, single_error
from ..base.nurseries import open_outliving_nursery
from ..errors import InvalidAnswerError, SignalingUnreachableError, UsageError
from ..protocol.limits import MAX_SERVER_FRAME_BYTES
from .tls import client_context, connection_error, reset_error

DISCONNECT_TIMEOUT_SEC: Final = 2.0

MAX_HANDSHAKE_BYTES: Final = 64 * 1024
"""The largest answer to the opening handshake, including the body of a refusal."""

_NO_WEBSOCKET: Final = (HandshakeError, h11.ProtocolError, wsproto.utilities.ProtocolError)
DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}


def _parse(ws_url: str) -> SplitResult:
    try:
        address = urlsplit(ws_url)
        valid = address.scheme in DEFAULT_PORTS and address.hostname and address.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"{ws_url!r} is not an address of the form ws://HOST:PORT/.")
    return address


async def _open_stream(
    address: SplitResult, ws_url: str, ca_file: str | None
) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    host = address.hostname or ""
    port = address.port or DEFAULT_PORTS[address.scheme]
    try:
        if address.scheme == "wss":
            stream = await trio.open_ssl_over_tcp_stream(
                host, port, https_compatible=True, ssl_context=client_context(ca_file)
            )
            try:
                await stream.do_handshake()
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
            return stream
        return await trio.open_tcp_stream(host, port)
    except (OSError, trio.BrokenResourceError) as error:
        raise connection_error(ws_url, error) from error


class _HandshakeStream(trio.abc.Stream):
    """A stream that raises this package's errors until the opening handshake is over.

    Without it, the WebSocket library would wait for ever if a server disconnected during the handshake, and
    would read an answer of any size.

    Attributes:
        is_open: Set once the handshake is over; from then on, messages have limits of their own.
    """

    def __init__(self, stream: trio.abc.Stream, url: str) -> None:
        self._stream = stream
        self._url = url
        self._received_bytes = 0
        self.is_open = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError as error:
            self._cut_off(error)
            raise

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError as error:
            self._cut_off(error)
            raise
        if not data:
            self._cut_off(None)
        self._received_bytes += len(data)
        if not self.is_open and self._received_bytes > MAX_HANDSHAKE_BYTES:
            raise InvalidAnswerError(
                f"The signaling server at {self._url} sent more than {MAX_HANDSHAKE_BYTES // 1024} KiB in "
                "answer to a WebSocket handshake."
            )
        return data

    def _cut_off(self, cause: BaseException | None) -> None:
        if not self.is_open:
            raise _no_server(self._url) if self._received_bytes else reset_error(self._url) from cause

    async def aclose(self) -> None:
        await self._stream.aclose()


def _host_header(address: SplitResult) -> str:
    return address.netloc.rpartition("@")[2]


@asynccontextmanager
async def open_websocket(
    ws_url: str, *, connect_timeout_sec: float, ca_file: str | None = None
) -> AsyncIterator[WebSocketConnection]:
    """Opens a WebSocket, and closes it with a closing handshake, within two seconds, after the block.

    A failure of trio-websocket's tasks is raised, and ends the connection.

    Args:
        ws_url: A ``ws://`` or ``wss://`` URL.
        connect_timeout_sec: The limit for TCP, TLS and the opening handshake together.
        ca_file: A file of certificates to trust instead of the system's.

    Raises:
        UsageError: ``ws_url`` isn't a WebSocket URL, or ``ca_file`` isn't a file of certificates.
        UntrustedServerError: The server's certificate isn't valid or isn't trusted.
        SignalingUnreachableError: Nothing answers in time, or something that isn't a WebSocket server.
        InvalidAnswerError: The answer to the opening handshake is too large.
    """
    address = _parse(ws_url)
    try:
        with single_error():
            async with (
                open_outliving_nursery() as nursery,
                _connect(nursery, address, ws_url, connect_timeout_sec, ca_file) as websocket,
            ):
                yield websocket
    except BaseExceptionGroup as group:
        errors = [leaf for leaf in leaves(group) if not isinstance(leaf, trio.Cancelled)]
        if not errors or not all(isinstance(error, _NO_WEBSOCKET) for error in errors):
            raise
        raise _no_server(ws_url) from group


def _no_server(ws_url: str) -> SignalingUnreachableError:
    return SignalingUnreachableError(f"What answers at {ws_url} is not a signaling server.")


@asynccontextmanager
async def _connect(
    nursery: trio.Nursery, address: SplitResult, ws_url: str, timeout_sec: float, ca_file: str | None
) -> AsyncIterator[WebSocketConnection]:
    with trio.move_on_after(timeout_sec) as connecting:
        stream = _HandshakeStream(await _open_stream(address, ws_url, ca_file), ws_url)
        try:
            websocket = await wrap_client_stream(
                nursery,
                cast("trio.SocketStream", stream),  # its documentation allows any stream
                _host_header(address),
                address.path or "/",
                max_message_size=MAX_SERVER_FRAME_BYTES,
            )
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
    if connecting.cancelled_caught:
        raise SignalingUnreachableError(f"The signaling server at {ws_url} doesn't answer.")
    try:
        if websocket.closed:
            raise _no_server(ws_url)
        stream.is_open = True
        yield websocket
    finally:
        with trio.move_on_after(DISCONNECT_TIMEOUT_SEC, shield=True):
            await websocket.aclose()
        # trio-websocket leaves the stream of a connection that the server closed to the garbage collector.
        await trio.aclose_forcefully(stream)
