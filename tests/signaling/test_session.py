"""A peer's side of the server, and what it says when things go wrong."""

import threading
from functools import partial

import pytest
import trio

from sleaprtc.errors import (
    InvalidFilterError,
    PeerIdTakenError,
    RoomExpiredError,
    RoomNotFoundError,
    SignalingLostError,
    SignalingUnreachableError,
    UsageError,
)
from sleaprtc.protocol.messages import Metadata, PeerMessage, Register
from sleaprtc.signaling.http import open_http
from sleaprtc.signaling.session import PING_INTERVAL_SEC, PONG_TIMEOUT_SEC, open_session

from ..support.lying_server import PATIENCE_SEC, ROOM_ID, TOKEN, lying_server, peer_list
from ..support.waiting import until


async def new_room(server):
    async with open_http(server.http_url) as http:
        account = await http.sign_in()
        return account, await http.create_room(account)


def registration(account, room, peer_id="peer", **changes):
    return Register(peer_id, room.room_id, room.token, account.id_token, **changes)


async def test_two_peers_find_and_write_to_each_other(server):
    account, room = await new_room(server)
    worker_metadata = Metadata(("sleap-rtc",), {"gpu_memory_mb": 8192})
    async with (
        open_session(
            server.ws_url,
            registration(account, room, "worker", role="worker", metadata=worker_metadata),
        ) as worker,
        open_session(server.ws_url, registration(account, room, "client")) as client,
    ):
        (found,) = await client.discover({"properties": {"gpu_memory_mb": {"$gte": 8192}}})
        assert (found.peer_id, found.role, found.metadata) == ("worker", "worker", worker_metadata)
        await client.send(PeerMessage("client", "worker", {"app_message_type": "job_stop"}))
        received = await worker.receive()
        assert received == PeerMessage("client", "worker", {"app_message_type": "job_stop"})
        merged = await worker.update_metadata(Metadata(properties={"status": "busy"}))
        assert merged.properties == {"gpu_memory_mb": 8192, "status": "busy"}


async def test_a_filter_that_cannot_be_read_is_an_error_of_that_request(server):
    account, room = await new_room(server)
    async with open_session(server.ws_url, registration(account, room)) as session:
        with pytest.raises(InvalidFilterError):
            await session.discover({"properties": {"a": {"$regex": "."}}})
        assert await session.discover({}) == ()


async def test_an_answer_to_a_request_that_was_cancelled_is_not_the_next_one_s():
    may_answer = threading.Event()

    def answer_late(message):
        may_answer.wait(PATIENCE_SEC)
        name = message["filters"]["role"]
        return peer_list(message, {"peer_id": name, "role": "worker", "metadata": {}, "connected_at": 0})

    with lying_server() as server:
        server.messages["discover_peers"] = answer_late
        async with open_session(server.ws_url, Register("me", ROOM_ID, TOKEN, "e30.e30.c2ln")) as session:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(session.discover, {"role": "first"})
                await until(lambda: "discover_peers" in server.calls)
                nursery.cancel_scope.cancel()
            may_answer.set()
            (second,) = await session.discover({"role": "second"})
            (third,) = await session.discover({"role": "third"})
    assert (second.peer_id, third.peer_id) == ("second", "third")


async def test_a_wrong_token_is_refused(server):
    account, room = await new_room(server)
    wrong = Register("peer", room.room_id, "wrong!", account.id_token)
    with pytest.raises(RoomNotFoundError):
        async with open_session(server.ws_url, wrong):
            pytest.fail("was let in")


async def test_a_taken_name_is_refused(server):
    account, room = await new_room(server)
    async with open_session(server.ws_url, registration(account, room)):
        with pytest.raises(PeerIdTakenError):
            async with open_session(server.ws_url, registration(account, room)):
                pytest.fail("was let in")


async def test_the_end_of_the_room_is_told(start_server):
    server = await start_server(room_ttl_sec=2)
    account, room = await new_room(server)
    async with open_session(server.ws_url, registration(account, room)) as session:
        with trio.fail_after(60), pytest.raises(RoomExpiredError, match="expired"):
            await session.receive()


async def test_a_server_that_ends_is_noticed_by_every_call(start_server):
    stop = trio.Event()
    server = await start_server(stop=stop)
    account, room = await new_room(server)
    async with open_session(server.ws_url, registration(account, room)) as session:
        stop.set()
        with trio.fail_after(60), pytest.raises(SignalingLostError):
            await session.receive()
        with pytest.raises(SignalingLostError):
            await session.discover({})


async def test_nothing_listens_there():
    with pytest.raises(SignalingUnreachableError, match=r"127\.0\.0\.1:9"):
        async with open_http("http://127.0.0.1:9") as http:
            await http.sign_in()
    with pytest.raises(SignalingUnreachableError, match=r"127\.0\.0\.1:9"):
        async with open_session("ws://127.0.0.1:9/", Register("a", "b", "c", "d")):
            pytest.fail("connected")


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "http://x", "ws://", "ws://host:port/"])
async def test_an_address_that_is_none(url):
    with pytest.raises(UsageError):
        async with open_session(url, Register("a", "b", "c", "d")):
            pytest.fail("connected")


async def test_something_else_listens_there(nursery):
    async def answer_with_garbage(stream):
        await stream.receive_some()
        await stream.send_all(b"220 mail.example ESMTP\r\n\r\n")
        await stream.aclose()

    listeners = await nursery.start(partial(trio.serve_tcp, answer_with_garbage, 0, host="127.0.0.1"))
    port = listeners[0].socket.getsockname()[1]
    with trio.fail_after(60), pytest.raises(SignalingUnreachableError):
        async with open_http(f"http://127.0.0.1:{port}") as http:
            await http.sign_in()
    with trio.fail_after(60), pytest.raises(SignalingUnreachableError):
        async with open_session(f"ws://127.0.0.1:{port}/", Register("a", "b", "c", "d")):
            pytest.fail("connected")


async def test_a_path_that_is_gone_without_a_word_is_noticed_within_forty_seconds():
    """A worker on such a path is in the room and answers nobody. tests/faults breaks real ones."""
    assert PING_INTERVAL_SEC + PONG_TIMEOUT_SEC <= 40
