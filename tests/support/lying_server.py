"""A signaling server that answers whatever the test says: a real one, on two ports of 127.0.0.1.

What isn't said otherwise is answered as a good server would.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import attrs

ROOM_ID: Final = "a7f3d2e1"
TOKEN: Final = "f9g2h5f9g2h5"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
PATIENCE_SEC: Final = 30


@attrs.frozen
class Raw:
    """An answer as bytes: of HTTP the head too, of a WebSocket the frame's head too."""

    data: bytes


@attrs.frozen
class Flood:
    """An answer of very many bytes, which the server tries to send."""

    head: bytes
    size_bytes: int = 300 * 2**20


@attrs.frozen
class Cut:
    """No answer: the connection is reset (``linger``) or closed."""

    is_reset: bool = True


@attrs.frozen
class Status:
    """A JSON answer with another status than 200."""

    status: int
    body: Any


Lie = Any
"""JSON to answer with, one of the kinds above, or a function of the request that returns either."""


def honest_http() -> dict[str, Lie]:
    """What a good server answers, by path."""
    return {
        "/anonymous-signin": {"username": "anon-1", "id_token": "e30.e30.c2ln"},
        "/create-room": {"room_id": ROOM_ID, "token": TOKEN, "expires_at": time.time() + 7200},
        "/renew-room": {"room_id": ROOM_ID, "expires_at": time.time() + 7200},
        "/delete-peers-and-room": {"status": "deleted"},
        "/health": {"status": "healthy", "timestamp": time.time(), "version": "0.1.0"},
    }


def honest_messages() -> dict[str, Lie]:
    """What a good server answers on the WebSocket, by the message's type; a function takes the message."""
    return {
        "register": registered,
        "discover_peers": peer_list,
        "update_metadata": lambda message: {
            "type": "metadata_updated",
            "peer_id": message["peer_id"],
            "metadata": message["metadata"],
        },
    }


def registered(message: dict[str, Any], **lies: Any) -> dict[str, Any]:
    """Answers a registration."""
    kept = {key: message[key] for key in ("room_id", "token", "peer_id")}
    return {"type": "registered_auth", **kept, "expires_at": time.time() + 7200, **lies}


def peer_list(message: dict[str, Any], *peers: Any) -> dict[str, Any]:
    """Answers a discovery."""
    return {
        "type": "peer_list",
        "to_peer_id": message["from_peer_id"],
        "count": len(peers),
        "peers": list(peers),
    }


