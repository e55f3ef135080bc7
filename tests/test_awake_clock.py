"""Time that a process didn't live through counts for nobody's silence."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.base.awake_clock import (
    MOST_COUNTED_SEC,
    STANDSTILL_SEC,
    TICK_SEC,
    AwakeClock,
    AwakeTime,
    wait_standstill,
)

from .support.standstills import Reading

steps = st.lists(st.floats(-10, 1000), max_size=30)


@given(steps=steps)
def test_time_goes_forward_and_no_faster_than_the_clock(steps: list[float]) -> None:
    awake = AwakeTime(100.0)
    for before, reading in itertools.pairwise([100.0, *itertools.accumulate(steps, initial=100.0)]):
        earlier_sec = awake.awake_sec
        later_sec = awake.read(reading)
        assert (
            earlier_sec <= later_sec <= earlier_sec + min(max(reading - before, 0), MOST_COUNTED_SEC) + 1e-6
        )


@given(ticks=st.lists(st.floats(0, TICK_SEC), max_size=30))
def test_all_of_the_time_counts_in_which_a_process_is_awake(ticks: list[float]) -> None:
    awake = AwakeTime(0.0)
    for reading in itertools.accumulate(ticks):
        awake.read(reading)
    assert awake.awake_sec == pytest.approx(sum(ticks))
    assert awake.standstill_count == 0


@given(gap_sec=st.floats(0, 1e6))
def test_a_standstill_adds_almost_nothing_and_is_noted(gap_sec: float) -> None:
    awake = AwakeTime(0.0)
    assert awake.read(gap_sec) <= MOST_COUNTED_SEC
    assert awake.standstill_count == (gap_sec > STANDSTILL_SEC)
    assert awake.standstill_sec == (gap_sec if gap_sec > STANDSTILL_SEC else 0)


@pytest.fixture
def reading() -> Reading:
    return Reading()


@pytest.fixture
def clock(reading: Reading) -> AwakeClock:
    return AwakeClock(reading)


async def test_no_deadline_is_over_after_a_standstill(clock: AwakeClock, reading: Reading) -> None:
    event = trio.Event()
    with trio.move_on_after(30) as scope:
        reading.stand_still(120)
        await trio.sleep(0.01)
        event.set()
        await event.wait()
        await trio.lowlevel.checkpoint()
    assert not scope.cancel_called
    assert clock.standstill_count == 1
    assert 120 <= clock.standstill_sec < 150


async def test_who_waits_for_a_standstill_learns_of_long_ones(clock: AwakeClock, reading: Reading) -> None:
    lengths = []

    async def wait(longer_than_sec: float) -> None:
        lengths.append((longer_than_sec, await wait_standstill(longer_than_sec)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, 6)
        nursery.start_soon(wait, 60)
        await trio.sleep(0.05)
        reading.stand_still(20)
        await trio.sleep(2 * TICK_SEC + 0.1)
        assert [longer for longer, _ in lengths] == [6]
        reading.stand_still(100)
    assert [round(length, -1) for _, length in lengths] == [20, 100]


async def test_a_standstill_goes_unnoticed_on_another_clock() -> None:
    with trio.move_on_after(0.01) as scope:
        await wait_standstill()
    assert scope.cancelled_caught


STOPPED = """
import time, trio
from sleaprtc.base.awake_clock import AwakeClock
async def main():
    clock = trio.lowlevel.current_clock()
    with trio.move_on_after(2.5) as scope:
        print("ready", flush=True)
        await trio.sleep(0.2)
    print("over" if scope.cancelled_caught else "in time")
trio.run(main, clock=AwakeClock())
"""


def test_a_stopped_process_has_its_time_afterwards() -> None:
    """It is stopped for longer than its deadline, which then isn't over."""
    with subprocess.Popen([sys.executable, "-c", STOPPED], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(3)
        os.kill(process.pid, signal.SIGCONT)
        assert process.communicate(timeout=60)[0] == "in time\n"
