"""The server as its operator sees it: `python -m sleaprtc.server`."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from ..support import prepared
from .conftest import Api, RawPeer

COMMAND = (sys.executable, "-m", "sleaprtc.server")
EXIT_SEC = 60
ConnectPeer = Callable[..., RawPeer]
RunServer = Callable[..., AbstractContextManager[Any]]


@pytest.fixture
def run_server(pytestconfig: pytest.Config) -> RunServer:
    conftest = pytestconfig.pluginmanager.get_plugin(str(Path(__file__).parents[1] / "conftest.py"))
    assert conftest is not None
    return conftest.running_server


@contextmanager
def api_of(server: Any) -> Iterator[Api]:
    with httpx.Client(base_url=server.http_url, timeout=120) as http:
        yield Api(http)


def mute_connection(url: str) -> socket.socket:
    """Connects with a small buffer, to send and never read."""
    address = urlsplit(url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.connect((address.hostname, address.port))
    return connection


def fails(*options: str, environment: dict[str, str] | None = None) -> str:
    """Runs a server that can't start and returns its error message."""
    env = {**os.environ, **(environment or {})}
    ended = prepared.run("sleaprtc.server", "--ws-port", "0", "--http-port", "0", *options, env=env)
    assert ended.returncode in (1, 2), ended
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    return ended.stderr


def is_told_and_over(server: Any, api: Api, connect_peer: ConnectPeer, number: signal.Signals) -> None:
    id_token = api.sign_in()["id_token"]
    room = api.create_room(id_token)
    registered = connect_peer(server.ws_url, room, id_token)
    registered.register("me")
    unregistered = connect_peer(server.ws_url, room, id_token)
    server.process.send_signal(number)
    assert registered.close_code() == 1001
    assert unregistered.close_code() == 1001
    assert server.process.wait(EXIT_SEC) == 0
    assert server.process.stdout.read() == ""  # the ready line was all
    assert "Traceback" not in server.log.read_text()
    assert room["token"] not in server.log.read_text()


def test_sigint_tells_every_peer_and_ends_it(
    run_server: RunServer, tmp_path: Path, connect_peer: ConnectPeer
) -> None:
    with run_server(tmp_path / "state") as server, api_of(server) as api:
        is_told_and_over(server, api, connect_peer, signal.SIGINT)


def test_sigterm_does_so_in_time_whoever_does_not_read(
    run_server: RunServer, tmp_path: Path, connect_peer: ConnectPeer
) -> None:
    with (
        run_server(tmp_path / "state") as server,
        api_of(server) as api,
        mute_connection(server.ws_url) as mute,
        mute_connection(server.http_url) as mute_http,
    ):
        mute.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        mute_http.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 10_000)
        mute.recv(12)
        is_told_and_over(server, api, connect_peer, signal.SIGTERM)


def test_rooms_and_accounts_outlive_a_killed_server(
    run_server: RunServer, tmp_path: Path, connect_peer: ConnectPeer
) -> None:
    state_dir = tmp_path / "state"
    with run_server(state_dir) as server, api_of(server) as api:
        account = api.sign_in()["id_token"]
        room, deleted, renewed = (api.create_room(account) for _ in range(3))
        api.post("/delete-peers-and-room", account, json={"room_id": deleted["room_id"]}).raise_for_status()
        new_end = api.post("/renew-room", account, json={"room_id": renewed["room_id"]}).json()["expires_at"]
        server.process.kill()
        server.process.wait()
    with run_server(state_dir) as server, api_of(server) as api:
        answer = connect_peer(server.ws_url, room, account).register("me")
        assert answer["expires_at"] == room["expires_at"]
        assert connect_peer(server.ws_url, renewed, account).register("me")["expires_at"] == new_end
        late = connect_peer(server.ws_url, deleted, account)
        assert late.ask(late.registration("me"))["code"] == "ROOM_EXPIRED"
        guesser = connect_peer(server.ws_url, room | {"token": "guess"}, account)
        assert guesser.ask(guesser.registration("x"))["code"] == "ROOM_NOT_FOUND"
        api.post("/renew-room", account, json={"room_id": room["room_id"]}).raise_for_status()
        assert api.http.get("/metrics").json()["active_rooms"] == 2


