"""Opens data channels and measures them: to this process itself, and to a worker."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import trio

from ..base.exception_groups import single_error
from ..errors import SleapRTCError, UsageError
from ..protocol.limits import MIB
from ..protocol.messages import Answer, Candidate, Offer
from ..rtc.engines import engine_class
from ..rtc.no_path import NoPathError
from ..rtc.peer import IceSettings, open_peer
from ..transfer.rate import Rate, answer_probe, measure_rate
from .network import SelfTest

CONNECT_TIMEOUT_SEC: Final = 6.0
SELF_TEST_SEC: Final = 10.0
SELF_TEST_BYTES: Final = 2 * MIB
"""Bytes each way. Both ends share this process, so more would only take longer."""

Signal: TypeAlias = Offer | Answer | Candidate


def installed_engines() -> list[str]:
    """Returns the WebRTC engines that can be loaded, the faster first."""
    engines = []
    for name in ("libwebrtc", "aiortc"):
        try:
            engine_class(name)
        except UsageError:
            continue
        engines.append(name)
    return engines


async def test_engine(engine: str, *, loopback: bool) -> SelfTest:
    """Connects this process to itself, over the machine's own addresses where it has any.

    Args:
        engine: Which one.
        loopback: Use 127.0.0.1 from the start.
    """
    first = await _test_engine(engine, loopback)
    if first.rate is not None or loopback:
        return first
    second = await _test_engine(engine, loopback=True)
    return first if second.rate is None else second


async def _test_engine(engine: str, loopback: bool) -> SelfTest:
    with trio.move_on_after(SELF_TEST_SEC):
        try:
            connect_ms, rate = await _measure_self(engine, IceSettings(loopback=loopback))
        except NoPathError as error:  # what to do between two machines says nothing here
            return SelfTest(engine, problem=error.finding, over_loopback=loopback)
        except SleapRTCError as error:
            return SelfTest(engine, problem=str(error), over_loopback=loopback)
        return SelfTest(engine, connect_ms, rate, over_loopback=loopback)
    return SelfTest(engine, problem=f"It took more than {SELF_TEST_SEC:.0f} seconds.", over_loopback=loopback)


async def _measure_self(engine: str, ice: IceSettings) -> tuple[float, Rate]:
    inboxes: dict[str, trio.MemorySendChannel[Signal]] = {}
    outboxes: dict[str, trio.MemoryReceiveChannel[Signal]] = {}
    for name in ("asker", "answerer"):
        inboxes[name], outboxes[name] = trio.open_memory_channel[Signal](math.inf)

    async def send(message: Signal) -> None:
        await inboxes[message.target].send(message)

    async def answer() -> None:
        async with open_peer(
            local_id="answerer",
            remote_id="asker",
            initiator=False,
            send=send,
            incoming=outboxes["answerer"],
            ice=ice,
            engine=engine,
            connect_timeout_sec=CONNECT_TIMEOUT_SEC,
        ) as peer:
            await answer_probe(peer.channel)

    measured: list[tuple[float, Rate]] = []
    with single_error():
        async with trio.open_nursery() as nursery:  # a failure costs the check, which says so
            nursery.start_soon(answer)
            measured.append(
                await measure_connection("asker", "answerer", send, outboxes["asker"], ice, engine)
            )
            nursery.cancel_scope.cancel()
    return measured[0]


async def measure_connection(
    local_id: str,
    remote_id: str,
    send: Callable[[Signal], Awaitable[None]],
    incoming: trio.MemoryReceiveChannel[Signal],
    ice: IceSettings,
    engine: str,
) -> tuple[float, Rate]:
    """Makes the offer, waits for the channel and measures it.

    Returns:
        Milliseconds until the channel was open, and the rate.

    Raises:
        SleapRTCError: No channel came about, or it was lost.
    """
    started = time.perf_counter()
    async with open_peer(
        local_id=local_id,
        remote_id=remote_id,
        initiator=True,
        send=send,
        incoming=incoming,
        ice=ice,
        engine=engine,
        connect_timeout_sec=CONNECT_TIMEOUT_SEC,
    ) as peer:
        connect_ms = (time.perf_counter() - started) * 1000
        return connect_ms, await measure_rate(peer.channel, size_bytes=SELF_TEST_BYTES)
