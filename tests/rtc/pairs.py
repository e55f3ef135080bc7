"""Two connected peers in one process, with Trio channels instead of a signaling server."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs
import trio

from sleaprtc.protocol.messages import Answer, Candidate, Offer
from sleaprtc.rtc.peer import IceSettings, Peer, open_peer

Message = Offer | Answer | Candidate
LOOPBACK = IceSettings(loopback=True)


class Signaling:
    """Signaling between the two sides; ``on_message`` may change, drop or multiply messages."""

    def __init__(self, on_message: Callable[[Message], list[Message]] | None = None) -> None:
        self.messages: list[Message] = []
        self._on_message = on_message or (lambda message: [message])
        self._inboxes = {}
        self.incoming = {}
        for name in ("a", "b"):
            self._inboxes[name], self.incoming[name] = trio.open_memory_channel[Message](math.inf)

    async def send(self, message: Message) -> None:
        await trio.lowlevel.checkpoint()
        self.messages.append(message)
        for passed in self._on_message(message):
            self._inboxes[passed.target].send_nowait(passed)

    def close(self) -> None:
        for inbox in self._inboxes.values():
            inbox.close()


@asynccontextmanager
async def open_side(
    name: str,
    signaling: Signaling,
    *,
    ice: IceSettings = LOOPBACK,
    engine: str = "aiortc",
    **options: object,
) -> AsyncIterator[Peer]:
    """Connects as peer ``a``, which makes the offer, or as ``b``."""
    async with open_peer(
        local_id=name,
        remote_id="b" if name == "a" else "a",
        initiator=name == "a",
        send=signaling.send,
        incoming=signaling.incoming[name],
        ice=ice,
        engine=engine,
        **options,
    ) as peer:
        yield peer


async def run_pair(
    a: Callable[[Peer], Awaitable[None]],
    b: Callable[[Peer], Awaitable[None]],
    signaling: Signaling | None = None,
    *,
    engines: tuple[str, str] = ("aiortc", "aiortc"),
    timeout_sec: float = 120,
    **options: object,
) -> None:
    """Runs a body on each side, in a task and with a connection of its own."""
    signaling = signaling or Signaling()

    async def side(name: str, body: Callable[[Peer], Awaitable[None]], engine: str) -> None:
        async with open_side(name, signaling, engine=engine, **options) as peer:
            await body(peer)

    with trio.fail_after(timeout_sec):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(side, "a", a, engines[0])
            nursery.start_soon(side, "b", b, engines[1])


async def say_hello(peer: Peer) -> None:
    await peer.channel.send(f"hello {peer.remote_id}")
    assert await peer.channel.receive() in ("hello a", "hello b")


def only_trickled(message: Message) -> list[Message]:
    if isinstance(message, Candidate):
        return [message]
    lines = [line for line in message.sdp.splitlines() if not line.startswith("a=candidate:")]
    return [attrs.evolve(message, sdp="\r\n".join(lines) + "\r\n")]  # "a=end-of-candidates" stays in


def only_in_sdp(message: Message) -> list[Message]:
    return [] if isinstance(message, Candidate) else [message]


def twice_and_odd(message: Message) -> list[Message]:
    if not isinstance(message, Candidate):
        return [message, message]
    odd = ["candidate:garbage", "a=" + message.candidate if message.candidate else "a=candidate:"]
    hidden = "candidate:1 1 udp 2122260223 5a1c7f0e-8d43-4f5e-a5f5-6e4d1b1b8d4f.local 50000 typ host"
    return [
        *(attrs.evolve(message, candidate=text) for text in (*odd, hidden)),
        attrs.evolve(message, sdp_mid=None),
        attrs.evolve(message, sdp_mid="data", sdp_mline_index=7),
        attrs.evolve(message, sender="stranger"),
    ]
