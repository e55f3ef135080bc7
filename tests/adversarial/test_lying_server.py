"""A server that lies: its words reach no shell, terminal or file, and end no program in a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from sleaprtc.client.__main__ import main as client
from sleaprtc.doctor.__main__ import main as doctor
from sleaprtc.doctor.examination import Examination
from sleaprtc.programs.join import main as join
from sleaprtc.protocol.codec import decode_server_message
from sleaprtc.protocol.limits import MAX_ANSWER_BYTES
from sleaprtc.protocol.messages import RegisteredAuth
from sleaprtc.rtc.secret import RoomSecret
from sleaprtc.signaling import http

from ..support import prepared
from ..support.lying_server import (
    ROOM_ID,
    TOKEN,
    Flood,
    LyingServer,
    Raw,
    Status,
    frame,
    honest_http,
    lying_server,
    peer_list,
    registered,
)

MIB = 2**20
IN_FLIGHT_BYTES = 32 * MIB
"""What the system's buffers on both ends may hold, and more."""

EVIL = "\x1b]0;owned\x07\x1b[2J\r\nexport FORGED=1\u202e\x9b31m"
WORDS: list[Any] = [
    "a;touch X",
    "$(touch X)",
    "`touch X`",
    "a\ntouch X",
    "a' b",
    EVIL,
    "../../x",
    "../room",
    "/etc/passwd",
    "nul\0",
    "\ud800",
    "ABC",
    "ä",
    "x" * 65,
    "",
    5,
    None,
    [],
]
TIMES: list[Any] = [1e308, 10**30, -(10**400), -1, "soon", True, [], Raw(b"NaN"), Raw(b"1e999")]
TOKENS: list[Any] = ["a\r\nX-Evil: 1", "é", "\ud800", "", "x" * 9000, 5, None]


@pytest.fixture
def liar() -> Iterator[LyingServer]:
    with lying_server() as server:
        yield server


