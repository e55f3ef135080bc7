"""Limits in number and rate, on servers whose limits are small."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed

from sleaprtc.protocol.limits import MIB

from ..support.raw_websocket import UPGRADE
from ..support.waiting import until
from .trio_peer import open_lab, open_stream, to

StartServer = Callable[..., Any]
LARGE = "x" * 200_000


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves peers on a busy machine enough time to read why their connection ends."""
    monkeypatch.setattr("sleaprtc.server.session.CLOSE_GRACE_SEC", 60.0)


async def test_a_connection_registers_in_time_or_is_closed(start_server: StartServer) -> None:
    server = await start_server(registration_timeout_sec=2)
    async with (
        open_lab(server.ws_url, server.http_url) as lab,
        lab.peer("registered") as registered,
        lab.peer() as silent,
        lab.peer() as talking,
    ):
        assert (await talking.ask({"type": "nonsense"}))["code"] == "UNKNOWN_MESSAGE_TYPE"
        assert await silent.close_code() == 4008
        assert await talking.close_code() == 4008
        assert await registered.ask(to("registered", "registered")) == to("registered", "registered")


async def test_a_flood_is_refused_and_then_ended(start_server: StartServer) -> None:
    server = await start_server(
        messages_per_sec=0.01, message_burst=11, refused_messages_per_sec=0.01, refused_message_burst=3
    )
    async with (
        open_lab(server.ws_url, server.http_url) as lab,
        lab.peer("flooder") as flooder,
        lab.peer("calm") as calm,
    ):
        for _ in range(15):
            await flooder.send(to("calm", "flooder"))
        assert [(await flooder.receive())["code"] for _ in range(4)] == ["RATE_LIMITED"] * 4
        assert await flooder.close_code() == 4029
        for _ in range(10):
            assert await calm.receive() == to("calm", "flooder")
        assert (await calm.ask(to("flooder", "calm")))["code"] == "PEER_NOT_IN_ROOM"


async def test_a_flood_before_registration_is_ended_too(start_server: StartServer) -> None:
    server = await start_server(
        messages_per_sec=0.01, message_burst=1, refused_messages_per_sec=0.01, refused_message_burst=1
    )
    async with open_lab(server.ws_url, server.http_url) as lab, lab.peer() as flooder:
        for _ in range(3):
            await flooder.send({})
        assert await flooder.close_code() == 4029


async def test_a_room_takes_so_many_peers(start_server: StartServer) -> None:
    server = await start_server(max_peers_per_room=2)
    async with (
        open_lab(server.ws_url, server.http_url) as lab,
        lab.peer() as first,
        lab.peer("second"),
        lab.peer() as third,
        lab.peer() as first_again,
    ):
        resume_token = (await first.register("first"))["resume_token"]
        refusal = await third.attempt("third")
        assert (refusal["code"], refusal["reason"]) == ("TOO_LARGE", refusal["message"])
        assert await third.close_code() == 1013
        await first_again.register("first", resume_token=resume_token)


async def fill_until_refused(sender: Any, target: str) -> None:
    """Sends to a peer that doesn't read until the server has no place left for it."""
    async with trio.open_nursery() as nursery:

        async def flood() -> None:
            while True:
                await sender.send(to(target, "sender", x=LARGE))

        nursery.start_soon(flood)
        assert (await sender.receive())["code"] == "DELIVERY_FAILED"
        nursery.cancel_scope.cancel()


async def test_a_slow_consumer_is_closed_and_nobody_else_waits(start_server: StartServer) -> None:
    server = await start_server(outbox_messages=20, write_timeout_sec=0.3)
    async with (
        open_lab(server.ws_url, server.http_url) as lab,
        lab.peer("slow") as slow,
        lab.peer("sender") as sender,
        lab.peer("a") as a,
        lab.peer("b") as b,
    ):
        await fill_until_refused(sender, "slow")
        await a.send(to("b", "a"))
        assert await b.receive() == to("b", "a")
        await trio.sleep(0.5)
        assert (await a.ask(to("slow", "a")))["code"] == "DELIVERY_FAILED"
        # It reads again in time to see why.
        assert await slow.close_code() == 1013


async def test_a_flood_costs_its_sender_alone(start_server: StartServer) -> None:
    """A peer that reads again has lost only messages that were reported to the flooder."""
    server = await start_server(outbox_messages=20)
    async with (
        open_lab(server.ws_url, server.http_url) as lab,
        lab.peer("slow") as slow,
        lab.peer("sender") as sender,
        lab.peer("a") as a,
    ):
        await fill_until_refused(sender, "slow")
        for number in range(16):
            await a.send(to("slow", "a", number=number))
        assert await a.finds("a", "slow")
        received = []
        while len(received) < 16:
            message = await slow.receive()
            if message["from_peer_id"] == "a":
                received.append(message["payload"]["number"])
        assert received == list(range(16))


async def test_answers_that_nobody_reads_end_a_connection(start_server: StartServer, patient: None) -> None:
    server = await start_server(outbox_messages=20)
    async with (
        open_lab(server.ws_url, server.http_url) as lab,
        lab.peer("slow", metadata={"properties": {"x": LARGE[:20_000]}}) as slow,
        lab.peer("a", metadata={"properties": {"x": LARGE[:20_000]}}) as a,
    ):
        with suppress(ConnectionClosed):
            for _ in range(1000):
                await slow.send({"type": "discover_peers", "from_peer_id": "slow", "filters": {}})
        assert await slow.close_code() == 1013
        await until(lambda: a.finds("a", "slow"), becomes=False)


