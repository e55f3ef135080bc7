"""Fuzzes what a signaling server answers, as whole commands of a client take it.

The commands are the real ones, from their words to what they print and write. In place of the network there
are streams in memory, since a fuzzer wants many answers a second; HTTP and WebSocket are parsed as ever.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import click
import httpcore
import trio
import trio.testing
from click.testing import CliRunner

from sleaprtc.access.invite import export_lines
from sleaprtc.access.made_rooms import remember
from sleaprtc.client.__main__ import main as client
from sleaprtc.errors import ProtocolError
from sleaprtc.programs.join import main as join
from sleaprtc.protocol.answers import Done, HealthReport, Refusal, RoomCreated, RoomRenewed, SignedIn
from sleaprtc.protocol.codec import decode_answer
from sleaprtc.rtc.secret import RoomSecret
from sleaprtc.signaling.http import Account, Endpoints, Room

from ..support.lying_server import ROOM_ID, TOKEN, frame, honest_http, honest_messages

WS_URL, HTTP_URL = "ws://127.0.0.1:8080/", "http://127.0.0.1:8001"
SECRET: Final = RoomSecret(bytes(16)).text
PEER: Final = {
    "peer_id": "gpu",
    "role": "worker",
    "metadata": {
        "tags": ["sleap-rtc"],
        "properties": {"gpu_model": "A", "gpu_memory_mb": 1, "problems": ["a"]},
    },
    "connected_at": 1e9,
}
COMMANDS: Final[list[tuple[click.Command, tuple[str, ...]]]] = [
    (client, ("room", "create")),
    (client, ("room", "create", "--json")),
    (client, ("room", "renew", ROOM_ID)),
    (client, ("workers",)),
    (client, ("workers", "--json")),
    (join, (f"sleap-rtc://127.0.0.1:8080,8001/{ROOM_ID}#{TOKEN}.{SECRET}",)),
]
ODD: Final[list[Any]] = [
    None,
    True,
    0,
    -1,
    1e308,
    2**63,
    10**400,
    "",
    "a;touch X",
    "$(touch X)",
    "a\nexport FORGED=1",
    "../../x",
    "../room",
    "/etc/x",
    "\x1b[2J\x07\x9b",
    "\u202e",
    "\ud800",
    "a\0b",
    "x" * 65,
    "y" * 2000,
    [],
    {},
    "stun:h",
    "stun:h:99999",
    "turn:[::1",
]
STATUSES: Final = (200, 201, 400, 401, 404, 429, 500, 503, 999)
PATHS: Final = tuple(honest_http())


class _Source:
    """The fuzzer's bytes, one after the other; zeros when there are no more."""

    def __init__(self, data: bytes) -> None:
        self._data = iter(data)

    def byte(self) -> int:
        return next(self._data, 0)

    def some(self) -> bytes:
        return bytes(self.byte() for _ in range(self.byte()))

    def value(self, depth: int = 0) -> Any:
        """Something odd."""
        kind = self.byte()
        if kind < 24 and depth < 3:
            return [self.value(depth + 1) for _ in range(kind % 4)]
        if kind < 48 and depth < 3:
            return {str(self.value(3)): self.value(depth + 1) for _ in range(kind % 4)}
        if kind < 80:
            return self.some().decode("utf-8", "replace")
        return ODD[kind % len(ODD)]

    def changed(self, honest: Any) -> Any:
        """An honest answer, or one with odd values in one place or two."""
        answer = json.loads(json.dumps(honest))
        for _ in range(self.byte() % 3):
            _put(answer, self)
        return answer


def _put(answer: Any, source: _Source) -> None:
    """Walks down into an answer and puts something odd there."""
    while True:
        places: list[Any] = sorted(answer) if isinstance(answer, dict) else list(range(len(answer)))
        if not places:
            return
        place = places[source.byte() % len(places)]
        if not isinstance(answer[place], dict | list) or source.byte() % 2:
            answer[place] = source.value()
            return
        answer = answer[place]


# --- a network in memory --------------------------------------------------------------------


class _HTTPStream(httpcore.AsyncMockStream):
    """Answers the requests of one connection."""

    def __init__(self, answer: Callable[[str], bytes]) -> None:
        super().__init__([])
        self._answer = answer
        self._waiting = b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        found = re.match(rb"(?:GET|POST) (\S+) HTTP", buffer)
        if found:
            self._waiting += self._answer(found[1].decode())

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        piece, self._waiting = self._waiting[:max_bytes], self._waiting[max_bytes:]
        return piece