@pytest.fixture
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder deep enough to climb out of."""
    path = tmp_path / "outer" / "inner" / "state"
    monkeypatch.setenv("SLEAP_RTC_STATE_DIR", str(path))
    return path


class Ended:
    """A command that has ended, whose output nobody has to fear."""

    def __init__(self, status: int, stdout: str, stderr: str) -> None:
        assert "Traceback" not in stderr, stderr
        for line in (stdout + stderr).split("\n"):
            assert line.isprintable(), repr(line)
            assert not line.startswith("export FORGED")
        self.status, self.stdout, self.stderr = status, stdout, stderr


def run(program: click.Command, liar: LyingServer, *words: str) -> Ended:
    ended = CliRunner().invoke(program, words, env=liar.environment())
    assert isinstance(ended.exception, SystemExit | None), ended.exception
    return Ended(ended.exit_code, ended.stdout, ended.stderr)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def refused(ended: Ended) -> None:
    """Ended with one sentence that names the server, and status 5."""
    assert ended.status == 5, ended.stderr
    assert ended.stderr.startswith("Error: "), ended.stderr
    assert ended.stderr.count("\n") == 1
    assert "127.0.0.1" in ended.stderr


def with_field(path: str, **fields: Any) -> Any:
    """A good answer with such fields in it."""
    raw = {key: value.data.decode() for key, value in fields.items() if isinstance(value, Raw)}
    plain = {key: value for key, value in fields.items() if key not in raw}
    answer = {**honest_http()[path], **plain}
    if not raw:
        return answer
    for key in raw:
        answer.pop(key)
    body = json.dumps(answer)[:-1] + "".join(f', "{key}": {text}' for key, text in raw.items()) + "}"
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return Raw((head + body).encode())


# --- HTTP: rooms ----------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["room_id", "token"])
@pytest.mark.parametrize("word", WORDS, ids=repr)
def test_a_room_that_can_be_none(
    liar: LyingServer, state_dir: Path, tmp_path: Path, field: str, word: Any
) -> None:
    liar.http["/create-room"] = with_field("/create-room", **{field: word})
    refused(run(client, liar, "room", "create"))
    assert files(tmp_path) == set()


@pytest.mark.parametrize("moment", TIMES, ids=repr)
def test_a_time_that_is_none(liar: LyingServer, state_dir: Path, moment: Any) -> None:
    liar.http["/create-room"] = with_field("/create-room", expires_at=moment)
    ended = run(client, liar, "room", "create")
    assert ended.status == 5
    assert ended.stderr.startswith("Error: ")
    liar.http["/create-room"] = honest_http()["/create-room"]
    assert run(client, liar, "room", "create").status == 0
    liar.http["/renew-room"] = with_field("/renew-room", expires_at=moment)
    assert run(client, liar, "room", "renew", ROOM_ID).status == 5


@pytest.mark.parametrize("token", TOKENS, ids=repr)
@pytest.mark.parametrize("words", [("room", "create"), ("workers",)], ids=" ".join)
def test_a_token_that_fits_no_header(
    liar: LyingServer, state_dir: Path, token: Any, words: tuple[str, ...]
) -> None:
    liar.http["/anonymous-signin"] = with_field("/anonymous-signin", id_token=token)
    refused(run(client, liar, *words))
    assert set(liar.calls) == {"/anonymous-signin"}


@pytest.mark.parametrize("name", [EVIL, "\ud800", "", "x" * 129, 5, None, {}], ids=repr)
def test_an_account_s_name(liar: LyingServer, state_dir: Path, name: Any) -> None:
    liar.http["/anonymous-signin"] = with_field("/anonymous-signin", username=name)
    refused(run(client, liar, "workers"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"5",
        b"null",
        b'"room"',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"username": "a", "username": "b", "id_token": "c"}',
        b"1" * 5000,
        b"<html>\x1b[2J</html>",
        b"{}",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_an_answer_that_is_none(liar: LyingServer, state_dir: Path, body: bytes) -> None:
    liar.http["/anonymous-signin"] = Raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    refused(run(client, liar, "workers"))


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x00\x05hello",
        b"HTTP/1.1 \x1b[2J OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
        b"HTTP/1.1 99999 \xff\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ],
    ids=lambda raw: repr(raw[:30]),
)
def test_what_is_no_http(liar: LyingServer, state_dir: Path, raw: bytes) -> None:
    liar.http["/anonymous-signin"] = Raw(raw)
    refused(run(client, liar, "workers"))


@pytest.mark.parametrize(
    ("status", "exit_status"), [(400, 3), (401, 3), (403, 3), (404, 3), (429, 3), (503, 5)]
)
@pytest.mark.parametrize(
    "message", [EVIL, "x" * 900_000, "\ud800", 5, None, {"a": EVIL}], ids=lambda m: repr(m)[:20]
)
def test_a_refusal_in_the_server_s_own_words(
    liar: LyingServer, state_dir: Path, status: int, exit_status: int, message: Any
) -> None:
    liar.http["/anonymous-signin"] = Status(status, {"error": EVIL, "message": message})
    ended = run(client, liar, "workers")
    assert ended.stderr.count("\n") == 1
    assert len(ended.stderr) < 500
    if message != "\ud800":
        assert ended.status == exit_status


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 314572800\r\n\r\n", b"HTTP/1.1 403 No\r\n\r\n"],
    ids=["200", "403"],
)
def test_no_answer_is_read_beyond_its_limit(liar: LyingServer, state_dir: Path, head: bytes) -> None:
    liar.http["/anonymous-signin"] = Flood(head)
    ended = run(client, liar, "workers")
    refused(ended)
    assert f"{MAX_ANSWER_BYTES // MIB} MiB" in ended.stderr
    assert liar.sent_bytes < IN_FLIGHT_BYTES


def test_an_answer_that_never_ends(
    liar: LyingServer, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece comes in time, and the whole doesn't."""
    monkeypatch.setattr(http, "ANSWER_TIMEOUT_SEC", 0.3)
    early = b"HTTP/1.1 102 Processing\r\n\r\n"
    liar.http["/anonymous-signin"] = Flood(early, size_bytes=0)
    ended = run(client, liar, "workers")
    refused(ended)


