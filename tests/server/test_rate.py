"""Token buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.base.rate import MAX_KEYS, KeyedBuckets, TokenBucket


@given(
    per_sec=st.floats(0.1, 100),
    burst=st.integers(1, 20),
    gaps=st.lists(st.floats(0, 5), min_size=1, max_size=50),
)
def test_no_more_than_burst_and_rate_allow(per_sec: float, burst: int, gaps: list[float]) -> None:
    bucket = TokenBucket(per_sec, burst)
    now, taken = 0.0, 0
    for gap in gaps:
        now += gap
        taken += bucket.take(now) == 0
    assert taken <= burst + now * per_sec + 1e-6


@given(per_sec=st.floats(0.1, 100), burst=st.integers(1, 5), start=st.floats(0, 1e6))
def test_waiting_as_told_is_enough(per_sec: float, burst: int, start: float) -> None:
    bucket = TokenBucket(per_sec, burst)
    assert [bucket.take(start) for _ in range(burst)] == [0.0] * burst
    wait_sec = bucket.take(start)
    assert wait_sec > 0
    assert bucket.take(start + wait_sec + 1e-6) == 0


def test_keys_do_not_share_and_do_not_pile_up() -> None:
    buckets = KeyedBuckets(per_sec=1, burst=1)
    assert buckets.take("a", 0.0) == 0
    assert buckets.take("b", 0.0) == 0
    assert buckets.take("a", 0.0) > 0
    for number in range(3 * MAX_KEYS):
        buckets.take(number, 0.0)
    assert len(buckets._buckets) <= MAX_KEYS
