"""WebSocket frames written by hand, on a connection whose handshake is done."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import trio

from ..server.trio_peer import open_stream

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def upgraded(server_process: Any, path: str = "/") -> socket.socket:
    """A connection after its WebSocket handshake, to write frames by hand."""
    address = urlsplit(server_process.ws_url)
    raw = socket.create_connection((address.hostname, address.port), timeout=120)
    raw.sendall(
        f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    response = raw.recv(4096)
    assert response.startswith(b"HTTP/1.1 101" if path == "/" else b"HTTP/1.1 404"), response
    return raw


MASK = b"\0\0\0\0"


def frame(opcode: int, payload: bytes = b"", *, fin: bool) -> bytes:
    assert len(payload) < 126
    return bytes(((0x80 if fin else 0) | opcode, 0x80 | len(payload))) + MASK + payload


def fragments(message: dict[str, Any], size: int) -> bytes:
    data = json.dumps(message).encode()
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(
        frame(0 if number else 1, part, fin=number == len(parts) - 1) for number, part in enumerate(parts)
    )


async def upgraded_stream(ws_url: str) -> trio.SocketStream:
    """A connection after its handshake: nothing may be sent before that is answered (RFC 6455, 4.1)."""
    stream = await open_stream(ws_url)
    await stream.send_all(UPGRADE)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += await stream.receive_some()
    return stream