# --- WebSocket ------------------------------------------------------------------------------


def peer(**changes: Any) -> dict[str, Any]:
    properties = {
        "gpu_model": EVIL,
        "gpu_memory_mb": 10**400,
        "status": EVIL,
        "problems": [EVIL],
        "sleap_version": EVIL,
    }
    metadata = {
        "tags": ["sleap-rtc"],
        "properties": {**properties, "supported_models": [EVIL, 5], "torch_device": EVIL},
    }
    return {"peer_id": "gpu-box", "role": "worker", "metadata": metadata, "connected_at": 1e9, **changes}


REGISTRATIONS = [
    {"room_id": "other"},
    {"room_id": EVIL},
    {"room_id": "\ud800"},
    {"token": EVIL},
    {"peer_id": EVIL},
    {"peer_id": "somebody-else"},
    {"expires_at": 1e308},
    {"expires_at": 10**30},
    {"expires_at": "soon"},
    {"resume_token": EVIL},
    {"resume_token": "x" * 10_000},
    {"ice_servers": [{"urls": 5}]},
    {"ice_servers": [None]},
    {"ice_servers": {}},
    {"type": "peer_list"},
    {"type": EVIL},
]


@pytest.mark.parametrize("lies", REGISTRATIONS, ids=lambda lies: repr(lies)[:50])
def test_a_registration_that_can_be_none(liar: LyingServer, state_dir: Path, lies: dict[str, Any]) -> None:
    liar.messages["register"] = lambda message: registered(message, **lies)
    refused(run(client, liar, "workers"))
    secret = RoomSecret.generate().text
    ports = liar.ws_url.rsplit(":", 1)[1].strip("/") + "," + liar.http_url.rsplit(":", 1)[1]
    refused(run(join, liar, f"sleap-rtc://127.0.0.1:{ports}/{ROOM_ID}#{TOKEN}.{secret}"))
    assert files(state_dir) == set() if state_dir.exists() else True


