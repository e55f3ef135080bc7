"""A limit is kept over any time, shared fairly, and can change at any time."""

from __future__ import annotations

import heapq

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.transfer.rate_limit import (
    BURST_SEC,
    RateLimit,
    SenderShare,
    TokenBucket,
    most_message_bytes,
)

rates = st.integers(1024, 10**9)


@given(rates, st.lists(st.tuples(st.floats(0, 2), st.integers(1, 10**6)), min_size=1, max_size=50))
def test_a_bucket_lets_no_more_through_than_the_rate_and_one_burst(rate, steps):
    bucket, now_sec, sent = TokenBucket(), 0.0, []
    for pause_sec, byte_count in steps:
        now_sec = max(now_sec + pause_sec, bucket.ready_at_sec())
        bucket.take(byte_count, rate, now_sec)
        sent.append((now_sec, byte_count))
    for number, (began_sec, _) in enumerate(sent):
        between = sent[number:-1]  # the last message may be as large as it likes: those after it wait
        lasted_sec = sent[-1][0] - began_sec
        assert sum(size for _, size in between) <= rate * (lasted_sec + BURST_SEC) * (1 + 1e-6) + 1


@given(rates)
def test_a_message_is_a_packet_or_a_sixteenth_of_a_second(rate):
    assert most_message_bytes(rate) == max(1024, rate // 16)


def test_a_rate_of_less_than_a_packet_a_second_is_kept_too():
    assert [most_message_bytes(rate) for rate in (1, 10, 1023)] == [1, 10, 1023]


@attrs.define(eq=False)
class Source:
    """A sender in a simulation: with messages of one size, and at most ``path_bytes_per_sec``."""

    message_bytes: int
    path_bytes_per_sec: float = float("inf")
    share: SenderShare = attrs.field(factory=SenderShare)
    sent_bytes: int = 0
    free_at_sec: float = 0.0


def simulate(limit, sources, *, until_sec, since_sec=0.0, late_sec=0.0005):
    """Runs senders that wake a little late, as timers are, and always have something to send."""
    queue = [(since_sec, number) for number in range(len(sources))]
    while queue:
        now_sec, number = heapq.heappop(queue)
        if now_sec > until_sec:
            continue
        source = sources[number]
        if now_sec < source.free_at_sec:
            heapq.heappush(queue, (source.free_at_sec, number))
            continue
        may_send_at_sec = limit.may_send_at_sec(source.share, now_sec)
        if may_send_at_sec > now_sec:
            heapq.heappush(queue, (may_send_at_sec + late_sec, number))
            continue
        limit.sent(source.share, source.message_bytes, now_sec)
        source.sent_bytes += source.message_bytes
        source.free_at_sec = now_sec + source.message_bytes / source.path_bytes_per_sec
        heapq.heappush(queue, (now_sec + 1e-5, number))


@pytest.mark.parametrize("rate", [100_000, 2 * 2**20, 50 * 2**20])
@pytest.mark.parametrize("sizes", [(4096, 4096), (1024, 65536), (65536, 1024), (4096, 16384, 65536)])
def test_senders_get_equal_shares_whatever_the_sizes_of_their_messages(rate, sizes):
    limit = RateLimit(rate)
    sources = [Source(min(size, most_message_bytes(rate))) for size in sizes]
    simulate(limit, sources, until_sec=20)
    assert sum(source.sent_bytes for source in sources) == pytest.approx(20 * rate, rel=0.03)
    for source in sources:
        assert source.sent_bytes == pytest.approx(20 * rate / len(sources), rel=0.1)


@pytest.mark.parametrize("message_bytes", [4096, 16384])
def test_what_a_slow_path_leaves_is_the_other_senders(message_bytes):
    limit = RateLimit(2**20)
    slow, fast = Source(message_bytes, path_bytes_per_sec=50_000), Source(16384)
    simulate(limit, [slow, fast], until_sec=20)
    assert slow.sent_bytes == pytest.approx(20 * 50_000, rel=0.15)
    assert fast.sent_bytes == pytest.approx(20 * (2**20 - 50_000), rel=0.1)


def test_a_sender_that_comes_later_gets_its_share_and_nothing_for_the_past():
    limit = RateLimit(2**20)
    first, second = Source(16384), Source(16384)
    simulate(limit, [first], until_sec=100)
    before = first.sent_bytes
    simulate(limit, [first, second], since_sec=100, until_sec=110)
    assert first.sent_bytes - before == pytest.approx(5 * 2**20, rel=0.1)
    assert second.sent_bytes == pytest.approx(5 * 2**20, rel=0.1)


@given(before=rates, after=rates | st.none())
def test_a_change_holds_within_a_second(before, after):
    limit, source = RateLimit(before), Source(most_message_bytes(before))
    simulate(limit, [source], until_sec=0.5)
    limit.bytes_per_sec = after
    assert limit.may_send_at_sec(source.share, 0.5) <= 1.5


def test_receivers_share_it_by_their_number():
    limit = RateLimit(1000_000)
    assert limit.share_bytes_per_sec == 1000_000
    limit.begin_receiving()
    limit.begin_receiving()
    assert limit.share_bytes_per_sec == 500_000
    limit.end_receiving()
    assert limit.share_bytes_per_sec == 1000_000
    limit.bytes_per_sec = None
    assert limit.share_bytes_per_sec is None
