"""Requests that make libraries fail: they cost only their own connection, and nothing is logged."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import trio

from ..support.raw_websocket import UPGRADE
from .trio_peer import PATIENCE_SEC, open_lab, open_stream

H2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
STRANGE = [
    UPGRADE[:-2] + b"Sec-WebSocket-Extensions: \xff\r\n\r\n",
    UPGRADE[:-2] + b"Sec-WebSocket-Protocol: \xff\r\n\r\n",
    UPGRADE.replace(b"Host: x", b"Host: \xff"),
    UPGRADE.replace(b"Host: x", b"Host: xn--\x80.a..b"),
    UPGRADE.replace(b"Connection: Upgrade", b"Connection: Upgrade, \xff"),
    UPGRADE.replace(b"websocket", b"\xff, websocket"),
    UPGRADE.replace(b"Upgrade: websocket", b"Upgrade: h2c\r\nHTTP2-Settings: \xff!"),
    H2 + bytes([0, 0, 5, 1, 5, 0, 0, 0, 1]) + b"\x82\x86\x44\x01\xff",
    H2 + bytes([0, 0, 3, 1, 5, 0, 0, 0, 1]) + b"\x86\x44\x00",
    b"CONNECT \x7e:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://[::1/health HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET //[ HTTP/1.1\r\nHost: a b[\r\nAccept: \xff;q=x,,;\r\nCookie: \xff=;\r\nRange: \xff\r\n\r\n",
    b"POST /create-room HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff.\xff.\xff\r\n\r\n",
    b"POST /create-room HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: \xb2\r\n\r\n",
]
MUTATIONS = 60


def mutations() -> list[bytes]:
    """Requests with some bytes changed; the same each time."""
    chance = random.Random(1)
    found = []
    for number in range(MUTATIONS):
        data = bytearray(STRANGE[number % len(STRANGE)])
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        found.append(bytes(data))
    return found


@pytest.mark.parametrize("port", ["http_url", "ws_url"])
async def test_a_strange_request_costs_its_connection_alone(
    start_server: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    port: str,
) -> None:
    monkeypatch.setattr("sleaprtc.server.websocket.HANDSHAKE_TIMEOUT_SEC", 0.5)
    server = await start_server()

    async def ask(said: bytes) -> None:
        async with await open_stream(getattr(server, port)) as stream:
            with suppress(trio.BrokenResourceError):
                await stream.send_all(said)
                await stream.send_eof()
                while await stream.receive_some():
                    pass

    with trio.fail_after(PATIENCE_SEC):
        async with trio.open_nursery() as nursery:
            for said in [*STRANGE, *mutations()]:
                nursery.start_soon(ask, said)
    async with open_lab(server.ws_url, server.http_url) as lab, lab.peer("member"):
        pass
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not any(record.exc_info for record in records)
    assert len(records) <= 1