@pytest.mark.parametrize(
    ("handed_out", "used"),
    [
        ([{"urls": EVIL}], 0),
        ([{"urls": "stun:h:99999"}], 0),
        ([{"urls": "turn:h?transport=tls"}, {"urls": ["stun:h", "stuns2:h", "STUN:h"]}], 1),
        ([{"urls": "stun:[::1"}], 0),
        ([{"urls": ["stun:h"] * 1000}], 32),
        ([{"urls": "stun:h"}] * 1000, 32),
        ([{"urls": "turn:h", "username": EVIL, "credential": EVIL}], 0),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_ice_servers_that_nobody_understands_are_left_out(
    liar: LyingServer, state_dir: Path, handed_out: list[Any], used: int
) -> None:
    """One odd address in an operator's settings, or of a newer server, keeps nobody out of the room."""
    answer = {"type": "registered_auth", "room_id": ROOM_ID, "token": TOKEN, "peer_id": "p"}
    decoded = decode_server_message(json.dumps({**answer, "ice_servers": handed_out}))
    assert isinstance(decoded, RegisteredAuth)
    assert sum(len(server.urls) for server in decoded.ice_servers) == used
    assert all(url == "stun:h" for server in decoded.ice_servers for url in server.urls)
    liar.messages["register"] = lambda message: registered(message, ice_servers=handed_out)
    ended = run(client, liar, "workers")
    assert ended.status == 0, ended.stderr


LISTS = [
    {"peers": [peer(peer_id=EVIL)]},
    {"peers": [peer(peer_id="")]},
    {"peers": [peer(peer_id="x" * 129)]},
    {"peers": [peer(role=EVIL)]},
    {"peers": [peer(connected_at=1e308)]},
    {"peers": [peer(metadata=[])]},
    {"peers": "all"},
    {"peers": [None]},
    {"count": "many"},
    {"type": "metadata_updated", "peer_id": "x", "metadata": {}},
]


@pytest.mark.parametrize("lies", LISTS, ids=lambda lies: repr(lies)[:50])
def test_a_list_of_peers_that_can_be_none(liar: LyingServer, state_dir: Path, lies: dict[str, Any]) -> None:
    liar.messages["discover_peers"] = lambda message: {**peer_list(message), **lies}
    refused(run(client, liar, "workers"))


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_what_workers_say_of_themselves(liar: LyingServer, state_dir: Path, options: tuple[str, ...]) -> None:
    liar.messages["discover_peers"] = lambda message: peer_list(
        message, peer(), peer(peer_id="größe-\u202eb")
    )
    ended = run(client, liar, "workers", *options)
    assert ended.status == 0, ended.stderr
    assert "gpu-box" in ended.stdout


@pytest.mark.parametrize("kind", ["register", "discover_peers"])
@pytest.mark.parametrize("code", ["ROOM_NOT_FOUND", "INVALID_FILTER", EVIL], ids=repr)
def test_an_error_in_the_server_s_own_words(liar: LyingServer, state_dir: Path, kind: str, code: str) -> None:
    answer = {"type": "error", "code": code, "message": f"{EVIL}{'x' * 10_000}", "reason": EVIL}
    liar.messages[kind] = [answer, frame_closing(4009, EVIL)]
    ended = run(client, liar, "workers")
    assert ended.status in (3, 5)
    assert len(ended.stderr) < 1000


def frame_closing(code: int, reason: str) -> Raw:
    return Raw(frame(code.to_bytes(2, "big") + reason.encode()[:100], opcode=8))


@pytest.mark.parametrize("code", [1000, 1001, 1011, 4003, 4004, 4999])
def test_the_reason_of_a_close(liar: LyingServer, state_dir: Path, code: int) -> None:
    liar.messages["register"] = frame_closing(code, EVIL)
    assert run(client, liar, "workers").status in (3, 5)


def test_many_answers_to_one_question(liar: LyingServer, state_dir: Path) -> None:
    liar.messages["discover_peers"] = lambda message: [peer_list(message, peer())] * 200
    assert run(client, liar, "workers").status == 0


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff" * 100,
        frame(b"\xff\xfe"),
        frame(b"{"),
        frame(b"", opcode=2),
        frame(b"x" * 200, opcode=9),
        b"\x81\xff" * 9,
    ],
    ids=repr,
)
def test_what_is_no_message(liar: LyingServer, state_dir: Path, raw: bytes) -> None:
    liar.messages["register"] = [Raw(raw), frame_closing(1011, "")]
    assert run(client, liar, "workers").status == 5


@pytest.mark.parametrize("kind", ["register", "discover_peers"])
def test_no_message_is_read_beyond_its_limit(liar: LyingServer, state_dir: Path, kind: str) -> None:
    liar.messages[kind] = Flood(frame(b"", announced_bytes=300 * MIB))
    ended = run(client, liar, "workers")
    assert ended.status == 5, ended.stderr
    assert liar.sent_bytes < 16 * MIB + IN_FLIGHT_BYTES


def test_no_refusal_of_a_handshake_is_read_beyond_its_limit(liar: LyingServer, state_dir: Path) -> None:
    liar.handshake = Flood(b"HTTP/1.1 403 No\r\nContent-Length: 314572800\r\n\r\n")
    refused(run(client, liar, "workers"))
    assert liar.sent_bytes < IN_FLIGHT_BYTES


# --- the shell ------------------------------------------------------------------------------