def test_the_state_is_its_owner_s_alone(run_server: RunServer, tmp_path: Path) -> None:
    state_dir = tmp_path / "deep" / "state"
    (tmp_path / "deep").mkdir()
    with run_server(state_dir) as server, api_of(server) as api:
        api.create_room(api.sign_in()["id_token"])
        assert stat.S_IMODE(state_dir.stat().st_mode) == 0o700
        files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in state_dir.iterdir()}
        assert {"id-token-key.json", "rooms.sqlite3"} <= files.keys()
        assert set(files.values()) == {0o600}


def test_options_come_from_the_environment_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {
        "SLEAP_RTC_HOST": "::1",
        "SLEAP_RTC_WS_PORT": "0",
        "SLEAP_RTC_HTTP_PORT": "0",
        "SLEAP_RTC_STATE_DIR": str(tmp_path / "state"),
        "SLEAP_RTC_ROOM_TTL": "90.5",
        "SLEAP_RTC_ICE_SERVER": "stun:s.example.org:3478 turn:ann:word@t.example.org?transport=udp",
    }
    with subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ) as process:
        try:
            assert process.stdout is not None
            ready = re.fullmatch(
                r"ready ws=(ws://\[::1\]:\d+/) http=(http://\[::1\]:\d+)\n", process.stdout.readline()
            )
            assert ready is not None
            with httpx.Client(base_url=ready[2]) as http:
                api = Api(http)
                id_token = api.sign_in()["id_token"]
                room = api.create_room(id_token)
            assert 0 < room["expires_at"] - time.time() <= 90.5
        finally:
            process.terminate()


def test_ice_servers_are_handed_out(run_server: RunServer, tmp_path: Path, connect_peer: ConnectPeer) -> None:
    options = [
        "--ice-server",
        "stun:stun.example.org",
        "--ice-server",
        "turn:ann:p%40ss:word@t.example.org:3478",
    ]
    with run_server(tmp_path / "state", *options) as server, api_of(server) as api:
        id_token = api.sign_in()["id_token"]
        answer = connect_peer(server.ws_url, api.create_room(id_token), id_token).register("me")
    assert answer["ice_servers"] == [
        {"urls": ["stun:stun.example.org"]},
        {"urls": ["turn:t.example.org:3478"], "username": "ann", "credential": "p@ss:word"},
    ]


@pytest.mark.parametrize("option", ["--ws-port", "--http-port"])
def test_a_busy_port(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        said = fails("--state-dir", str(tmp_path), option, port)
    assert said.splitlines() == [f"Error: Can't listen on 127.0.0.1, port {port}: Address already in use."]


def test_a_host_that_does_not_exist(tmp_path: Path) -> None:
    said = fails("--state-dir", str(tmp_path), "--host", "no-such-host.invalid")
    assert said.startswith("Error: Can't listen on no-such-host.invalid, port 0: ")
    assert len(said.splitlines()) == 1


def test_a_state_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = fails("--state-dir", str(tmp_path / "file" / "state"))
    assert said.splitlines() == [
        f"Error: The folder {tmp_path}/file/state can't be written: Not a directory."
    ]


@pytest.mark.parametrize("name", ["id-token-key.json", "rooms.sqlite3"])
def test_a_state_file_that_is_something_else(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"kty": "oct"}' * 100)
    said = fails("--state-dir", str(tmp_path))
    assert len(said.splitlines()) == 1
    assert name in said


@pytest.mark.parametrize("url", ["example.org", "http://example.org", "turn:", "stun:a b", "turn:user@host"])
def test_an_ice_server_that_cannot_be_read(tmp_path: Path, url: str) -> None:
    said = fails("--state-dir", str(tmp_path), "--ice-server", url)
    assert said.startswith("Error: An ICE server must be stun:HOST:PORT")


@pytest.mark.parametrize(
    "options", [["--room-ttl", "0"], ["--ws-port", "70000"], ["--room-ttl", "nan"], ["--room-ttl", "inf"]]
)
def test_options_out_of_range(tmp_path: Path, options: list[str]) -> None:
    assert "Error: Invalid value" in fails("--state-dir", str(tmp_path), *options)


def test_help_is_quick_and_names_every_option() -> None:
    shown = subprocess.run(
        [*COMMAND, "--help"], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    for option in ("--host", "--ws-port", "--http-port", "--state-dir", "--room-ttl", "--ice-server"):
        assert option in shown
