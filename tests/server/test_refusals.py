"""Every error code and close code that a peer can cause with default settings."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from sleaprtc.identity.issuer import AUDIENCE, ISSUER, TokenIssuer

from ..support.raw_websocket import upgraded
from .conftest import Api, RawPeer

NewPeer = Callable[..., RawPeer]


def expect_error(answer: dict[str, Any], code: str, *, registering: bool = False) -> None:
    assert (answer["type"], answer["code"]) == ("error", code), answer
    assert answer["message"]
    assert answer.get("reason") == (answer["message"] if registering else None)


def to(target: str, sender: str = "me", **rest: Any) -> dict[str, Any]:
    return {"type": "peer_message", "from_peer_id": sender, "to_peer_id": target, "payload": {}, **rest}


# --- messages that can't be read: an error, and the connection stays ------------------------

UNREADABLE = {
    "empty": ("", "INVALID_JSON"),
    "not JSON": ("register", "INVALID_JSON"),
    "NaN": ('{"type": NaN}', "INVALID_JSON"),
    "repeated key": ('{"type": "offer", "type": "answer"}', "INVALID_JSON"),
    "deep": ("[" * 5000 + "]" * 5000, "INVALID_JSON"),
    "a list": ("[]", "INVALID_MESSAGE"),
    "no type": ("{}", "INVALID_MESSAGE"),
    "a lone surrogate": ('{"type": "register", "peer_id": "\\ud800"}', "INVALID_MESSAGE"),
    "a lone surrogate in a key": ('{"type": "peer_message", "payload": {"\\uDFFF": 1}}', "INVALID_MESSAGE"),
    "a type that is no string": ('{"type": 5}', "INVALID_MESSAGE"),
    "unknown type": ('{"type": "dance"}', "UNKNOWN_MESSAGE_TYPE"),
    "the server's own type": ('{"type": "peer_list"}', "UNKNOWN_MESSAGE_TYPE"),
    "a missing field": ('{"type": "offer", "sender": "me", "target": "you"}', "INVALID_MESSAGE"),
    "a number for a string": (to("you") | {"to_peer_id": 5}, "INVALID_MESSAGE"),
    "a list for an object": (to("you") | {"payload": []}, "INVALID_MESSAGE"),
    "null for a string": (to("you") | {"to_peer_id": None}, "INVALID_MESSAGE"),
    "binary": (b'{"type": "discover_peers"}', "INVALID_MESSAGE"),
}


@pytest.mark.parametrize(("message", "code"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_message_that_cannot_be_read(new_peer: NewPeer, message: Any, code: str) -> None:
    for peer in (new_peer("me"), new_peer()):
        expect_error(peer.ask(message), code)
        peer.connection.close()


def test_the_connection_outlives_unreadable_messages(new_peer: NewPeer) -> None:
    peer = new_peer()
    for message, _ in UNREADABLE.values():
        assert peer.ask(message)["type"] == "error"
    peer.register("me")
    for message, _ in UNREADABLE.values():
        assert peer.ask(message)["type"] == "error"
    peer.send(to("me"))
    assert peer.receive() == to("me")


# --- before registration --------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        to("you"),
        {"type": "discover_peers", "from_peer_id": "me", "filters": {}},
        {"type": "update_metadata", "peer_id": "me", "metadata": {}},
        {"type": "offer", "sender": "me", "target": "you", "sdp": "v=0"},
        {"type": "answer", "sender": "me", "target": "you", "sdp": "v=0"},
        {"type": "candidate", "sender": "me", "target": "you", "candidate": "candidate:1"},
    ],
    ids=lambda message: message["type"],
)
def test_nothing_goes_without_registration(new_peer: NewPeer, message: dict[str, Any]) -> None:
    peer = new_peer()
    expect_error(peer.ask(message), "NOT_IN_ROOM")
    peer.register("me")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"peer_id": ""}, "INVALID_MESSAGE"),
        ({"peer_id": "a\nb"}, "INVALID_MESSAGE"),
        ({"peer_id": "a\x9bb"}, "INVALID_MESSAGE"),
        ({"peer_id": "n" * 129}, "TOO_LARGE"),
        ({"peer_id": None}, "INVALID_MESSAGE"),
        ({"role": "r" * 129}, "TOO_LARGE"),
        ({"role": 1}, "INVALID_MESSAGE"),
        ({"token": 123456}, "INVALID_MESSAGE"),
        ({"metadata": []}, "INVALID_MESSAGE"),
        ({"metadata": {"tags": "worker"}}, "INVALID_MESSAGE"),
        ({"metadata": {"tags": [1]}}, "INVALID_MESSAGE"),
        ({"metadata": {"properties": []}}, "INVALID_MESSAGE"),
        ({"metadata": {"tags": [f"t{n}" for n in range(65)]}}, "TOO_LARGE"),
        ({"metadata": {"tags": ["t" * 129]}}, "TOO_LARGE"),
        ({"metadata": {"properties": {f"p{n}": n for n in range(129)}}}, "TOO_LARGE"),
        ({"metadata": {"properties": {"p" * 129: 1}}}, "TOO_LARGE"),
        ({"metadata": {"properties": {"p": "x" * 32 * 1024}}}, "TOO_LARGE"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_registration_that_can_be_put_right(new_peer: NewPeer, changes: dict[str, Any], code: str) -> None:
    peer = new_peer()
    expect_error(peer.ask(peer.registration("me") | changes), code, registering=True)
    peer.register("me")


def test_metadata_at_its_limits_is_taken(new_peer: NewPeer) -> None:
    properties = {f"p{n:0126}": n for n in range(128)}
    new_peer("n" * 128, role="r" * 128, metadata={"tags": ["t" * 128] * 64, "properties": properties})


# --- refused registrations ------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{"token": "wrong"}, {"token": ""}, {"token": "é"}, {"room_id": "nowhere1"}, {"room_id": ""}],
    ids=lambda value: str(value)[:60],
)
def test_no_such_room_and_the_wrong_token_are_one_answer(new_peer: NewPeer, changes: dict[str, Any]) -> None:
    peer = new_peer()
    answer = peer.ask(peer.registration("me") | changes)
    assert answer == {
        "type": "error",
        "code": "ROOM_NOT_FOUND",
        "message": "No such room, or the wrong room token.",
        "reason": "No such room, or the wrong room token.",
    }
    assert peer.close_code() == 4003


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    standard = {"iss": ISSUER, "aud": AUDIENCE, "sub": "somebody", "iat": now, "exp": now + 3600}
    return {key: value for key, value in {**standard, **changes}.items() if value is not None}


@pytest.fixture
def key(server_process: Any) -> ECKey:
    return TokenIssuer.from_state_dir(server_process.state_dir).key


def signed(key: Any, changes: dict[str, Any], algorithm: str = "ES256", **header: Any) -> str:
    return jwt.encode({"alg": algorithm, **header}, claims(**changes), key, algorithms=[algorithm])


def encoded(part: dict[str, Any] | bytes) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forgeries(key: ECKey) -> dict[str, str]:
    good = signed(key, {}, kid=key.kid)
    header, payload, signature = good.split(".")
    other_payload = signed(key, {"sub": "x"}, kid=key.kid).split(".")[1]
    hs256 = f"{encoded({'alg': 'HS256', 'kid': key.kid})}.{payload}"
    mac = hmac.digest(key.as_pem(private=False), hs256.encode(), "sha256")
    stranger = ECKey.generate_key("P-256")
    return {
        "empty": "",
        "not a token": "open sesame",
        "no signature": f"{header}.{payload}.",
        "another payload": ".".join((header, other_payload, signature)),
        "alg none": f"{encoded({'alg': 'none'})}.{payload}.",
        "HMAC with the public key": f"{hs256}.{encoded(mac)}",
        "a stranger's key": signed(stranger, {}, kid=key.kid),
        "unknown kid": signed(key, {}, kid="unknown"),
        "wrong issuer": signed(key, {"iss": "urn:other"}, kid=key.kid),
        "no issuer": signed(key, {"iss": None}, kid=key.kid),
        "wrong audience": signed(key, {"aud": "other"}, kid=key.kid),
        "no audience": signed(key, {"aud": None}, kid=key.kid),
        "expired": signed(key, {"exp": int(time.time()) - 60}, kid=key.kid),
        "no expiry": signed(key, {"exp": None}, kid=key.kid),
        "no subject": signed(key, {"sub": None}, kid=key.kid),
        "a subject that is no string": signed(key, {"sub": 5}, kid=key.kid),
    }


def test_an_id_token_is_verified_in_every_respect(
    new_peer: NewPeer, api: Api, key: ECKey, server_process: Any
) -> None:
    for what, token in forgeries(key).items():
        peer = new_peer()
        expect_error(peer.ask(peer.registration("me", id_token=token)), "INVALID_TOKEN", registering=True)
        assert peer.close_code() == 4001, what
        refused = api.post("/create-room", None if not token else token.encode("utf-8", "replace").decode())
        assert refused.status_code == 401, what
    peer = new_peer()
    peer.id_token = signed(key, {"sub": "known elsewhere"}, kid=key.kid)
    peer.register("me")


def test_a_live_name_is_taken(new_peer: NewPeer) -> None:
    holder, rival = new_peer("me"), new_peer()
    expect_error(rival.ask(rival.registration("me")), "PEER_ID_TAKEN", registering=True)
    assert rival.close_code() == 4009
    second = new_peer()
    expect_error(
        second.ask(second.registration("me", resume_token="guess")), "PEER_ID_TAKEN", registering=True
    )
    assert second.close_code() == 4009
    holder.send(to("me"))
    assert holder.receive() == to("me")


def test_the_resume_token_takes_a_name_over(new_peer: NewPeer) -> None:
    old, sender = new_peer(), new_peer("sender")
    token = old.register("me")["resume_token"]
    new = new_peer()
    renewed = new.register("me", resume_token=token)
    assert renewed["resume_token"] != token
    assert old.close_code() == 4009
    # The old connection's end, which comes late, doesn't remove the new one.
    old.connection.close()
    sender.send(to("me", "sender"))
    assert new.receive() == to("me", "sender")
    late = new_peer()
    expect_error(late.ask(late.registration("me", resume_token=token)), "PEER_ID_TAKEN", registering=True)


def test_a_second_registration_on_one_connection(
    new_peer: NewPeer, api: Api, account: dict[str, str]
) -> None:
    peer = new_peer("me")
    for changes in ({}, {"peer_id": "other"}, {"id_token": "bad"}, {"token": "bad"}):
        expect_error(peer.ask(peer.registration("me") | changes), "INVALID_MESSAGE", registering=True)
    peer.send(to("me"))
    assert peer.receive() == to("me")


# --- in the room ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        to("me", "you"),
        {"type": "discover_peers", "from_peer_id": "you", "filters": {}},
        {"type": "update_metadata", "peer_id": "you", "metadata": {}},
        {"type": "offer", "sender": "you", "target": "me", "sdp": "v=0"},
        {"type": "answer", "sender": "", "target": "me", "sdp": "v=0"},
        {"type": "candidate", "sender": "ME", "target": "me", "candidate": "candidate:1"},
    ],
    ids=lambda message: message["type"],
)
def test_another_s_name_is_refused(new_peer: NewPeer, message: dict[str, Any]) -> None:
    peer, victim = new_peer("me"), new_peer("you")
    expect_error(peer.ask(message), "IDENTITY_MISMATCH")
    victim.send(to("you", "you"))
    assert victim.receive() == to("you", "you")  # and nothing else came before it


def test_a_target_elsewhere_and_one_nowhere_are_one_answer(
    server_process: Any,
    new_peer: NewPeer,
    api: Api,
    account: dict[str, str],
    connect_peer: Callable[..., RawPeer],
) -> None:
    other_room = api.create_room(account["id_token"])
    connect_peer(server_process.ws_url, other_room, account["id_token"]).register("elsewhere")
    peer = new_peer("me")
    answers = [peer.ask(to(target)) for target in ("elsewhere", "nowhere")]
    expect_error(answers[0], "PEER_NOT_IN_ROOM")
    assert answers[0] == answers[1]
    found = peer.ask({"type": "discover_peers", "from_peer_id": "me", "filters": {}})
    assert found["count"] == 0


@pytest.mark.parametrize(
    "filters",
    [
        {"role": 5},
        {"role": None},
        {"tags": "worker"},
        {"tags": [1]},
        {"properties": []},
        {"properties": {"x": {"$regex": ".*"}}},
        {"properties": {"x": {"$gt": 1, "lt": 5}}},
        {"properties": {"x": {"$in": 1}}},
        {"properties": {"x": {"$exists": 1}}},
        {"properties": {"x": {"$gt": True}}},
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_filter_that_cannot_be_read(new_peer: NewPeer, filters: dict[str, Any]) -> None:
    peer = new_peer("me")
    expect_error(
        peer.ask({"type": "discover_peers", "from_peer_id": "me", "filters": filters}), "INVALID_FILTER"
    )


@pytest.mark.parametrize(
    "message",
    [
        {"type": "offer", "sender": "me", "target": "me", "sdp": "s" * (64 * 1024 + 1)},
        {"type": "answer", "sender": "me", "target": "me", "sdp": "é" * (32 * 1024 + 1)},
        {"type": "candidate", "sender": "me", "target": "me", "candidate": "c" * 2049},
        {"type": "update_metadata", "peer_id": "me", "metadata": {"properties": {"x": "x" * 2**15}}},
        {"type": "update_metadata", "peer_id": "me", "metadata": {"tags": ["t"] * 65}},
    ],
    ids=lambda message: message["type"],
)
def test_a_part_that_is_too_large(new_peer: NewPeer, message: dict[str, Any]) -> None:
    peer = new_peer("me", metadata={"tags": ["before"]})
    expect_error(peer.ask(message), "TOO_LARGE")
    kept = peer.ask({"type": "update_metadata", "peer_id": "me", "metadata": {}})
    assert kept["metadata"] == {"tags": ["before"]}


def test_updates_cannot_grow_metadata_beyond_its_limit(new_peer: NewPeer) -> None:
    peer = new_peer("me")
    answers = [
        peer.ask(
            {"type": "update_metadata", "peer_id": "me", "metadata": {"properties": {name: "x" * 10000}}}
        )
        for name in "abcd"
    ]
    assert [answer["type"] for answer in answers] == ["metadata_updated"] * 3 + ["error"]


@pytest.mark.parametrize("character", ["x", "é", "🪰"])
def test_a_frame_that_is_too_large(new_peer: NewPeer, character: str) -> None:
    length = 256 * 1024 // len(character.encode())
    peer = new_peer("me")
    frame = json.dumps(to("me"), ensure_ascii=False)[:-1] + ', "x": "' + character * length + '"}'
    peer.send(frame)
    assert peer.close_code() == 1009


def test_the_largest_frame_passes(new_peer: NewPeer) -> None:
    peer = new_peer("me")
    start = json.dumps(to("me"))[:-1] + ', "x": "'
    frame = start + "x" * (256 * 1024 - len(start) - 2) + '"}'
    peer.send(frame)
    assert peer.connection.recv(timeout=120) == frame


# --- below the messages ---------------------------------------------------------------------


MASK = b"\0\0\0\0"
BROKEN_FRAMES = {
    "bad UTF-8": (b"\x81\x82" + MASK + b"\xff\xfe", 1007),
    "not masked": (b"\x81\x02{}", 1002),
    "reserved bits": (b"\xf1\x80" + MASK, 1002),
    "unknown opcode": (b"\x83\x80" + MASK, 1002),
    "a continuation of nothing": (b"\x80\x80" + MASK, 1002),
    "2^40 bytes declared": (b"\x81\xff" + (2**40).to_bytes(8, "big") + MASK + b"x" * 2**19, 1009),
    "a fragmented ping": (b"\x09\x80" + MASK, 1002),
}


@pytest.mark.parametrize(("frame", "code"), BROKEN_FRAMES.values(), ids=BROKEN_FRAMES.keys())
def test_a_broken_frame_gets_its_close_code(server_process: Any, frame: bytes, code: int) -> None:
    with upgraded(server_process) as raw:
        raw.sendall(frame)
        head = raw.recv(4)
        assert head[0] == 0x88, head
        assert int.from_bytes(head[2:4], "big") == code
        raw.shutdown(socket.SHUT_WR)
        while raw.recv(4096):
            pass


def test_other_paths_are_not_found(server_process: Any) -> None:
    upgraded(server_process, "/elsewhere").close()


def test_the_server_serves_on_and_logs_no_traceback(server_process: Any, new_peer: NewPeer) -> None:
    address = urlsplit(server_process.ws_url)
    for rubbish in (b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100_000):
        with socket.create_connection((address.hostname, address.port), timeout=120) as raw:
            raw.sendall(rubbish)
    for cut in (b"", b"\x81", b"\x81\x85\0\0\0\0ab"):
        with upgraded(server_process) as raw:
            raw.sendall(cut)
    for _ in range(3):
        peer = new_peer("leaves")
        peer.connection.socket.shutdown(socket.SHUT_RDWR)
        time.sleep(0.05)
    new_peer("me")
    log = server_process.log.read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log
    assert peer.room["token"] not in log
    assert peer.id_token not in log
