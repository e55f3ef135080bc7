"""A peer under Trio, for tests that control time or many connections."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import attrs
import httpx
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

PATIENCE_SEC = 120
"""A time limit for every test; no result depends on it."""


@attrs.define
class TrioPeer:
    websocket: WebSocketConnection
    room: dict[str, Any] = attrs.field(factory=dict)
    id_token: str = ""

    async def send(self, message: dict[str, Any]) -> None:
        await self.websocket.send_message(json.dumps(message))

    async def receive(self) -> dict[str, Any]:
        message = json.loads(await self.websocket.get_message())
        assert isinstance(message, dict)
        return message

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        await self.send(message)
        return await self.receive()

    async def attempt(self, peer_id: str, **changes: Any) -> dict[str, Any]:
        """Tries to register and returns the answer."""
        return await self.ask(
            {
                "type": "register",
                "peer_id": peer_id,
                "room_id": self.room["room_id"],
                "token": self.room["token"],
                "id_token": self.id_token,
                **changes,
            }
        )

    async def register(self, peer_id: str, **changes: Any) -> dict[str, Any]:
        answer = await self.attempt(peer_id, **changes)
        assert answer["type"] == "registered_auth", answer
        return answer

    async def finds(self, own_id: str, other_id: str) -> bool:
        """Returns whether a peer is in the room, and ignores messages that come before the answer."""
        found = await self.ask({"type": "discover_peers", "from_peer_id": own_id, "filters": {}})
        while found["type"] != "peer_list":
            found = await self.receive()
        return any(peer["peer_id"] == other_id for peer in found["peers"])

    async def close_code(self) -> int:
        """Reads until the server closes, and returns its close code."""
        try:
            while True:
                await self.websocket.get_message()
        except ConnectionClosed as closed:
            return closed.reason.code if closed.reason is not None else 1006


@attrs.define
class Lab:
    """An account, a room of its own, and peers that can join it."""

    ws_url: str
    http: httpx.AsyncClient
    id_token: str
    room: dict[str, Any]

    @asynccontextmanager
    async def peer(self, peer_id: str | None = None, **registration: Any) -> AsyncIterator[TrioPeer]:
        async with await open_stream(self.ws_url) as stream, trio.open_nursery() as nursery:
            websocket = await wrap_client_stream(nursery, stream, "localhost", "/")
            peer = TrioPeer(websocket, self.room, self.id_token)
            if peer_id is not None:
                await peer.register(peer_id, **registration)
            yield peer
            nursery.cancel_scope.cancel()

    async def post(self, path: str, **body: Any) -> httpx.Response:
        return await self.http.post(path, headers={"Authorization": f"Bearer {self.id_token}"}, json=body)


async def open_stream(ws_url: str) -> trio.SocketStream:
    address = urlsplit(ws_url)
    assert address.hostname is not None
    assert address.port is not None
    return await trio.open_tcp_stream(address.hostname, address.port)


@asynccontextmanager
async def open_lab(ws_url: str, http_url: str) -> AsyncIterator[Lab]:
    """Signs in and creates a room; the whole block has a time limit."""
    with trio.fail_after(PATIENCE_SEC):
        async with httpx.AsyncClient(base_url=http_url) as http:
            id_token = (await http.post("/anonymous-signin", json={})).raise_for_status().json()["id_token"]
            lab = Lab(ws_url, http, id_token, {})
            lab.room = (await lab.post("/create-room")).raise_for_status().json()
            yield lab


def to(target: str, sender: str, **payload: Any) -> dict[str, Any]:
    return {"type": "peer_message", "from_peer_id": sender, "to_peer_id": target, "payload": payload}
