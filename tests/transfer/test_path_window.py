"""The window that follows the path, on simulated paths: what it carries, and what queue it builds."""

from __future__ import annotations

import math
import statistics

import hypothesis
import pytest
from hypothesis import strategies as st

from sleaprtc.protocol.limits import MAX_UNACKNOWLEDGED_BYTES
from sleaprtc.transfer.path_window import FIRST_WINDOW_BYTES, PathWindow

from .path_simulation import Simulation


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]


def is_small(round_trips_sec: list[float], least_sec: float) -> bool:
    """Whether the queue is as small as docs/performance.md says."""
    most_sec = least_sec + max(least_sec, 0.025)
    return (
        statistics.median(round_trips_sec) <= 1.5 * least_sec
        and percentile(round_trips_sec, 0.95) <= most_sec
    )


@pytest.mark.parametrize("queue_bdp", [0.25, 1, 4])
@pytest.mark.parametrize(("mbit", "rtt_sec"), [(50, 0.05), (20, 0.03), (20, 0.1)])
def test_alone(mbit: float, rtt_sec: float, queue_bdp: float) -> None:
    path = Simulation(mbit=mbit, rtt_sec=rtt_sec, queue_bdp=queue_bdp)
    sender = path.add_sender()
    path.run(3)
    began = sender.received_bytes
    round_trips_sec = path.run(12)
    carried_bytes = path.line.bytes_per_sec * 9 * path.payload_share
    assert (sender.received_bytes - began) / carried_bytes >= (0.75 if queue_bdp < 1 else 0.9)
    assert path.dropped_bytes(before_sec=3) <= path.line.bdp_bytes
    assert is_small(round_trips_sec, rtt_sec)
    if queue_bdp >= 1:
        assert path.dropped_bytes() == 0


@pytest.mark.parametrize(("mbit", "rtt_sec", "packet_bytes"), [(1000, 0.02, 9000), (20, 0.1, 1160)])
def test_a_fast_and_a_long_path_are_filled(mbit: float, rtt_sec: float, packet_bytes: int) -> None:
    path = Simulation(mbit=mbit, rtt_sec=rtt_sec, queue_bdp=1, packet_bytes=packet_bytes)
    assert path.share(path.add_sender(), 20) >= 0.9


def test_a_line_that_halves_and_doubles() -> None:
    path = Simulation(mbit=50, rtt_sec=0.05, queue_bdp=4)
    sender = path.add_sender()
    path.run(6)
    path.line.set(mbit=25, rtt_sec=0.05)
    path.run(9)
    assert is_small(path.run(12), 0.05)
    path.line.set(mbit=50, rtt_sec=0.05)
    path.run(15)
    assert path.share(sender, 17) >= 0.8


@pytest.mark.parametrize("queue_bdp", [1, 4])
def test_a_path_that_becomes_longer(queue_bdp: float) -> None:
    path = Simulation(mbit=20, rtt_sec=0.02, queue_bdp=queue_bdp)
    sender = path.add_sender()
    path.run(6)
    path.line.set(mbit=20, rtt_sec=0.08)
    assert path.share(sender, 21) >= 0.6
    path.run(50)
    assert is_small(path.run(60), 0.08)


@pytest.mark.parametrize("queue_bdp", [0.25, 1, 4])
@pytest.mark.parametrize("cubic_at_sec", [0, 5])
def test_beside_tcp(queue_bdp: float, cubic_at_sec: float) -> None:
    path = Simulation(mbit=12, rtt_sec=0.05, queue_bdp=queue_bdp)
    sender = path.add_sender()
    cubic = path.add_cubic(cubic_at_sec)
    path.run(cubic_at_sec)
    began = sender.received_bytes
    path.run(cubic_at_sec + 60)
    ours, theirs = sender.received_bytes - began, cubic.received_bytes
    assert 0.2 <= ours / (ours + theirs) <= 0.67
    assert ours + theirs >= 0.8 * path.line.bytes_per_sec * 60


@pytest.mark.parametrize("queue_bdp", [0.25, 1])
def test_two_come_to_equal_shares(queue_bdp: float) -> None:
    path = Simulation(mbit=20, rtt_sec=0.05, queue_bdp=queue_bdp)
    senders = [path.add_sender(), path.add_sender(10)]
    path.run(20)
    began = [sender.received_bytes for sender in senders]
    path.run(50)
    x, y = (sender.received_bytes - before for sender, before in zip(senders, began, strict=True))
    assert (x + y) ** 2 / (2 * (x * x + y * y)) >= 0.9  # Jain's index
    assert x + y >= 0.8 * path.line.bytes_per_sec * 30


def test_a_busy_program_is_no_queue() -> None:
    """Acknowledgements come late now and then, since the programs at both ends wait for the processor."""
    delays_sec = iter([0, 0, 0.004, 0.012, 0, 0, 0.002, 0.03, 0, 0, 0, 0.008] * 100_000)
    path = Simulation(mbit=50, rtt_sec=0.05, queue_bdp=1, delay_sec=lambda: next(delays_sec))
    sender = path.add_sender()
    path.run(3)
    assert path.share(sender, 13) >= 0.8


def test_a_slow_line_gets_small_messages() -> None:
    path = Simulation(mbit=0.8, rtt_sec=0.05, queue_bdp=50)
    sender = path.add_sender()
    path.run(5)
    assert sender.window.message_bytes == 4096
    # Two seconds' worth is the most that may stand before an abort.
    assert sender.window.in_flight_bytes <= path.line.bytes_per_sec
    assert path.line.queue_sec <= 1


def test_after_a_pause_it_begins_as_at_first() -> None:
    path = Simulation(mbit=50, rtt_sec=0.05, queue_bdp=1)
    sender = path.add_sender()
    path.run(5)
    window = sender.window
    assert window.window_bytes > 4 * FIRST_WINDOW_BYTES
    window.forget(most_message_bytes=16 * 1024)
    window.sent(4096, path.clock.now_sec + 60)
    assert window.window_bytes == FIRST_WINDOW_BYTES


@hypothesis.given(
    st.lists(
        st.tuples(
            st.integers(1, 256 * 1024),
            st.floats(0, 1e3),
            st.floats(0, 1),
            st.integers(0, 2**21),
            st.booleans(),
        ),
        max_size=200,
    )
)
def test_whatever_happens_the_window_keeps_its_bounds(
    steps: list[tuple[int, float, float, int, bool]],
) -> None:
    window, now_sec = PathWindow(message_bytes=256 * 1024), 0.0
    for size_bytes, pause_sec, arrived_share, waiting_bytes, forgets in steps:
        now_sec += pause_sec
        if forgets and not waiting_bytes:
            window.forget(most_message_bytes=size_bytes)
        window.sent(size_bytes, now_sec, waiting_bytes=waiting_bytes)
        if waiting_bytes % 2:
            window.hold()
        now_sec += pause_sec
        window.arrived(int(window.in_flight_bytes * arrived_share), now_sec)
        assert 0 < window.window_bytes <= MAX_UNACKNOWLEDGED_BYTES
        assert window.in_flight_bytes >= 0
        assert 1 <= window.message_bytes <= 256 * 1024
        assert 2 * window.message_bytes <= window.window_bytes, "nothing could be sent any more"
        assert math.isfinite(window.rate_bytes_per_sec)
