"""Every HTTP call and the ways in which it fails."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

import sleaprtc

from .conftest import Api, RawPeer

NewPeer = Callable[..., RawPeer]


def expect_failure(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"].startswith("application/json")
    body = response.json()
    assert body.keys() == {"error", "message"}
    assert body["error"] == code
    assert body["message"]
    assert "Traceback" not in response.text


def test_an_id_token_is_signed_by_the_published_key(api: Api) -> None:
    account = api.sign_in()
    keys = api.http.get("/.well-known/jwks.json").raise_for_status().json()
    assert [key["kty"] for key in keys["keys"]] == ["EC"]
    assert not {"d"} & keys["keys"][0].keys()
    token = jwt.decode(account["id_token"], KeySet.import_key_set(keys), algorithms=["ES256"])
    assert token.claims["sub"] == account["username"]
    assert token.header["kid"] == keys["keys"][0]["kid"]
    assert token.claims["exp"] > time.time()


def test_sign_ins_make_different_accounts(api: Api) -> None:
    assert len({api.sign_in()["username"] for _ in range(3)}) == 3


@pytest.mark.parametrize("body", [None, b"", b"{}", b'{"unknown": [1]}'])
def test_sign_in_takes_an_empty_or_unknown_body(api: Api, body: bytes | None) -> None:
    assert api.post("/anonymous-signin", content=body).json().keys() == {"id_token", "username"}


def test_renewal_moves_the_end(api: Api, room: dict[str, Any], account: dict[str, str]) -> None:
    asked_at = time.time()
    answer = api.post("/renew-room", account["id_token"], json={"room_id": room["room_id"]})
    assert answer.status_code == 200
    renewed = answer.json()
    assert renewed.keys() == {"room_id", "expires_at"}
    assert renewed["room_id"] == room["room_id"]
    assert asked_at + 7200 <= renewed["expires_at"] <= time.time() + 7200
    assert renewed["expires_at"] > room["expires_at"]


def test_a_peer_that_registers_after_renewal_is_told_the_new_end(
    api: Api, account: dict[str, str], room: dict[str, Any], new_peer: NewPeer
) -> None:
    renewed = api.post("/renew-room", account["id_token"], json={"room_id": room["room_id"]}).json()
    assert new_peer().register("me")["expires_at"] == renewed["expires_at"]


ROOM_CALLS = ("/renew-room", "/delete-peers-and-room")


@pytest.mark.parametrize("path", ROOM_CALLS)
def test_a_room_is_its_creator_s(api: Api, room: dict[str, Any], path: str) -> None:
    stranger = api.sign_in()["id_token"]
    expect_failure(api.post(path, stranger, json={"room_id": room["room_id"]}), 403, "FORBIDDEN")


@pytest.mark.parametrize("path", ROOM_CALLS)
def test_a_room_that_does_not_exist(api: Api, account: dict[str, str], path: str) -> None:
    answer = api.post(path, account["id_token"], json={"room_id": "nowhere1"})
    expect_failure(answer, 404, "ROOM_NOT_FOUND")


@pytest.mark.parametrize("path", ["/create-room", *ROOM_CALLS])
@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer x.y.z", "Basic dTpw", "Token abc"])
def test_calls_that_need_an_id_token(api: Api, path: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = api.http.post(path, headers=headers, json={"room_id": "nowhere1"})
    expect_failure(answer, 401, "INVALID_TOKEN")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/anonymous-signin", "/create-room", *ROOM_CALLS])
def test_a_body_that_cannot_be_read(api: Api, account: dict[str, str], path: str) -> None:
    for body in (b"{", b"\xff", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"[" * 9999):
        expect_failure(api.post(path, account["id_token"], content=body), 400, "INVALID_JSON")
    for body in (b"[]", b'"x"', b"null"):
        expect_failure(api.post(path, account["id_token"], content=body), 400, "INVALID_MESSAGE")
    expect_failure(api.post(path, account["id_token"], content=b"x" * (64 * 1024 + 1)), 413, "TOO_LARGE")


@pytest.mark.parametrize("path", ROOM_CALLS)
@pytest.mark.parametrize("body", [{}, {"room_id": 5}, {"room_id": None}, {"peer_id": ["x"]}])
def test_a_body_without_what_it_needs(
    api: Api, account: dict[str, str], path: str, body: dict[str, Any]
) -> None:
    expect_failure(api.post(path, account["id_token"], json=body), 400, "INVALID_MESSAGE")


def test_unknown_calls_and_methods(api: Api) -> None:
    expect_failure(api.http.get("/nowhere"), 404, "NOT_FOUND")
    expect_failure(api.http.post("/health/"), 404, "NOT_FOUND")
    expect_failure(api.http.get("/create-room"), 405, "METHOD_NOT_ALLOWED")
    expect_failure(api.http.delete("/health"), 405, "METHOD_NOT_ALLOWED")
    assert "POST" in api.http.get("/create-room").headers["Allow"]


def test_health(api: Api) -> None:
    health = api.http.get("/health").json()
    assert abs(health.pop("timestamp") - time.time()) < 60
    assert health == {"status": "healthy", "version": sleaprtc.__version__}


def test_metrics_count(api: Api, account: dict[str, str], new_peer: NewPeer) -> None:
    before = api.http.get("/metrics").json()
    assert before.keys() == {
        "timestamp",
        "active_rooms",
        "active_connections",
        "peers_by_role",
        "total_connections",
        "total_messages",
        "rooms_created",
    }
    api.create_room(account["id_token"])
    for number in range(3):
        new_peer(f"w{number}", role="metrics-test")
    new_peer()
    after = api.http.get("/metrics").json()
    assert after["peers_by_role"]["metrics-test"] == 3
    assert after["rooms_created"] == before["rooms_created"] + 1
    assert after["active_rooms"] >= before["active_rooms"] + 1
    assert after["total_connections"] == before["total_connections"] + 4
    assert after["total_messages"] == before["total_messages"] + 3
    assert after["active_connections"] >= 4


@pytest.mark.parametrize(
    "accept",
    [
        "text/plain",
        "text/plain; version=0.0.4",
        "application/openmetrics-text",
        "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    ],
)
def test_metrics_for_scrapers(api: Api, new_peer: NewPeer, accept: str) -> None:
    new_peer("odd", role='say "hi" \\ ü')
    answer = api.http.get("/metrics", headers={"Accept": accept})
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'sleaprtc_peers{role="say \\"hi\\" \\\\ ü"} 1' in answer.text.splitlines()
    sample = re.compile(r'[a-z_]+(\{role="(?:[^"\\]|\\.)*"\})? \d+')
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    assert len(lines) >= 6
    assert all(sample.fullmatch(line) for line in lines)
    assert answer.text.endswith("\n")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html,*/*;q=0.8"])
def test_metrics_for_everybody_else(api: Api, accept: str) -> None:
    assert api.http.get("/metrics", headers={"Accept": accept}).json()["timestamp"] > 0


# --- deletion -------------------------------------------------------------------------------


def is_told(peer: RawPeer) -> bool:
    return peer.receive() == {"type": "room_closed", "reason": "deleted"} and peer.close_code() == 4004


def test_a_deleted_room_is_told_to_everyone(
    api: Api, account: dict[str, str], room: dict[str, Any], new_peer: NewPeer
) -> None:
    peers = [new_peer(name) for name in "abc"]
    answer = api.post("/delete-peers-and-room", account["id_token"], json={"room_id": room["room_id"]})
    assert (answer.status_code, answer.json()) == (200, {"status": "deleted"})
    assert all(map(is_told, peers))
    late = new_peer()
    refusal = late.ask(late.registration("late"))
    assert (refusal["code"], refusal["reason"]) == ("ROOM_EXPIRED", refusal["message"])
    assert late.close_code() == 4004
    guesser = new_peer()
    assert guesser.ask(guesser.registration("late", token="guess"))["code"] == "ROOM_NOT_FOUND"
    assert guesser.close_code() == 4003
    for path in ROOM_CALLS:
        gone = api.post(path, account["id_token"], json={"room_id": room["room_id"]})
        expect_failure(gone, 404, "ROOM_NOT_FOUND")


def test_the_creator_ends_a_room_by_a_peer_in_it(
    api: Api, account: dict[str, str], new_peer: NewPeer
) -> None:
    peers = [new_peer("by-name"), new_peer("bystander")]
    answer = api.post("/delete-peers-and-room", account["id_token"], json={"peer_id": "by-name"})
    assert answer.status_code == 200
    assert all(map(is_told, peers))


def test_a_peer_takes_itself_out_and_nobody_else(api: Api, new_peer: NewPeer) -> None:
    guest_account = api.sign_in()["id_token"]
    guest, bystander = new_peer(), new_peer("stays")
    guest.id_token = guest_account
    guest.register("guest")
    forbidden = api.post("/delete-peers-and-room", guest_account, json={"peer_id": "stays"})
    expect_failure(forbidden, 403, "FORBIDDEN")
    answer = api.post("/delete-peers-and-room", guest_account, json={"peer_id": "guest"})
    assert answer.status_code == 200
    assert is_told(guest)
    found = bystander.ask({"type": "discover_peers", "from_peer_id": "stays", "filters": {}})
    assert found["count"] == 0


def test_a_peer_that_is_nowhere_cannot_be_deleted(api: Api, account: dict[str, str]) -> None:
    answer = api.post("/delete-peers-and-room", account["id_token"], json={"peer_id": "nobody-at-all"})
    expect_failure(answer, 404, "ROOM_NOT_FOUND")
