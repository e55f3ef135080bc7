"""Two peers that connect over 127.0.0.1, each with an asyncio loop of its own inside one Trio run."""

from __future__ import annotations

import itertools
import math
import os
import warnings
from contextlib import suppress
from pathlib import Path

import aioice.ice
import attrs
import pytest
import trio

from sleaprtc.errors import ChannelClosedError, ConnectionFailedError, SignalingLostError, UsageError
from sleaprtc.protocol.limits import MIB
from sleaprtc.protocol.messages import Answer, Candidate, IceServer, Offer
from sleaprtc.rtc.engines import sdp
from sleaprtc.rtc.peer import IceSettings, Peer, open_peer

from ..rtc.pairs import only_in_sdp, only_trickled, say_hello, twice_and_odd
from .pairs import LOOPBACK, Message, Signaling, open_side, run_pair


async def test_messages_of_both_kinds_arrive_in_order() -> None:
    binary = [os.urandom(size) for size in (1, 16 * 1024, 60_000)]
    messages = ["text", "", "ünï🪰", b"", *binary, "end"]

    async def send(peer: Peer) -> None:
        for message in messages:
            await peer.channel.send(message)
        assert await peer.channel.receive() == "thanks"

    async def receive(peer: Peer) -> None:
        assert [await peer.channel.receive() for _ in messages] == messages
        await peer.channel.send("thanks")

    await run_pair(send, receive)


async def test_a_peer_tells_about_its_connection() -> None:
    peers: dict[str, Peer] = {}

    async def look(peer: Peer) -> None:
        peers[peer.remote_id] = peer
        await say_hello(peer)

    await run_pair(look, look)
    assert peers["a"].path is not None
    assert peers["b"].path is not None
    assert peers["a"].path.kind == "direct"
    assert peers["a"].path.local == peers["b"].path.remote
    assert peers["a"].local_fingerprints == peers["b"].remote_fingerprints
    assert len(peers["a"].remote_fingerprints[0]) == len("sha-256 ") + 95
    assert peers["a"].engine == "aiortc"


# --- candidates -----------------------------------------------------------------------------


async def test_candidates_travel_in_the_description_and_as_messages() -> None:
    signaling = Signaling()
    await run_pair(say_hello, say_hello, signaling)
    for kind, name in ((Offer, "a"), (Answer, "b")):
        [description] = [message for message in signaling.messages if isinstance(message, kind)]
        trickled = [m for m in signaling.messages if isinstance(m, Candidate) and m.sender == name]
        in_sdp = sdp.candidates(description.sdp)
        assert in_sdp
        assert all(" 127.0.0.1 " in candidate for candidate in in_sdp)
        assert tuple(message.candidate for message in trickled) == in_sdp
        assert {message.sdp_mid for message in trickled} == {"0"}


@pytest.mark.parametrize("change", [only_trickled, only_in_sdp, twice_and_odd])
async def test_whichever_way_candidates_come_the_peers_connect(change: object) -> None:
    await run_pair(say_hello, say_hello, Signaling(change))


async def test_candidates_that_overtake_the_description_count() -> None:
    held: dict[str, Offer | Answer] = {}
    missing: dict[str, int] = {}

    def description_last(message: Message) -> list[Message]:
        if not isinstance(message, Candidate):
            held[message.sender] = message
            missing[message.sender] = len(sdp.candidates(message.sdp))
            return []
        missing[message.sender] -= 1
        if missing[message.sender]:
            return [message]
        return [message, *only_trickled(held[message.sender])]

    await run_pair(say_hello, say_hello, Signaling(description_last))


async def test_a_flood_of_candidates_does_no_harm() -> None:
    def flood(message: Message) -> list[Message]:
        if not isinstance(message, Candidate):
            return [message]
        others = [f"candidate:{n} 1 udp {n} 127.0.0.1 {1024 + n} typ host" for n in range(300)]
        return [message, *(attrs.evolve(message, candidate=text) for text in others)]

    await run_pair(say_hello, say_hello, Signaling(flood))


async def test_no_server_is_asked_and_no_name_resolved_that_wasn_t_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("somebody was asked")

    monkeypatch.setattr(aioice.ice, "server_reflexive_candidate", refuse)
    monkeypatch.setattr(aioice.ice, "relayed_candidate", refuse)
    monkeypatch.setattr(aioice.ice, "get_or_create_mdns_protocol", refuse)
    await run_pair(say_hello, say_hello, Signaling(twice_and_odd))


async def test_named_servers_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def note(protocol: object, server: object) -> None:
        asked.append(server)
        raise ValueError("no answer")

    monkeypatch.setattr(aioice.ice, "server_reflexive_candidate", note)
    ice = IceSettings(servers=(IceServer(urls=("stun:127.0.0.1:3479",)),), loopback=True)
    await run_pair(say_hello, say_hello, ice=ice)
    assert asked == [("127.0.0.1", 3479)] * 2