async def test_many_slow_consumers_have_one_budget(start_server: StartServer) -> None:
    server = await start_server(
        outboxes_bytes=4 * MIB, outbox_share_bytes=MIB // 4, outbox_messages=10_000, write_timeout_sec=1
    )
    async with (
        open_lab(server.ws_url, server.http_url) as lab,
        lab.peer("slow-1"),
        lab.peer("sender") as sender,
        lab.peer("a") as a,
        lab.peer("b") as b,
    ):
        # 32 MiB may wait for each of them otherwise.
        for _ in range(16 * MIB // len(LARGE)):
            await sender.send(to("slow-1", "sender", x=LARGE))
        for _ in range(3):  # who reads has a share whatever others leave unread
            await a.send(to("b", "a", x=LARGE))
            assert await b.receive() == to("b", "a", x=LARGE)
        assert (await sender.receive())["code"] == "DELIVERY_FAILED"
        await until(lambda: b.finds("b", "slow-1"), becomes=False)


async def test_a_peer_that_never_reads_is_forgotten(start_server: StartServer) -> None:
    server = await start_server(outbox_messages=20, write_timeout_sec=0.3)
    async with (
        open_lab(server.ws_url, server.http_url) as lab,
        lab.peer("slow"),
        lab.peer("a") as a,
    ):
        async with lab.peer("sender") as sender:
            await fill_until_refused(sender, "slow")
        await until(lambda: a.finds("a", "slow"), becomes=False)


async def test_writing_has_a_deadline(start_server: StartServer) -> None:
    server = await start_server(write_timeout_sec=0.5)
    async with (
        open_lab(server.ws_url, server.http_url) as lab,
        lab.peer("slow"),
        lab.peer("sender") as sender,
    ):
        # More than the sockets hold, less than the outbox does.
        for _ in range(100):
            await sender.send(to("slow", "sender", x=LARGE))
        await until(lambda: sender.finds("sender", "slow"), becomes=False)


async def test_sign_ins_from_one_address_are_limited(start_server: StartServer) -> None:
    server = await start_server(sign_in_burst=2, sign_ins_per_sec=0.1)
    async with httpx.AsyncClient(base_url=server.http_url) as http:
        answers = [await http.post("/anonymous-signin") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 10
    assert answers[2].json()["error"] == "RATE_LIMITED"


async def test_rooms_from_one_address_are_limited(start_server: StartServer) -> None:
    server = await start_server(room_burst=1, rooms_per_sec=0.1)
    async with open_lab(server.ws_url, server.http_url) as lab:
        answer = await lab.post("/create-room")
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 10


async def test_rooms_of_one_account_are_limited(start_server: StartServer) -> None:
    server = await start_server(max_rooms_per_account=2)
    async with open_lab(server.ws_url, server.http_url) as lab:
        assert (await lab.post("/create-room")).status_code == 200
        refused = await lab.post("/create-room")
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
        await lab.post("/delete-peers-and-room", room_id=lab.room["room_id"])
        assert (await lab.post("/create-room")).status_code == 200


async def test_nobody_new_is_let_in_while_the_server_leaves(start_server: StartServer) -> None:
    stop = trio.Event()
    server = await start_server(stop=stop)
    # The server waits for a peer that doesn't read: two messages fill its queue of one.
    async with open_lab(server.ws_url, server.http_url) as lab, lab.peer("slow") as slow:
        for _ in range(3):
            await slow.send(to("slow", "slow"))
        await trio.sleep(0.1)
        stop.set()
        await trio.testing.wait_all_tasks_blocked()
        answers = [await lab.http.get("/health"), await lab.post("/create-room")]
        assert [answer.status_code for answer in answers] == [503, 503]
        assert answers[0].json().keys() == {"error", "message"}
        async with await open_stream(server.ws_url) as stream:
            await stream.send_all(UPGRADE)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 503")
        assert await slow.close_code() == 1001


async def test_a_short_room_ends_for_real(start_server: StartServer) -> None:
    server = await start_server(room_ttl_sec=2)
    async with open_lab(server.ws_url, server.http_url) as lab, lab.peer("a") as a, lab.peer() as late:
        assert await a.receive() == {"type": "room_closed", "reason": "expired"}
        assert await a.close_code() == 4004
        assert (await late.attempt("late"))["code"] == "ROOM_EXPIRED"
        assert await late.close_code() == 4004
        assert (await lab.post("/renew-room", room_id=lab.room["room_id"])).status_code == 404


async def test_a_room_that_ends_at_once(start_server: StartServer) -> None:
    server = await start_server(room_ttl_sec=1e-9)
    async with open_lab(server.ws_url, server.http_url) as lab, lab.peer() as late:
        assert (await late.attempt("late"))["code"] == "ROOM_EXPIRED"
        assert (await lab.post("/renew-room", room_id=lab.room["room_id"])).status_code == 404
        assert (await lab.http.get("/health")).status_code == 200
