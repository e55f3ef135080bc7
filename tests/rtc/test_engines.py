"""Every engine with every other: what peers rely on doesn't depend on the engine."""

from __future__ import annotations

import itertools
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import trio

from sleaprtc.errors import ChannelClosedError, ConnectionFailedError, UsageError
from sleaprtc.protocol.limits import MIB
from sleaprtc.protocol.messages import Answer, Candidate, IceServer, Offer
from sleaprtc.rtc import engines
from sleaprtc.rtc.engines import sdp
from sleaprtc.rtc.peer import IceSettings, Peer
from sleaprtc.transfer.stream import open_transfers

from ..rtc.pairs import only_in_sdp, only_trickled, say_hello, twice_and_odd
from ..support.waiting import until
from .pairs import Signaling, open_side, run_pair

HAS_LIBWEBRTC = find_spec("webrtc") is not None
needs_libwebrtc = pytest.mark.skipif(not HAS_LIBWEBRTC, reason="the extra `fast` isn't installed")
PAIRS = [
    pytest.param(pair, id="-".join(pair), marks=[needs_libwebrtc] if "libwebrtc" in pair else [])
    for pair in itertools.product(("aiortc", "libwebrtc"), repeat=2)
]
EITHER = [PAIRS[0], PAIRS[3]]


@pytest.mark.parametrize("pair", PAIRS)
async def test_messages_arrive_in_order_and_the_close_after_them(pair: tuple[str, str]) -> None:
    messages = [
        "text",
        "",
        "ünï🪰",
        b"",
        os.urandom(16 * 1024),
        os.urandom(60_000),
        *(bytes([n]) for n in range(99)),
    ]

    async def send(peer: Peer) -> None:
        assert peer.engine == pair[0]
        assert peer.path is not None
        assert peer.path.kind == "direct"
        for message in messages:
            await peer.channel.send(message)

    async def receive(peer: Peer) -> None:
        assert peer.engine == pair[1]
        assert [await peer.channel.receive() for _ in messages] == messages
        with trio.fail_after(60), pytest.raises(ChannelClosedError, match="closed"):
            await peer.channel.receive()

    await run_pair(send, receive, engines=pair)


@pytest.mark.parametrize("pair", PAIRS)
async def test_files_arrive_in_both_directions_at_once(pair: tuple[str, str], tmp_path: Path) -> None:
    content = os.urandom(2 * MIB + 1)
    (tmp_path / "x.bin").write_bytes(content)

    async def exchange(peer: Peer) -> None:
        directory = tmp_path / peer.remote_id
        async with open_transfers(peer.channel) as transfers, trio.open_nursery() as nursery:

            async def send() -> None:
                await transfers.send_file(tmp_path / "x.bin", purpose="dataset")

            nursery.start_soon(send)
            path = await (await transfers.next_offer()).accept(directory)
            assert path.read_bytes() == content

    await run_pair(exchange, exchange, engines=pair)


@pytest.mark.parametrize("change", [only_trickled, only_in_sdp, twice_and_odd])
@pytest.mark.parametrize("pair", PAIRS[1:])
async def test_whichever_way_candidates_come_the_peers_connect(pair: tuple[str, str], change: object) -> None:
    await run_pair(say_hello, say_hello, Signaling(change), engines=pair)


@pytest.mark.parametrize("pair", EITHER)
async def test_candidates_travel_both_ways_and_stay_on_loopback(pair: tuple[str, str]) -> None:
    signaling = Signaling()
    await run_pair(say_hello, say_hello, signaling, engines=pair)
    for kind, name in ((Offer, "a"), (Answer, "b")):
        [description] = [message for message in signaling.messages if isinstance(message, kind)]
        told = [m.candidate for m in signaling.messages if isinstance(m, Candidate) and m.sender == name]
        assert sdp.candidates(description.sdp)
        assert "" not in told  # the end of candidates is not in the protocol
        for candidate in (*sdp.candidates(description.sdp), *told[:-1]):
            assert sdp.is_loopback(candidate)


@needs_libwebrtc
async def test_loopback_is_each_connection_s_own_setting() -> None:
    signaling = Signaling()
    with pytest.raises(ConnectionFailedError):
        async with open_side("a", signaling, ice=IceSettings(), engine="libwebrtc", connect_timeout_sec=0.5):
            pass
    candidates = [m.candidate for m in signaling.messages if isinstance(m, Candidate)]
    assert not any(sdp.is_loopback(candidate) for candidate in candidates)


@pytest.mark.parametrize("pair", EITHER)
async def test_closing_the_channel_is_noticed(pair: tuple[str, str]) -> None:
    async def close(peer: Peer) -> None:
        await say_hello(peer)
        await peer.channel.aclose()
        with pytest.raises(ChannelClosedError):
            await peer.channel.send("x")

    async def notice(peer: Peer) -> None:
        await say_hello(peer)
        with trio.fail_after(60), pytest.raises(ChannelClosedError, match="closed"):
            await peer.channel.receive()

    await run_pair(close, notice, engines=pair)


@pytest.mark.parametrize("pair", EITHER)
async def test_leaving_frees_every_socket_and_task(pair: tuple[str, str]) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    await run_pair(say_hello, say_hello, engines=pair)  # the stack opens now what it keeps for the process
    before_files = open_files()
    before_tasks = trio.lowlevel.current_statistics().tasks_living
    for _ in range(3):
        await run_pair(say_hello, say_hello, engines=pair)
    await until(lambda: open_files() <= before_files)
    assert trio.lowlevel.current_statistics().tasks_living == before_tasks


@pytest.mark.parametrize("pair", EITHER)
async def test_a_broken_offer_and_a_broken_server_address_have_their_sentences(pair: tuple[str, str]) -> None:
    signaling = Signaling()
    await signaling.send(Offer("a", "b", "v=0\r\n"))
    with pytest.raises(ConnectionFailedError, match=r"offer can't be used|no data channel"):
        async with open_side("b", signaling, engine=pair[0]):
            pass
    broken = IceSettings(servers=(IceServer(urls=("http://x",)),))
    with pytest.raises(ConnectionFailedError, match="engine failed"):
        async with open_side("a", Signaling(), ice=broken, engine=pair[0]):
            pass


@pytest.mark.parametrize("pair", EITHER)
async def test_cancelling_the_attempt_leaves_nothing_behind(pair: tuple[str, str]) -> None:
    for timeout_sec in (0, 0.001, 0.02, 0.2):
        with trio.move_on_after(timeout_sec) as scope:
            async with open_side("a", Signaling(), engine=pair[0]):
                pass
        assert scope.cancelled_caught


async def test_the_fastest_installed_engine_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engines.engine_class("auto").name == ("libwebrtc" if HAS_LIBWEBRTC else "aiortc")
    assert engines.engine_class("aiortc").name == "aiortc"
    monkeypatch.delitem(sys.modules, "sleaprtc.rtc.engines.libwebrtc_engine", raising=False)
    monkeypatch.setitem(sys.modules, "webrtc", None)
    assert engines.engine_class("auto").name == "aiortc"
    with pytest.raises(UsageError, match=r"pip install .*\[fast\]"):
        engines.engine_class("libwebrtc")
