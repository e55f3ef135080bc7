"""A place in a room that survives the server's restarts."""

import itertools
import random

import pytest
import trio

from sleaprtc.errors import RoomExpiredError, SignalingLostError
from sleaprtc.protocol.jobs import JobStop
from sleaprtc.protocol.messages import Metadata, PeerMessage
from sleaprtc.signaling.http import Endpoints, open_http
from sleaprtc.signaling.link import BACKOFF_MOST_SEC, Membership, backoff_delays, open_link

from ..support.ports import free_port
from ..support.waiting import until


async def membership(server, peer_id, room=None):
    async with open_http(server.http_url) as http:
        account = await http.sign_in()
        room = room or await http.create_room(account)
    endpoints = Endpoints(server.ws_url, server.http_url)
    return Membership(endpoints, room, peer_id, "worker", Metadata(("t",), {"a": 1})), account


async def test_a_restarted_server_gets_its_peers_back(start_server):
    ports = {"ws_port": free_port(), "http_port": free_port()}
    stop = trio.Event()
    server = await start_server(stop=stop, **ports)
    member, account = await membership(server, "worker")
    sentences = []
    with trio.fail_after(60):
        async with open_link(member, account, on_change=sentences.append) as link:
            assert link.is_settled
            await link.update_metadata(Metadata(properties={"status": "busy"}))
            stop.set()
            await until(lambda: not link.is_connected)
            with pytest.raises(SignalingLostError):
                await link.discover({})
            await start_server(**ports)
            other, other_account = await membership(server, "other", member.room)
            async with open_link(other, other_account) as second:
                await second.deliver_job_message("worker", JobStop("j"))
                found = await until(lambda: second.discover({"properties": {"status": "busy"}}))
                assert found[0].metadata.properties == {"a": 1, "status": "busy"}
                await second.send_job_message("worker", JobStop("job"))
                received = await link.receive()
                while not isinstance(received, PeerMessage):
                    received = await link.receive()
                assert received.payload["job_id"] in ("j", "job")
            assert not link.is_settled  # others may come back later
    assert any("Trying again" in sentence for sentence in sentences)
    assert len(set(sentences)) == len(sentences)
    assert "Back in the room." in sentences


async def test_a_room_that_ends_is_final(start_server):
    server = await start_server(room_ttl_sec=2)
    member, account = await membership(server, "worker")
    with trio.fail_after(60):
        async with open_link(member, account) as link:
            with pytest.raises(RoomExpiredError):
                await link.receive()
            with pytest.raises(RoomExpiredError):
                await link.deliver_job_message("other", JobStop("job"))


def test_waits_are_jittered_and_bounded():
    delays = list(itertools.islice(backoff_delays(random.Random(1)), 50))
    assert all(0 <= delay <= BACKOFF_MOST_SEC for delay in delays)
    assert len(set(delays)) == len(delays)
    assert max(delays[10:]) > 4 > max(delays[:4])