class _Backend(httpcore.AsyncMockBackend):
    def __init__(self, answer: Callable[[str], bytes]) -> None:
        super().__init__([])
        self._answer = answer

    async def connect_tcp(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        return _HTTPStream(self._answer)


async def _serve_websocket(stream: trio.abc.Stream, source: _Source) -> None:
    """Shakes hands, and answers each message with what the bytes say; then the connection ends."""
    try:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += bytes(await stream.receive_some())
        if source.byte() == 255:
            await stream.send_all(source.some())
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
        assert key is not None
        accept = base64.b64encode(hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        await stream.send_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        for _ in range(2):
            message = await _message(stream)
            answer = honest_messages()[message["type"]](message)
            if message["type"] == "discover_peers":
                answer = {**answer, "count": 1, "peers": [PEER]}
            for _ in range(1 + source.byte() % 3):
                await stream.send_all(_frame(source, answer))
    except (trio.BrokenResourceError, trio.ClosedResourceError, EOFError, KeyError):
        pass
    finally:
        await stream.aclose()


def _frame(source: _Source, answer: Any) -> bytes:
    kind = source.byte()
    if kind < 8:
        return source.some()
    if kind < 16:
        return frame(source.some())
    if kind < 24:
        code = (1000, 1001, 1011, 1013, 4001, 4003, 4004, 4029)[kind % 8]
        return frame(code.to_bytes(2, "big") + source.some()[:100], opcode=8)
    if kind < 40:
        answer = {"type": "error", "code": "ROOM_NOT_FOUND", "message": "No.", "reason": "No."}
    return frame(json.dumps(source.changed(answer)).encode())


async def _message(stream: trio.abc.Stream) -> dict[str, Any]:
    head = await _exactly(stream, 2)
    size = head[1] & 127
    if size == 126:
        size = int.from_bytes(await _exactly(stream, 2), "big")
    mask, masked = await _exactly(stream, 4), await _exactly(stream, size)
    if head[0] & 15 != 1:
        raise EOFError
    decoded: dict[str, Any] = json.loads(bytes(byte ^ mask[n % 4] for n, byte in enumerate(masked)))
    return decoded


async def _exactly(stream: trio.abc.Stream, size_bytes: int) -> bytes:
    data = b""
    while len(data) < size_bytes:
        piece = await stream.receive_some(size_bytes - len(data))
        if not piece:
            raise EOFError
        data += bytes(piece)
    return data


@contextmanager
def _network(source: _Source) -> Iterator[None]:
    honest: Mapping[str, Any] = honest_http()

    def answer(path: str) -> bytes:
        kind = source.byte()
        if kind < 12:
            return source.some()
        status = 200 if kind < 224 else STATUSES[kind % len(STATUSES)]
        said = {"error": "X", "message": "No."} if status >= 400 else honest.get(path, {})
        body = source.some() if kind < 24 else json.dumps(source.changed(said)).encode()
        return b"HTTP/1.1 %d Said\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body

    async def open_stream(*_: Any) -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()
        trio.lowlevel.spawn_system_task(_serve_websocket, theirs, source)
        return ours

    with ExitStack() as stack:
        stack.enter_context(patch("httpcore.TrioBackend", lambda: _Backend(answer)))
        stack.enter_context(patch("sleaprtc.signaling.websocket._open_stream", open_stream))
        # what nobody answers to is over at once
        clock = partial(trio.testing.MockClock, autojump_threshold=0)
        stack.enter_context(patch("sleaprtc.commandline.run.AwakeClock", clock))
        yield


# --- the target -----------------------------------------------------------------------------


def fuzz_server_answers(data: bytes) -> None:
    """Whatever a server says, a command ends with a status and harmless lines, and writes what is its own."""
    source = _Source(data)
    program, words = COMMANDS[source.byte() % len(COMMANDS)]
    outer = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    state_dir = outer / "state"
    settings = {
        "SLEAP_RTC_STATE_DIR": str(state_dir),
        "SLEAP_RTC_SIGNALING_WS": WS_URL,
        "SLEAP_RTC_SIGNALING_HTTP": HTTP_URL,
        "SLEAP_RTC_ROOM_ID": ROOM_ID,
        "SLEAP_RTC_TOKEN": TOKEN,
    }
    try:
        with patch.dict(os.environ, settings), _network(source):
            remember(Endpoints(WS_URL, HTTP_URL), ROOM_ID, Account("anon-1", "e30.e30.c2ln"))
            ended = CliRunner().invoke(program, words)
        if not isinstance(ended.exception, SystemExit | None):
            raise ended.exception
        _check_end(ended.exit_code, ended.stdout, ended.stderr)
        _check_files(outer)
    finally:
        shutil.rmtree(outer)


def _check_end(status: int, stdout: str, stderr: str) -> None:
    assert status in (0, 2, 3, 5), status
    assert "Traceback" not in stderr, stderr
    for line in (stdout + stderr).split("\n"):
        assert line.isprintable(), line
        assert len(line) < 10_000
        if line.startswith("export "):
            _, *assignments = shlex.split(line, comments=True)
            assert all(re.fullmatch(r"SLEAP_RTC_[A-Z_]+=\S*", word) for word in assignments), line
    if status:
        assert stderr.splitlines()[-1].startswith("Error: "), stderr


def _check_files(outer: Path) -> None:
    for path in outer.rglob("*"):
        place = path.relative_to(outer).as_posix()
        assert re.fullmatch(r"state(/rooms(/[0-9a-f]{32}\.json)?|/room\.json)?", place), place


ANSWERS: Final = (SignedIn, RoomCreated, RoomRenewed, Done, HealthReport, Refusal)


def fuzz_answer_documents(data: bytes) -> None:
    """Any bytes are an answer with nothing in it that can do harm, or a protocol error."""
    for kind in ANSWERS:
        try:
            answer: object = decode_answer(data, kind)
        except ProtocolError as error:
            sentence = str(error)
            assert sentence.endswith("."), sentence
            continue
        if isinstance(answer, RoomCreated):
            room = Room(answer.room_id, answer.token, answer.expires_at)
            for line in export_lines(Endpoints(WS_URL, HTTP_URL), room, RoomSecret(bytes(16))):
                assert shlex.split(line)[0] == "export"
        if isinstance(answer, SignedIn):
            assert Account(answer.username, answer.id_token).id_token.isascii()
        if isinstance(answer, RoomCreated | RoomRenewed) and answer.expires_at is not None:
            datetime.datetime.fromtimestamp(answer.expires_at).astimezone()
