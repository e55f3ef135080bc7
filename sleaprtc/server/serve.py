"""Serves both ports over one hub, from binding to shutdown."""

from __future__ import annotations

import gc
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
import trio

from ..base.private_files import check_private, make_private_dirs
from ..base.sentences import as_clause
from ..errors import AddressInUseError, StorageError
from ..identity.issuer import TokenIssuer
from ..storage.sqlite import open_sqlite_storage
from .accepting import Acceptor
from .capacity import Capacity, Place
from .descriptors import descriptor_limit, share_out
from .http import create_app
from .http_port import HttpPort
from .hub import Hub, open_hub
from .settings import ServerSettings
from .sockets import PeerSocket
from .tls import TlsStream, server_context
from .websocket import serve_connection

BACKLOG: Final = 1024
"""Connections that may wait to be accepted: after a restart, all peers of a laboratory come back at once."""

GC_THRESHOLDS: Final = (10_000, 10, 10)
"""When to collect cyclic garbage, as in :func:`gc.set_threshold`. Python's own 700 is less than the objects
that one pass over a few hundred busy connections keeps alive. At 5,000 peers, half of the processor's time
went into scanning all of them again and again (docs/performance.md)."""

_KEEP_ALIVE: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""A peer whose machine or network path is gone is noticed after 90 seconds (tcp(7))."""

WS_UNACKNOWLEDGED_SEC: Final = 90
HTTP_UNACKNOWLEDGED_SEC: Final = 10
"""How long sent bytes may stay unacknowledged before the system drops the connection (tcp(7))."""


@attrs.frozen
class ServerAddresses:
    """The addresses on which a running server listens.

    Attributes:
        ws_url: Such as ``ws://127.0.0.1:8080/``, or with ``wss`` under TLS.
        http_url: Such as ``http://127.0.0.1:8001``, or with ``https``.
    """

    ws_url: str
    http_url: str


async def serve(
    settings: ServerSettings,
    *,
    stop: trio.Event,
    task_status: trio.TaskStatus[ServerAddresses] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves until ``stop`` is set, then tells every peer and returns within five seconds.

    Both listeners are essential: if one fails, the server ends. A connection that fails ends alone.

    Args:
        settings: The server's settings.
        stop: Set by the caller to shut the server down.
        task_status: Gets the actual addresses once both ports accept connections.

    Raises:
        AddressInUseError: The server can't listen on one of its ports.
        StorageError: The state folder can't be used.
        UsageError: The certificate or its key can't be used.
    """
    tls = server_context(settings.tls_cert, settings.tls_key)
    make_state_dir(settings.state_dir)
    issuer = await trio.to_thread.run_sync(TokenIssuer.from_state_dir, settings.state_dir)
    verifier = issuer.verifier()
    with (
        _rare_garbage_collection(),
        await _listen(settings.host, settings.ws_port, WS_UNACKNOWLEDGED_SEC) as ws_socket,
        await _listen(settings.host, settings.http_port, HTTP_UNACKNOWLEDGED_SEC) as http_socket,
    ):
        async with (
            open_sqlite_storage(settings.state_dir) as storage,
            open_hub(storage=storage, verifier=verifier, settings=settings) as hub,
            trio.open_nursery() as nursery,
        ):
            app = create_app(hub=hub, issuer=issuer, verifier=verifier, settings=settings)
            ws_acceptor, http_acceptor = _acceptors(settings)
            http_stop = trio.Event()
            await nursery.start(HttpPort(app, http_acceptor, tls).run, http_socket, http_stop)
            websockets = await nursery.start(_serve_websockets, ws_socket, ws_acceptor, tls, hub, settings)
            task_status.started(_addresses(ws_socket, http_socket, "" if tls is None else "s"))
            await stop.wait()
            await hub.drain()
            websockets.cancel()
            http_stop.set()


def _acceptors(settings: ServerSettings) -> tuple[Acceptor, Acceptor]:
    """Makes the acceptors of the WebSocket and the HTTP port, which share the process's descriptors."""
    limit = descriptor_limit() if settings.max_descriptors is None else settings.max_descriptors
    capacities = share_out(limit)

    def acceptor(port: str, connections: int) -> Acceptor:
        one_address = min(settings.max_connections_per_address, connections // 2)
        return Acceptor(
            port=port,
            capacity=Capacity(max_connections=connections, max_per_address=one_address),
            speaks_tls=settings.tls_cert is not None,
            trusted_proxies=settings.trusted_proxies,
        )

    return acceptor("ws", capacities.ws), acceptor("http", capacities.http)


@contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def make_state_dir(state_dir: Path) -> None:
    """Creates the state folder, accessible to its owner alone.

    Raises:
        StorageError: The folder can't be created.
        OpenFolderError: The folder exists, and other users have access to it.
    """
    try:
        make_private_dirs(state_dir)
        check_private(state_dir, "--state-dir")
    except OSError as error:
        raise StorageError(f"The state folder {state_dir} can't be made: {as_clause(error)}.") from error


async def _serve_websockets(
    listener: socket.socket,
    acceptor: Acceptor,
    tls: ssl.SSLContext | None,
    hub: Hub,
    settings: ServerSettings,
    *,
    task_status: trio.TaskStatus[trio.CancelScope],
) -> None:
    async def serve_accepted(accepted: PeerSocket, place: Place) -> None:
        secured = accepted if tls is None else TlsStream(accepted, tls)
        await serve_connection(secured, place, hub=hub, settings=settings)

    with trio.CancelScope() as scope:
        # A task that serves one connection fails alone, see serve_connection(); the acceptor's failure ends
        # the server.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(acceptor.run, listener, serve_accepted, nursery)
            task_status.started(scope)


async def _listen(host: str, port: int, unacknowledged_sec: int) -> socket.socket:
    """Listens on the host's first address. Accepted connections inherit the listener's options."""
    listener: socket.socket | None = None
    try:
        (family, kind, protocol, _, address), *_ = await trio.socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.socket(family, kind, protocol)
        _set_options(listener, unacknowledged_sec)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise AddressInUseError(f"Can't listen on {host}, port {port}: {as_clause(error)}.") from error
    return listener


def _set_options(listener: socket.socket, unacknowledged_sec: int) -> None:
    listener.setblocking(False)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    timeouts = {**_KEEP_ALIVE, "TCP_USER_TIMEOUT": unacknowledged_sec * 1000}
    for name, value in timeouts.items():
        option = getattr(socket, name, None)  # not every system has them all
        if option is not None:
            listener.setsockopt(socket.IPPROTO_TCP, option, value)


def _addresses(ws_socket: socket.socket, http_socket: socket.socket, tls: str) -> ServerAddresses:
    return ServerAddresses(f"ws{tls}://{_authority(ws_socket)}/", f"http{tls}://{_authority(http_socket)}")


def _authority(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if listener.family == socket.AF_INET6 else f"{host}:{port}"
