"""Clients that share no code with the package: httpx, and the library `websockets` in threads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import attrs
import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

RECEIVE_TIMEOUT_SEC = 60


@attrs.define
class RawPeer:
    """A peer that sends and receives JSON objects."""

    connection: ClientConnection
    room: dict[str, Any]
    id_token: str

    def send(self, message: dict[str, Any] | str | bytes) -> None:
        self.connection.send(json.dumps(message) if isinstance(message, dict) else message)

    def receive(self) -> dict[str, Any]:
        message = json.loads(self.connection.recv(timeout=RECEIVE_TIMEOUT_SEC))
        assert isinstance(message, dict)
        return message

    def ask(self, message: dict[str, Any] | str | bytes) -> dict[str, Any]:
        self.send(message)
        return self.receive()

    def registration(self, peer_id: str, **changes: Any) -> dict[str, Any]:
        return {
            "type": "register",
            "peer_id": peer_id,
            "room_id": self.room["room_id"],
            "token": self.room["token"],
            "id_token": self.id_token,
            **changes,
        }

    def register(self, peer_id: str, **changes: Any) -> dict[str, Any]:
        answer = self.ask(self.registration(peer_id, **changes))
        assert answer["type"] == "registered_auth", answer
        return answer

    def close_code(self) -> int:
        """Reads until the server closes, and returns its close code."""
        with suppress(ConnectionClosed):
            while True:
                self.connection.recv(timeout=RECEIVE_TIMEOUT_SEC)
        code = self.connection.close_code
        assert code is not None
        return code


@attrs.define
class Api:
    """The HTTP side of one server."""

    http: httpx.Client

    def sign_in(self) -> dict[str, str]:
        return self.http.post("/anonymous-signin", json={}).raise_for_status().json()

    def create_room(self, id_token: str) -> dict[str, Any]:
        return self.post("/create-room", id_token).raise_for_status().json()

    def post(self, path: str, id_token: str | None = None, **options: Any) -> httpx.Response:
        headers = {} if id_token is None else {"Authorization": f"Bearer {id_token}"}
        return self.http.post(path, headers=headers, **options)


@pytest.fixture
def connect_peer() -> Iterator[Callable[..., RawPeer]]:
    """Opens WebSocket connections that end with the test: `connect_peer(ws_url, room, id_token)`."""
    with ExitStack() as stack:

        def open_peer(ws_url: str, room: dict[str, Any], id_token: str) -> RawPeer:
            # max_size is what a peer may receive; large answers are the business of some tests.
            connection = stack.enter_context(connect(ws_url, max_size=2**25, close_timeout=1))
            return RawPeer(connection, room, id_token)

        yield open_peer


@pytest.fixture
def api(server_process: Any) -> Iterator[Api]:
    with httpx.Client(base_url=server_process.http_url, timeout=120) as http:
        yield Api(http)


@pytest.fixture
def account(api: Api) -> dict[str, str]:
    return api.sign_in()


@pytest.fixture
def room(api: Api, account: dict[str, str]) -> dict[str, Any]:
    return api.create_room(account["id_token"])


@pytest.fixture
def new_peer(
    server_process: Any, connect_peer: Callable[..., RawPeer], room: dict[str, Any], account: dict[str, str]
) -> Callable[..., RawPeer]:
    """Connects a peer, and registers it in the test's room if it's given a name."""

    def connect_to_room(peer_id: str | None = None, **registration: Any) -> RawPeer:
        peer = connect_peer(server_process.ws_url, room, account["id_token"])
        if peer_id is not None:
            peer.register(peer_id, **registration)
        return peer

    return connect_to_room