class LyingServer:
    """The server; tests change its two tables.

    Attributes:
        http: Answers by path.
        messages: Answers by the type of a WebSocket message.
        handshake: In place of the answer to a WebSocket's opening handshake.
        calls: The paths, and types of messages, that were asked for.
        sent_bytes: What the last flood got rid of.
    """

    def __init__(self) -> None:
        self.http = honest_http()
        self.messages = honest_messages()
        self.handshake: Lie = None
        self.calls: list[str] = []
        self.sent_bytes = 0
        self._servers = [self._serve(self._answer_http), self._serve(self._answer_websocket)]
        http_port, ws_port = (server.server_address[1] for server in self._servers)
        self.http_url = f"http://127.0.0.1:{http_port}"
        self.ws_url = f"ws://127.0.0.1:{ws_port}/"

    def _serve(self, answer: Callable[[socket.socket], None]) -> socketserver.ThreadingTCPServer:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.settimeout(PATIENCE_SEC)
                with contextlib.suppress(OSError, EOFError):
                    answer(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    def close(self) -> None:
        """Stops listening."""
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def environment(self) -> dict[str, str]:
        """The settings by which programs go here, and to the room."""
        addresses = {"SLEAP_RTC_SIGNALING_WS": self.ws_url, "SLEAP_RTC_SIGNALING_HTTP": self.http_url}
        return {**addresses, "SLEAP_RTC_ROOM_ID": ROOM_ID, "SLEAP_RTC_TOKEN": TOKEN}

    # --- HTTP -------------------------------------------------------------------------------

    def _answer_http(self, connection: socket.socket) -> None:
        head = _read_head(connection)
        path = head.split()[1].decode()
        length = [
            line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        ]
        _read_exactly(connection, int(length[0]) if length else 0)
        self.calls.append(path)
        answer = self.http.get(path, Status(404, {"error": "NOT_FOUND", "message": "There is no such call."}))
        if callable(answer):
            answer = answer(path)
        status, body = (answer.status, answer.body) if isinstance(answer, Status) else (200, answer)
        text = json.dumps(body).encode() if not isinstance(answer, Raw | Flood | Cut) else b""
        header = b"HTTP/1.1 %d Said\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        self._send(connection, answer, header % (status, len(text)) + text)

    def _send(self, connection: socket.socket, answer: Lie, honest: bytes) -> None:
        if isinstance(answer, Cut):
            if answer.is_reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        elif isinstance(answer, Flood):
            self._flood(connection, answer)
        else:
            connection.sendall(answer.data if isinstance(answer, Raw) else honest)

    def _flood(self, connection: socket.socket, flood: Flood) -> None:
        self.sent_bytes = 0
        connection.sendall(flood.head)
        piece = b"x" * 65_536
        while self.sent_bytes < flood.size_bytes:
            connection.sendall(piece)
            self.sent_bytes += len(piece)

    # --- WebSocket --------------------------------------------------------------------------

    def _answer_websocket(self, connection: socket.socket) -> None:
        head = _read_head(connection)
        self.calls.append("handshake")
        answer = self.handshake("handshake") if callable(self.handshake) else self.handshake
        if answer is not None:
            self._send(connection, answer, b"")
            return
        key = _header(head, b"sec-websocket-key")
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        while True:
            opcode, payload = _read_frame(connection)
            if opcode == 8:
                connection.sendall(frame(payload, opcode=8))
                return
            if opcode == 1:
                self._answer_message(connection, json.loads(payload))

    def _answer_message(self, connection: socket.socket, message: dict[str, Any]) -> None:
        self.calls.append(message["type"])
        answers = self.messages.get(message["type"], [])
        if callable(answers):
            answers = answers(message)
        for answer in answers if isinstance(answers, list) else [answers]:
            text = b"" if isinstance(answer, Raw | Flood | Cut) else json.dumps(answer).encode()
            self._send(connection, answer, frame(text))


def frame(payload: bytes, *, opcode: int = 1, announced_bytes: int | None = None) -> bytes:
    """Writes a WebSocket frame; it may announce more than it has."""
    size = len(payload) if announced_bytes is None else announced_bytes
    if size < 126:
        length = bytes([size])
    elif size < 2**16:
        length = bytes([126]) + struct.pack("!H", size)
    else:
        length = bytes([127]) + struct.pack("!Q", size)
    return bytes([0x80 | opcode]) + length + payload


def _read_exactly(connection: socket.socket, size_bytes: int) -> bytes:
    data = b""
    while len(data) < size_bytes:
        piece = connection.recv(size_bytes - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _read_head(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += _read_exactly(connection, 1)
    return head


def _header(head: bytes, name: bytes) -> bytes:
    values = (line.split(b":")[1].strip() for line in head.split(b"\r\n") if line.lower().startswith(name))
    return next(values, b"")


def _read_frame(connection: socket.socket) -> tuple[int, bytes]:
    first, second = _read_exactly(connection, 2)
    size = second & 0x7F
    if size >= 126:
        (size,) = (
            struct.unpack("!H", _read_exactly(connection, 2))
            if size == 126
            else struct.unpack("!Q", _read_exactly(connection, 8))
        )
    mask = _read_exactly(connection, 4)
    masked = _read_exactly(connection, size)
    return first & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(masked))


@contextmanager
def lying_server() -> Iterator[LyingServer]:
    """Runs one."""
    server = LyingServer()
    try:
        yield server
    finally:
        server.close()