def evaluated(liar: LyingServer, tmp_path: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Runs a script under bash in an empty folder, as a person does who follows the README."""
    folder = tmp_path / "here"
    folder.mkdir()
    env = {key: value for key, value in os.environ.items() if not key.startswith("SLEAP_RTC_ROOM")}
    command = f'{sys.executable} -m sleaprtc.client room create "$@"'
    ended = subprocess.run(
        ["bash", "-c", script.replace("CREATE", command)],
        env={**env, **liar.environment()},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert list(folder.iterdir()) == []
    return ended


SHOWN = (
    'eval "$(CREATE)"; echo "$SLEAP_RTC_ROOM_ID|$SLEAP_RTC_TOKEN|$SLEAP_RTC_SIGNALING_HTTP|$SLEAP_RTC_INVITE"'
)


def test_what_is_exported_is_what_was_made(liar: LyingServer, state_dir: Path, tmp_path: Path) -> None:
    ended = evaluated(liar, tmp_path, SHOWN)
    room_id, token, http_url, invite = ended.stdout.strip().split("|")
    assert (room_id, token, http_url) == (ROOM_ID, TOKEN, liar.http_url)
    assert invite.startswith("sleap-rtc://127.0.0.1:")


@pytest.mark.parametrize("word", ["a;touch X", "$(touch X)", "a\ntouch X"], ids=repr)
def test_nothing_of_a_lie_runs(liar: LyingServer, state_dir: Path, tmp_path: Path, word: str) -> None:
    liar.http["/create-room"] = with_field("/create-room", room_id=word, token=word)
    ended = evaluated(liar, tmp_path, SHOWN)
    assert "Error: " in ended.stderr
    assert "touch" not in ended.stdout


def test_addresses_are_quoted_too(liar: LyingServer, state_dir: Path, tmp_path: Path) -> None:
    """They are the user's own, from a file perhaps, and a path may hold anything."""
    ended = evaluated(
        liar, tmp_path, SHOWN.replace("CREATE", "SLEAP_RTC_SIGNALING_WS='ws://h/;touch X' CREATE")
    )
    assert ended.stdout.startswith(f"{ROOM_ID}|")


# --- the worker and the doctor --------------------------------------------------------------


def run_worker(liar: LyingServer, tmp_path: Path) -> Ended:
    env = {key: value for key, value in os.environ.items() if not key.startswith("SLEAP_RTC_ROOM")}
    addresses = {key: value for key, value in liar.environment().items() if "SIGNALING" in key}
    ended = prepared.run(
        "sleaprtc.worker", "--name", "w", "--work-dir", str(tmp_path / "work"), env={**env, **addresses}
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.mark.parametrize(
    ("path", "lies"),
    [
        ("/create-room", {"room_id": EVIL, "token": "../../x"}),
        ("/anonymous-signin", {"id_token": "a\r\nb"}),
    ],
    ids=["room", "token"],
)
def test_a_worker_that_makes_a_room(
    liar: LyingServer, state_dir: Path, tmp_path: Path, path: str, lies: dict[str, Any]
) -> None:
    liar.http[path] = with_field(path, **lies)
    ended = run_worker(liar, tmp_path)
    assert ended.status == 5, ended.stderr
    assert not (tmp_path / "work" / "room.json").exists()


def lie_in_health(liar: LyingServer) -> None:
    liar.http["/health"] = with_field("/health", version=EVIL)


def lie_in_the_date(liar: LyingServer) -> None:
    body = json.dumps(honest_http()["/health"])
    date = f"Mon, 01 Jan 0001 00:00:00 +{'9' * 30}"
    head = f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {len(body)}\r\n\r\n"
    liar.http["/health"] = Raw((head + body).encode())


def lie_in_the_room(liar: LyingServer) -> None:
    liar.messages["register"] = lambda message: registered(message, ice_servers=[{"urls": EVIL}])


def lie_in_names(liar: LyingServer) -> None:
    liar.messages["discover_peers"] = lambda message: peer_list(message, peer(peer_id="\u202eb", metadata={}))


@pytest.mark.parametrize("lie", [lie_in_health, lie_in_the_date, lie_in_the_room, lie_in_names])
def test_the_doctor(
    liar: LyingServer, state_dir: Path, lie: Callable[[LyingServer], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(_: Examination) -> None:
        return

    # what doesn't ask the server takes seconds
    monkeypatch.setattr(Examination, "_examine_machine", nothing)
    monkeypatch.setattr(Examination, "_examine_channels", nothing)
    lie(liar)
    ended = run(doctor, liar)
    assert "server" in ended.stdout
    assert ended.stdout.count("failed unexpectedly") == 0
    assert "This check itself failed" not in ended.stdout
