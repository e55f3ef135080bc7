"""Numbers that JSON hasn't, in messages that would be routed unread."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ..server.conftest import Api, RawPeer, connect_peer  # noqa: F401  # a fixture


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" * 5000, "{" * 40 + "}" * 40])
def test_a_payload_that_is_no_json_reaches_nobody(
    server_process: Any,
    connect_peer: Callable[..., RawPeer],  # noqa: F811
    number: str,
) -> None:
    with httpx.Client(base_url=server_process.http_url, timeout=120) as http:
        id_token = Api(http).sign_in()["id_token"]
        room = Api(http).create_room(id_token)
    worker, client = (connect_peer(server_process.ws_url, room, id_token) for _ in range(2))
    worker.register("worker")
    client.register("client")
    message = json.dumps(
        {"type": "peer_message", "from_peer_id": "worker", "to_peer_id": "client", "payload": {"loss": "?"}}
    )
    assert worker.ask(message.replace('"?"', number))["code"] == "INVALID_JSON"
    worker.send(message)
    assert client.receive()["payload"] == {"loss": "?"}