async def test_a_malformed_server_address_is_an_error_with_a_sentence() -> None:
    ice = IceSettings(servers=(IceServer(urls=("http://x",)),), loopback=True)
    with pytest.raises(ConnectionFailedError, match="malformed uri"):
        async with open_side("a", Signaling(), ice=ice):
            pass


# --- closing --------------------------------------------------------------------------------


async def test_a_clean_close_is_noticed_at_once_and_after_what_was_sent() -> None:
    async def leave(peer: Peer) -> None:
        await peer.channel.receive()
        for number in range(50):
            await peer.channel.send(bytes([number]) * 10_000)

    async def stay(peer: Peer) -> None:
        await peer.channel.send("go")
        assert [(await peer.channel.receive())[0] for _ in range(50)] == list(range(50))
        with trio.fail_after(60):
            with pytest.raises(ChannelClosedError, match="other side closed"):
                await peer.channel.receive()
            await peer.wait_closed()
        with pytest.raises(ChannelClosedError):
            await peer.channel.send("too late")

    await run_pair(leave, stay)


async def test_a_channel_closes_without_its_connection_ending_in_errors() -> None:
    async def close(peer: Peer) -> None:
        await say_hello(peer)
        await peer.channel.aclose()
        await peer.channel.aclose()
        with pytest.raises(ChannelClosedError):
            await peer.channel.send("x")
        with pytest.raises(ChannelClosedError):
            await peer.channel.receive()

    async def notice(peer: Peer) -> None:
        await say_hello(peer)
        with trio.fail_after(60), pytest.raises(ChannelClosedError, match="closed"):
            await peer.channel.receive()

    await run_pair(close, notice)


async def test_a_cancelled_side_says_goodbye_too() -> None:
    async def be_cancelled(peer: Peer) -> None:
        await say_hello(peer)
        with trio.CancelScope() as scope:
            scope.cancel()
            await trio.sleep_forever()
        assert scope.cancelled_caught

    noticed = trio.Event()

    async def wait(peer: Peer) -> None:
        await say_hello(peer)
        with trio.fail_after(60), pytest.raises(ChannelClosedError, match="closed"):
            await peer.channel.receive()
        noticed.set()

    signaling = Signaling()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:

            async def cancelled_side() -> None:
                with trio.CancelScope() as scope:
                    async with open_side("a", signaling) as peer:
                        await say_hello(peer)
                        scope.cancel()
                        await trio.sleep_forever()
                assert scope.cancelled_caught

            async def other_side() -> None:
                async with open_side("b", signaling) as peer:
                    await wait(peer)

            nursery.start_soon(cancelled_side)
            nursery.start_soon(other_side)
    assert noticed.is_set()


