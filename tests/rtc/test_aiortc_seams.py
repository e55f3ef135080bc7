"""Non-public parts of aiortc that this package relies on. A failure names what a new release changed."""

from __future__ import annotations

import inspect
from collections import deque

import aioice
import aiortc
import pytest
from aiortc import rtcsctptransport
from aiortc.rtcsctptransport import SackChunk

from sleaprtc.protocol.limits import MIB
from sleaprtc.rtc.engines.aiortc_sctp import PACKETS_PER_SACK, QuickSctpTransport
from sleaprtc.rtc.peer import Peer

from ..support.waiting import until
from .pairs import run_pair


def sctp_of(peer: Peer) -> QuickSctpTransport:
    sctp = peer.channel._engine._connection.sctp
    assert isinstance(sctp, QuickSctpTransport)
    return sctp


@pytest.mark.parametrize("name", ["_send_sack", "_receive_sack_chunk", "_transmit", "_t3_expired"])
def test_each_overridden_method_has_the_signature_it_had(name: str) -> None:
    theirs, ours = (getattr(cls, name) for cls in (aiortc.RTCSctpTransport, QuickSctpTransport))
    assert inspect.iscoroutinefunction(theirs) == inspect.iscoroutinefunction(ours)
    assert len(inspect.signature(theirs).parameters) == len(inspect.signature(ours).parameters)


def test_what_the_overrides_are_built_on_is_called_where_it_was() -> None:
    def names(method: object) -> tuple[str, ...]:
        return method.__code__.co_names

    theirs = aiortc.RTCSctpTransport
    assert {"_sack_needed", "_send_sack"} <= set(names(theirs._handle_data))
    assert "_transmit" in names(theirs._receive_sack_chunk)
    assert "_transmit" in names(theirs._send)
    assert {"_sent_queue", "_outbound_queue", "_retransmit"} <= set(names(theirs._transmit))
    # Only these two mark chunks for retransmission, and the override handles both.
    marking = [
        name
        for name, method in inspect.getmembers(theirs, inspect.isfunction)
        if "._retransmit = True" in inspect.getsource(method)
    ]
    assert marking == ["_receive_sack_chunk", "_t3_expired"]


async def test_the_attributes_that_are_read_are_there() -> None:
    async def look(peer: Peer) -> None:
        sctp = sctp_of(peer)
        assert isinstance(sctp._sent_queue, deque)
        assert isinstance(sctp._sack_misordered, set)
        assert isinstance(sctp._sack_duplicates, list)
        ice = sctp.transport.transport.iceGatherer._connection
        assert isinstance(ice, aioice.Connection)
        assert ice._nominated[1].local_candidate.host == "127.0.0.1"
        assert inspect.iscoroutinefunction(aioice.Connection.get_component_candidates)
        assert list(SackChunk().gaps) == []
        await peer.channel.send("done")
        assert await peer.channel.receive() == "done"

    await run_pair(look, look)


async def test_packets_are_acknowledged_by_the_handful_and_the_last_ones_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Without an immediate acknowledgement, SCTP would retransmit only after that.
    monkeypatch.setattr(rtcsctptransport, "SCTP_RTO_MIN", rtcsctptransport.SCTP_RTO_MAX)
    sacks: list[int] = []
    size_bytes = MIB

    async def send(peer: Peer) -> None:
        sctp = sctp_of(peer)
        take = sctp._receive_sack_chunk

        async def note(chunk: SackChunk) -> None:
            sacks.append(chunk.cumulative_tsn)
            await take(chunk)

        sctp._receive_sack_chunk = note
        for _ in range(size_bytes // 16384):
            await peer.channel.send(bytes(16384))
        assert await peer.channel.receive() == "all here"
        await until(lambda: not sctp._sent_queue)

    async def receive(peer: Peer) -> None:
        for _ in range(size_bytes // 16384):
            await peer.channel.receive()
        await peer.channel.send("all here")
        await peer.channel.closed_event.wait()

    await run_pair(send, receive)
    packets = size_bytes / 1160
    assert len(sacks) < 2 * packets / PACKETS_PER_SACK


async def test_lost_packets_are_sent_again() -> None:
    content = [bytes([number]) * 16384 for number in range(64)]

    async def send(peer: Peer) -> None:
        dtls = sctp_of(peer).transport
        send_data = dtls._send_data
        sent = 0

        async def lose_some(data: bytes) -> None:
            nonlocal sent
            sent += 1
            if sent % 50:
                await send_data(data)

        dtls._send_data = lose_some
        for message in content:
            await peer.channel.send(message)
        assert await peer.channel.receive() == "all here"

    async def receive(peer: Peer) -> None:
        assert [await peer.channel.receive() for _ in content] == content
        await peer.channel.send("all here")
        await peer.channel.closed_event.wait()

    await run_pair(send, receive, timeout_sec=60)


async def test_ice_takes_its_sockets_from_the_loop_s_public_method() -> None:
    async def look(peer: Peer) -> None:
        bridge = peer.channel._bridge
        assert len(bridge._transports) == 1
        ice = sctp_of(peer).transport.transport.iceGatherer._connection
        assert {protocol.transport for protocol in ice._protocols} == bridge._transports
        await peer.channel.send("done")
        assert await peer.channel.receive() == "done"

    await run_pair(look, look)
