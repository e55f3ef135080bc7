"""Guessing room tokens, and taking all connections: the limit hits whoever does it, and nobody else."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from typing import Any

import attrs
import httpx
import pytest
import trio

from sleaprtc.errors import RateLimitedError
from sleaprtc.rooms.room import Peer, Room
from sleaprtc.server.admission import Applicant, GuessLimits, site_of
from sleaprtc.server.settings import ServerSettings

from ..server.trio_peer import Lab, open_lab, open_stream
from ..support.raw_websocket import UPGRADE
from ..support.waiting import until

StartServer = Callable[..., Any]


async def new_account(lab: Lab) -> str:
    return (await lab.http.post("/anonymous-signin", json={})).json()["id_token"]


async def guess(lab: Lab, id_token: str, token: str = "a guess") -> dict[str, Any]:
    async with lab.peer() as peer:
        answer = await peer.attempt("guesser", id_token=id_token, token=token)
        if answer["type"] == "error":
            answer["close_code"] = await peer.close_code()
        return answer


async def test_an_account_that_guesses_is_shut_out_even_with_the_right_token(
    start_server: StartServer,
) -> None:
    server = await start_server(wrong_token_burst=3, wrong_tokens_per_sec=0.001)
    async with open_lab(server.ws_url, server.http_url) as lab:
        guesser = await new_account(lab)
        for _ in range(3):
            wrong = await guess(lab, guesser)
            assert (wrong["code"], wrong["close_code"]) == ("ROOM_NOT_FOUND", 4003)
        for token in ("a guess", lab.room["token"]):
            refused = await guess(lab, guesser, token)
            assert (refused["code"], refused["close_code"]) == ("RATE_LIMITED", 4029)
            assert "wrong room tokens" in refused["reason"]


async def test_a_guesser_locks_no_member_out(start_server: StartServer) -> None:
    server = await start_server(wrong_token_site_burst=4, wrong_tokens_per_sec=0.001)
    async with (
        open_lab(server.ws_url, server.http_url) as lab,
        lab.peer("member") as member,
    ):
        guesser = await new_account(lab)
        codes = [(await guess(lab, guesser))["code"] for _ in range(6)]
        assert codes == ["ROOM_NOT_FOUND"] * 4 + ["RATE_LIMITED"] * 2
        # From the same address, into the same room: a member of before, and somebody quite new.
        async with lab.peer("second", id_token=await new_account(lab)), lab.peer("third"):
            assert await member.finds("member", "second")
            assert await member.finds("member", "third")


async def test_guesses_at_rooms_that_do_not_exist_count_alike(start_server: StartServer) -> None:
    server = await start_server(wrong_token_burst=1, wrong_tokens_per_sec=0.001)
    async with open_lab(server.ws_url, server.http_url) as lab:
        answers = []
        for room_id in (lab.room["room_id"], "nowhere0"):
            account = await new_account(lab)
            for _ in range(2):
                async with lab.peer() as peer:
                    answers.append(await peer.attempt("x", id_token=account, room_id=room_id, token="?"))
    assert answers[:2] == answers[2:]


def test_of_many_accounts_that_guess_each_is_heard_once_and_members_always() -> None:
    settings = ServerSettings(state_dir=None, wrong_token_burst=5, wrong_token_site_burst=20)  # type: ignore[arg-type]
    limits = GuessLimits(settings)
    heard = 0
    for number in range(500):
        applicant = Applicant(f"account-{number % 100}", f"198.51.100.{number % 7}", "room")
        try:
            limits.check(applicant, 0.0)
        except RateLimitedError:
            continue
        heard += 1
        limits.note_wrong_token(applicant, 0.0)
    assert heard == 100
    limits.check(Applicant("member", "198.51.100.1", "room"), 0.0)
    # What was wrong is made up for in time.
    limits.check(Applicant("account-1", "198.51.100.1", "room"), 1e5)


def test_long_names_do_not_fill_the_memory() -> None:
    limits = GuessLimits(ServerSettings(state_dir=None))  # type: ignore[arg-type]
    for number in range(20_000):
        limits.note_wrong_token(Applicant(f"account-{number}", "::1", f"{number}" + "x" * 1000), 0.0)
    for buckets in (limits._by_account, limits._by_room):
        assert len(buckets._buckets) <= 10_000
        assert max(len(key) for key in buckets._buckets) < 200  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_addresses_that_count_as_one(address: str, site: str) -> None:
    assert site_of(address) == site


async def test_connections_of_one_address_are_limited_and_come_free_again(start_server: StartServer) -> None:
    server = await start_server(max_connections_per_address=3)
    async with open_lab(server.ws_url, server.http_url) as lab:
        async with lab.peer("a"), lab.peer("b"), lab.peer("c"):
            async with await open_stream(server.ws_url) as fourth:
                await fourth.send_all(UPGRADE)
                answer = b""
                while part := await fourth.receive_some():
                    answer += part
            assert answer.startswith(b"HTTP/1.1 429 ")
            assert answer.endswith(b"Too many connections from this address.\n")

        async def connection_count() -> int:
            return int((await lab.http.get("/metrics")).json()["active_connections"])

        await until(connection_count, becomes=False)
        async with lab.peer("a"), lab.peer("b"):
            pass


async def test_rooms_that_are_asked_for_at_once_are_counted_too(start_server: StartServer) -> None:
    server = await start_server(max_rooms_per_account=3)
    async with open_lab(server.ws_url, server.http_url) as lab:  # has one room
        statuses: list[int] = []

        async def create() -> None:
            response: httpx.Response = await lab.post("/create-room")
            statuses.append(response.status_code)

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(create)
    assert sorted(statuses) == [200] * 2 + [429] * 8


async def test_a_flood_of_unknown_keys_keeps_nobody_out(start_server: StartServer) -> None:
    server = await start_server()
    async with open_lab(server.ws_url, server.http_url) as lab:
        _, payload, signature = lab.id_token.split(".")

        async def flood(number: int) -> None:
            kid = _encoded({"alg": "ES256", "typ": "JWT", "kid": f"unknown-{number}"})
            answer = await guess(lab, f"{kid}.{payload}.{signature}")
            assert (answer["code"], answer["close_code"]) == ("INVALID_TOKEN", 4001)

        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(flood, number)
            async with lab.peer("member"), lab.peer("other") as other:
                assert await other.finds("other", "member")


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


async def test_refused_again_and_again_does_not_fill_the_log(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sleaprtc.server.peer_log.LINE_BURST", 10)
    monkeypatch.setattr("sleaprtc.server.peer_log.LINES_PER_SEC", 0.001)
    caplog.set_level(logging.INFO)
    server = await start_server()
    async with open_lab(server.ws_url, server.http_url) as lab:
        account = await new_account(lab)
        for _ in range(15):
            await guess(lab, account)
    lines = [record.getMessage() for record in caplog.records if record.name == "sleaprtc.server.peer_log"]
    assert sum("A registration was refused." in line for line in lines) == 10
    assert sum("Lines about an address are left out." in line for line in lines) == 1


def test_secrets_are_in_no_repr() -> None:
    for cls, name in ((Room, "token"), (Peer, "resume_token")):
        assert not attrs.fields_dict(cls)[name].repr
