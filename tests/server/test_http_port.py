"""HTTP connections end in time, whatever the other side does or doesn't."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import trio

from sleaprtc.protocol.limits import MAX_HTTP_BODY_BYTES

from .trio_peer import PATIENCE_SEC, open_stream

StartServer = Callable[..., Any]
ASK = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /anonymous-signin HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_KEEP_ALIVE_SEC", "HTTP_REQUEST_SEC", "HTTP_ANSWER_SEC"):
        monkeypatch.setattr(f"sleaprtc.server.http_port.{name}", 0.3)


async def read_all(stream: trio.SocketStream) -> bytes:
    received = b""
    try:
        with trio.fail_after(PATIENCE_SEC):
            while part := await stream.receive_some():
                received += part
    except trio.BrokenResourceError:
        pass
    return received


@pytest.mark.parametrize("said", [b"", b"\r", b"GET /hea", POST % 5 + b"{", b"\x16\x03\x01"])
@pytest.mark.parametrize("answered", [0, 2])
async def test_silence_ends(start_server: StartServer, quick: None, answered: int, said: bytes) -> None:
    server = await start_server()
    async with await open_stream(server.http_url) as stream:
        for _ in range(answered):
            await stream.send_all(ASK)
            received = b""
            while not received.endswith(b"}\n"):
                received += await stream.receive_some()
        if said:
            await stream.send_all(said)
        await read_all(stream)


@pytest.mark.parametrize("said", [b"GET /" + b"x" * 10_000, POST % 10_000 + b"x" * 10_000])
async def test_a_trickle_ends(start_server: StartServer, quick: None, said: bytes) -> None:
    server = await start_server()

    async def trickle(stream: trio.SocketStream) -> None:
        try:
            for start in range(len(said)):
                await stream.send_all(said[start : start + 1])
                await trio.sleep(0.02)
        except trio.BrokenResourceError:
            pass

    async with await open_stream(server.http_url) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(trickle, stream)
        await read_all(stream)
        nursery.cancel_scope.cancel()


async def test_whoever_reads_nothing_is_ended(start_server: StartServer, quick: None) -> None:
    server = await start_server()
    async with await open_stream(server.http_url) as stream:
        with suppress(trio.BrokenResourceError), trio.fail_after(PATIENCE_SEC):
            while True:  # until the server has closed, and the system says so
                await stream.send_all(ASK * 100)


async def test_a_client_that_closes_is_answered_and_gone(start_server: StartServer) -> None:
    server = await start_server()
    async with await open_stream(server.http_url) as stream:
        await stream.send_all(ASK.replace(b"Host: x", b"Host: x\r\nConnection: close"))
        assert (await read_all(stream)).endswith(b"}\n")


async def test_a_body_that_is_too_large_gets_its_answer_first(start_server: StartServer) -> None:
    server = await start_server()
    size_bytes = 100 * MAX_HTTP_BODY_BYTES
    async with await open_stream(server.http_url) as stream, trio.open_nursery() as nursery:

        async def send() -> None:
            with suppress(trio.BrokenResourceError):
                await stream.send_all(POST % size_bytes + bytes(size_bytes))

        nursery.start_soon(send)
        received = await read_all(stream)
        assert received.startswith(b"HTTP/1.1 413 ")
        assert b"TOO_LARGE" in received


async def test_a_pause_between_requests_is_allowed(start_server: StartServer) -> None:
    server = await start_server()
    async with await open_stream(server.http_url) as stream:
        for _ in range(3):
            await stream.send_all(ASK)
            received = b""
            while not received.endswith(b"}\n"):
                part = await stream.receive_some()
                assert part
                received += part
            await trio.sleep(0.05)


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5)
PING = b"\0\0\x08\6" + bytes(5) + b"12345678"


async def test_http2_is_not_spoken(start_server: StartServer) -> None:
    server = await start_server()
    async with await open_stream(server.http_url) as stream:
        await stream.send_all(PREFACE + PING)
        received = await read_all(stream)
    assert received.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))


async def test_an_upgrade_to_http2_is_ignored(start_server: StartServer) -> None:
    upgrade = (
        b"Host: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk"
    )
    server = await start_server()
    async with await open_stream(server.http_url) as stream:
        await stream.send_all(ASK.replace(b"Host: x", upgrade))
        received = await read_all(stream)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.endswith(b"}\n")
