"""Crowds of idle connections: with 256 descriptors, the server still serves new clients."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
import trustme
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from sleaprtc.server.descriptors import share_out
from sleaprtc.signaling.http import Endpoints, open_http
from sleaprtc.signaling.websocket import open_websocket

from ..conftest import RunningServer, running_server
from ..support.raw_websocket import UPGRADE
from ..support.waiting import block_until
from .conftest import Api, RawPeer

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits a process as Linux does")

DESCRIPTORS = 256
CROWD = 300
PATIENCE_SEC = 60
ASK = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
HALF = b"POST /create-room HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
ConnectPeer = Callable[..., RawPeer]


@contextmanager
def crowd(
    url: str, said: bytes = b"", *, is_answered: bool = False, source: str | None = None
) -> Iterator[list[socket.socket]]:
    """Opens connections that send some bytes and then nothing more."""
    address = urlsplit(url)
    with ExitStack() as stack:
        connections = []
        for _ in range(CROWD):
            connection = stack.enter_context(
                socket.create_connection(
                    (address.hostname, address.port), 10, (source, 0) if source else None
                )
            )
            connections.append(connection)
            with suppress(ConnectionError):  # ended already, to make room
                connection.sendall(said)
                if is_answered:
                    connection.recv(4096)
        yield connections


def is_served(server: RunningServer, connect_peer: ConnectPeer) -> None:
    """Checks that a new client can get all the way into a room of its own."""
    with httpx.Client(base_url=server.http_url, timeout=10) as http:
        api = Api(http)
        id_token = api.sign_in()["id_token"]
        room = api.create_room(id_token)
    peer = connect_peer(server.ws_url, room, id_token)
    peer.register("me")
    peer.connection.close()


def cpu_share(process: psutil.Process) -> float:
    """Returns how much of one core a process uses, over a short time."""
    return process.cpu_percent(interval=0.3) / 100


def is_calm(server: RunningServer) -> None:
    """Checks that the server doesn't busy-loop, and logs no problem but that it's full."""
    assert server.process is not None
    assert server.log is not None
    process = psutil.Process(server.process.pid)
    # a busy loop never ends; the work with the crowd does
    block_until(lambda: cpu_share(process) <= 0.5, patience_sec=PATIENCE_SEC)
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "exception" not in log
    assert log.count("warning") < 5


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_idle_connections_to_either_port_shut_nobody_out(
    tmp_path: Path, connect_peer: ConnectPeer, host: str
) -> None:
    with running_server(tmp_path / "state", "--host", host, descriptors=DESCRIPTORS) as server:
        with crowd(server.http_url, ASK, is_answered=True), crowd(server.ws_url):
            is_served(server, connect_peer)
            is_calm(server)
        is_served(server, connect_peer)


@pytest.mark.parametrize("said", [b"", HALF])
def test_half_requests_shut_nobody_out(tmp_path: Path, connect_peer: ConnectPeer, said: bytes) -> None:
    with (
        running_server(tmp_path / "state", descriptors=DESCRIPTORS) as server,
        crowd(server.http_url, said),
        crowd(server.ws_url, UPGRADE, is_answered=True),
    ):
        is_served(server, connect_peer)
        is_calm(server)


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01"])
async def test_unfinished_tls_handshakes_shut_nobody_out(tmp_path: Path, said: bytes) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    pem = str(tmp_path / "server.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    with (
        running_server(
            tmp_path / "state", "--tls-cert", pem, "--tls-key", pem, descriptors=DESCRIPTORS
        ) as server,
        crowd(server.http_url, said),
        crowd(server.ws_url, said),
    ):
        endpoints = Endpoints(server.ws_url, server.http_url, str(tmp_path / "ca.pem"))
        async with open_http(endpoints.http_url, endpoints.ca_file) as http:
            await http.create_room(await http.sign_in())
        async with open_websocket(endpoints.ws_url, connect_timeout_sec=10, ca_file=endpoints.ca_file):
            pass
        is_calm(server)


def test_a_crowd_ends_its_own_connections_and_nobody_else_s(tmp_path: Path) -> None:
    with running_server(tmp_path / "state", descriptors=DESCRIPTORS) as server:
        for url, said in ((server.ws_url, UPGRADE), (server.http_url, ASK)):
            address = urlsplit(url)
            with (
                socket.create_connection((address.hostname, address.port), 10) as calm,
                crowd(url, source="127.0.0.2") as connections,
            ):
                calm.sendall(said)
                assert calm.recv(4096).startswith(b"HTTP/1.1 ")
                assert connections[0].recv(1) == b""  # the oldest of the crowd


def test_registered_peers_stay_and_one_address_has_half_of_the_places(
    tmp_path: Path, connect_peer: ConnectPeer
) -> None:
    places = share_out(DESCRIPTORS).ws
    with running_server(tmp_path / "state", descriptors=DESCRIPTORS) as server:
        with httpx.Client(base_url=server.http_url, timeout=10) as http:
            api = Api(http)
            id_token = api.sign_in()["id_token"]
            room = api.create_room(id_token)
        peers = [connect_peer(server.ws_url, room, id_token) for _ in range(places // 2)]
        for number, peer in enumerate(peers):
            peer.register(f"p{number}")
        with pytest.raises(InvalidStatus) as refused, connect(server.ws_url):
            pass
        assert refused.value.response.status_code == 429
        with crowd(server.ws_url, source="127.0.0.2"):
            for number in range(len(peers)):
                peers[number].send(
                    {
                        "type": "peer_message",
                        "from_peer_id": f"p{number}",
                        "to_peer_id": f"p{number}",
                        "payload": {"number": number},
                    }
                )
                assert peers[number].receive()["payload"] == {"number": number}
            is_calm(server)


def test_without_descriptors_the_server_waits_and_comes_back(
    tmp_path: Path, connect_peer: ConnectPeer
) -> None:
    with running_server(tmp_path / "state", descriptors=DESCRIPTORS) as server:
        assert server.process is not None
        assert server.log is not None
        pid = server.process.pid
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (5, DESCRIPTORS))
        waiting = [
            socket.create_connection((address.hostname, address.port), 10)
            for address in map(urlsplit, (server.http_url, server.ws_url))
        ]
        for connection, said in zip(waiting, (ASK, UPGRADE), strict=True):
            connection.sendall(said)
        block_until(lambda: server.log.read_text().count("Connections can't be accepted.") >= 2)
        is_calm(server)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        for connection in waiting:
            assert connection.recv(12).startswith(b"HTTP/1.1 ")
            connection.close()
        is_served(server, connect_peer)
        assert server.log.read_text().count("Connections can't be accepted.") == 2


def test_the_server_raises_its_own_limit(tmp_path: Path) -> None:
    with running_server(tmp_path / "state") as server:
        assert server.process is not None
        soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        assert soft == min(hard, 65_536) or soft >= 65_536 or hard == resource.RLIM_INFINITY
