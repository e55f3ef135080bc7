"""What the window of a slow line leaves in queues, on a line that the test makes of numbers."""

from __future__ import annotations

import heapq
import random

import pytest

from sleaprtc.protocol.limits import CHUNK_BYTES
from sleaprtc.transfer.flow import LEAST_UNSENT_BYTES, UNSENT_BYTES, UNSENT_SEC, Flow, most_unsent_bytes
from sleaprtc.transfer.rate_limit import RateLimit

MIB = 2**20
MOST_QUEUE_SEC = 1.0
STALL_EVERY_SEC = 0.6


class Line:
    """A channel whose engine passes everything on at once, as SCTP does once its own window is large."""

    message_bytes = CHUNK_BYTES
    unsent_bytes = 0


class Accepted:
    """A file that may be sent, to a receiver that acknowledges arrival."""

    has_path_acks = True
    sendable_bytes = 8 * MIB


def longest_queue_sec(
    bytes_per_sec: float, rtt_sec: float, stall_sec: float, seconds: float = 60
) -> tuple[float, float]:
    """Sends over a line with endless room before it; returns its longest queue, and its share in use.

    Args:
        bytes_per_sec: The line's rate.
        rtt_sec: The round trip of the empty line.
        stall_sec: For up to so long a busy machine reads no acknowledgements, again and again.
        seconds: For how long.
    """
    chance = random.Random(1)
    flow = Flow(Line(), Accepted(), RateLimit())  # type: ignore[arg-type]
    now_sec = line_free_sec = longest_sec = arrived_bytes = 0.0
    stall = (0.0, 0.0)
    acks: list[tuple[float, int]] = []
    while now_sec < seconds:
        while byte_count := flow.next_bytes(MIB, now_sec):
            flow.sent(byte_count, now_sec)
            line_free_sec = max(line_free_sec, now_sec) + byte_count / bytes_per_sec
            longest_sec = max(longest_sec, line_free_sec - now_sec)
            read_sec = line_free_sec + rtt_sec
            if read_sec > stall[1]:
                begin_sec = read_sec + chance.expovariate(1 / STALL_EVERY_SEC)
                stall = (begin_sec, begin_sec + chance.random() * stall_sec)
            if stall[0] < read_sec:
                read_sec = max(read_sec, stall[1])
            heapq.heappush(acks, (read_sec, byte_count))
        now_sec, byte_count = heapq.heappop(acks)
        arrived_bytes += byte_count
        flow.arrived(byte_count, now_sec)
    return longest_sec, arrived_bytes / now_sec / bytes_per_sec


@pytest.mark.parametrize("stall_sec", [0, 0.15, 0.4])
@pytest.mark.parametrize("rtt_sec", [0.01, 0.04, 0.15])
@pytest.mark.parametrize("mib_per_sec", [0.1, 0.5])
def test_little_is_queued_on_a_slow_line(mib_per_sec: float, rtt_sec: float, stall_sec: float) -> None:
    longest_sec, used = longest_queue_sec(mib_per_sec * MIB, rtt_sec, stall_sec)
    assert longest_sec < MOST_QUEUE_SEC
    assert used > (0.4 if stall_sec else 0.9)


@pytest.mark.parametrize(
    ("bytes_per_sec", "most_bytes"),
    [
        (0, UNSENT_BYTES),
        (0.01 * MIB, LEAST_UNSENT_BYTES),
        (0.1 * MIB, 0.025 * MIB),
        (MIB, UNSENT_BYTES),
        (50 * MIB, 50 * MIB * UNSENT_SEC),
    ],
)
def test_less_waits_in_the_engine_of_a_slow_line(bytes_per_sec: float, most_bytes: float) -> None:
    assert most_unsent_bytes(bytes_per_sec) == pytest.approx(most_bytes)