async def test_a_silent_path_is_noticed_by_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when aioice stops checking consent, or under other names (RFC 7675)."""
    assert aioice.ice.CONSENT_FAILURES * aioice.ice.CONSENT_INTERVAL == 30
    monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.05)
    ready = {"a": trio.Event(), "b": trio.Event()}

    async def fall_silent(peer: Peer) -> None:
        await say_hello(peer)
        ready[peer.remote_id].set()
        await ready["b" if peer.remote_id == "a" else "a"].wait()
        monkeypatch.setattr(aioice.ice, "CONSENT_FAILURES", 1)
        monkeypatch.setattr(aioice.ice.StunProtocol, "datagram_received", lambda *args: None)
        with trio.fail_after(60), pytest.raises(ChannelClosedError, match="lost"):
            await peer.channel.receive()

    await run_pair(fall_silent, fall_silent)


async def test_leaving_frees_every_socket_and_task() -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    await run_pair(say_hello, say_hello)
    before_files = open_files()
    before_tasks = trio.lowlevel.current_statistics().tasks_living
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            await run_pair(say_hello, say_hello)
    assert open_files() <= before_files  # fewer where an earlier test's were still open before
    assert trio.lowlevel.current_statistics().tasks_living == before_tasks


async def test_an_error_in_the_body_leaves_as_it_is() -> None:
    async def fail(peer: Peer) -> None:
        await say_hello(peer)
        raise KeyError("mine")

    signaling = Signaling()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:

            async def failing_side() -> None:
                with pytest.raises(KeyError):
                    async with open_side("a", signaling) as peer:
                        await fail(peer)

            async def other_side() -> None:
                async with open_side("b", signaling) as peer:
                    await say_hello(peer)

            nursery.start_soon(failing_side)
            nursery.start_soon(other_side)


async def test_several_connections_at_once() -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(run_pair, say_hello, say_hello)


async def test_a_message_handler_can_t_be_made_to_raise() -> None:
    """A flood ends this connection with an error message, and has no other effect."""

    async def flood(peer: Peer) -> None:
        channel = peer.channel
        await say_hello(peer)
        for _ in range(65):
            channel.received(bytes(MIB))  # type: ignore[attr-defined]
        channel.received(b"more")  # type: ignore[attr-defined]
        for _ in range(65):
            assert await channel.receive() == bytes(MIB)
        with pytest.raises(ChannelClosedError, match="more than it was allowed to"):
            await channel.receive()

    async def other(peer: Peer) -> None:
        await say_hello(peer)
        with trio.fail_after(60), pytest.raises(ChannelClosedError, match="closed"):
            await peer.channel.receive()

    await run_pair(flood, other)


# --- what doesn't come about ----------------------------------------------------------------


async def test_no_answer_is_an_error_with_a_sentence() -> None:
    with pytest.raises(ConnectionFailedError, match=r"No answer .* came from b within 0\.3 seconds"):
        async with open_side("a", Signaling(), connect_timeout_sec=0.3):
            pass


async def test_no_offer_is_an_error_with_a_sentence() -> None:
    with pytest.raises(ConnectionFailedError, match=r"No connection offer came from a within 0\.3 seconds"):
        async with open_side("b", Signaling(), connect_timeout_sec=0.3):
            pass


async def test_no_path_is_an_error_that_names_the_remedy() -> None:
    def nowhere(message: Message) -> list[Message]:
        if isinstance(message, Candidate):
            return []
        return only_trickled(message)

    signaling = Signaling(nowhere)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for name in ("a", "b"):

                async def fail(name: str = name) -> None:
                    with pytest.raises(ConnectionFailedError, match="named no network address"):
                        async with open_side(name, signaling, connect_timeout_sec=1):
                            pass

                nursery.start_soon(fail)


async def test_a_description_that_is_none_is_an_error_with_a_sentence() -> None:
    def broken(message: Message) -> list[Message]:
        return [attrs.evolve(message, sdp="v=0\r\n")] if isinstance(message, Offer) else [message]

    signaling = Signaling(broken)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:

            async def offer() -> None:
                with pytest.raises(ConnectionFailedError, match="No answer"):
                    async with open_side("a", signaling, connect_timeout_sec=1):
                        pass

            nursery.start_soon(offer)
            with pytest.raises(ConnectionFailedError, match="offer"):
                async with open_side("b", signaling):
                    pass


async def test_signaling_that_fails_or_ends_too_early_ends_the_attempt() -> None:
    async def send(message: object) -> None:
        raise SignalingLostError("gone")

    _, incoming = trio.open_memory_channel[Message](math.inf)
    with pytest.raises(SignalingLostError, match="gone"):
        async with open_peer(
            local_id="a", remote_id="b", initiator=True, send=send, incoming=incoming, ice=LOOPBACK
        ):
            pass
    signaling = Signaling()
    signaling.close()
    with pytest.raises(ConnectionFailedError, match="ended too early"):
        async with open_side("b", signaling):
            pass


async def test_signaling_may_end_once_the_connection_is_made() -> None:
    signaling = Signaling()

    async def hello_twice(peer: Peer) -> None:
        await say_hello(peer)
        signaling.close()
        await trio.sleep(0.05)
        await say_hello(peer)

    await run_pair(hello_twice, hello_twice, signaling)


async def test_cancelling_the_attempt_leaves_nothing_behind() -> None:
    for timeout_sec in (0, 0.001, 0.02, 0.2):
        with trio.move_on_after(timeout_sec) as scope:
            async with open_side("a", Signaling()):
                pass
        assert scope.cancelled_caught


async def test_an_unknown_engine_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="auto, aiortc, libwebrtc"):
        async with open_side("a", Signaling(), engine="quick"):
            pass


async def test_sending_waits_while_the_other_side_is_behind() -> None:
    """The queue stays near the high-water mark, however much there is to send."""
    chunk = bytes(16 * 1024)
    sent = itertools.count()
    done = trio.Event()
    most_buffered = 0

    async def send(peer: Peer) -> None:
        nonlocal most_buffered
        await say_hello(peer)
        with trio.move_on_after(0.5):
            while True:
                await peer.channel.send(chunk)
                next(sent)
                engine = peer.channel._engine  # type: ignore[attr-defined]
                most_buffered = max(most_buffered, engine.buffered_bytes)
        done.set()

    async def receive(peer: Peer) -> None:
        await say_hello(peer)
        with suppress(ChannelClosedError):
            while True:
                await peer.channel.receive()

    await run_pair(send, receive)
    assert done.is_set()
    assert next(sent) > 16
    assert 0 < most_buffered <= 256 * 1024 + len(chunk)
