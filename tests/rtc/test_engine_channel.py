"""A channel with an engine that sends, and a bridge that is crossed, only when the test says so."""

from __future__ import annotations

from collections.abc import Callable

import trio
import trio.testing

from sleaprtc.protocol.limits import MIB
from sleaprtc.rtc._engine_channel import MESSAGES_PER_TURN, EngineChannel

MESSAGE = bytes(MIB // 4)


class HeldBridge:
    """Holds calls that cross the bridge until the test lets them run."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def cross(self) -> None:
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


class HeldEngine:
    """Buffers messages until the test lets them be sent."""

    high_water_bytes = 2 * MIB
    low_water_bytes = MIB
    message_bytes = len(MESSAGE)

    def __init__(self, channel: EngineChannel) -> None:
        self._channel = channel
        self.buffered_bytes = 0
        self.sent_messages = 0

    def send(self, message: bytes) -> None:
        self.buffered_bytes += len(message)

    def flow(self) -> None:
        """Sends everything buffered; like engines, it reports this only if the low-water mark is crossed."""
        while self.buffered_bytes:
            self.sent_messages += 1
            self.buffered_bytes -= len(MESSAGE)
            if self.buffered_bytes == self.low_water_bytes:
                self._channel.buffer_low()


def make_channel() -> tuple[EngineChannel, HeldEngine, HeldBridge]:
    bridge = HeldBridge()
    channel = EngineChannel(bridge)  # type: ignore[arg-type]
    engine = HeldEngine(channel)
    channel.attach(engine)  # type: ignore[arg-type]
    channel.opened()
    return channel, engine, bridge


async def test_a_buffer_that_empties_before_the_next_messages_cross_wakes_the_sender() -> None:
    channel, engine, bridge = make_channel()

    async def send_all() -> None:
        for _ in range(16):
            await channel.send(MESSAGE)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_all)
        await trio.testing.wait_all_tasks_blocked()  # a whole buffer waits to cross
        bridge.cross()
        for _ in range(4):  # half of it is sent, which wakes the sender
            engine.sent_messages += 1
            engine.buffered_bytes -= len(MESSAGE)
        channel.buffer_low()
        await trio.testing.wait_all_tasks_blocked()  # half a buffer waits to cross, and half to be sent
        engine.flow()  # not reported, since the mark isn't crossed
        bridge.cross()
        with trio.fail_after(60):
            while nursery.child_tasks:
                await trio.testing.wait_all_tasks_blocked()
                bridge.cross()
                if engine.buffered_bytes > engine.low_water_bytes:
                    engine.flow()
    bridge.cross()
    engine.flow()
    assert engine.sent_messages == 16


async def test_others_get_their_turn_while_messages_are_read() -> None:
    channel, _, _ = make_channel()
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    for _ in range(10 * MESSAGES_PER_TURN):
        channel.received(b"")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_turns)
        for _ in range(10 * MESSAGES_PER_TURN):
            await channel.receive()
        nursery.cancel_scope.cancel()
    assert turns >= 5
