"""What is read out of a transfer over a path: rates between two times, round trips, and how two share."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections.abc import Sequence

import attrs

STILL_RTT = 1.5
"""The median round trip beside a transfer may be this many times the least."""
LEAST_EXTRA_MS = 25.0


class Trace:
    """How many bytes had arrived when. Times are seconds since the epoch, as ``ping -D`` prints them."""

    def __init__(self) -> None:
        self._at_sec: list[float] = []
        self._byte_counts: list[int] = []
        self.size_bytes: int | None = None

    def add(self, at_sec: float, byte_count: int, size_bytes: int) -> None:
        """Adds what had arrived by then, which never becomes less."""
        self._at_sec.append(at_sec)
        self._byte_counts.append(byte_count)
        self.size_bytes = size_bytes

    @property
    def has_begun(self) -> bool:
        """Whether bytes may be on their way."""
        return bool(self._at_sec)

    @property
    def is_whole(self) -> bool:
        """Whether all bytes have arrived."""
        return bool(self._byte_counts) and self._byte_counts[-1] == self.size_bytes

    @property
    def began_sec(self) -> float:
        """When the first byte could be sent."""
        return self._at_sec[0]

    @property
    def ended_sec(self) -> float:
        """When the last byte so far had arrived."""
        return self._at_sec[-1]

    @property
    def bytes_per_sec(self) -> float:
        """The rate from the first byte to the last."""
        return self.rate_between(self.began_sec, self.ended_sec)

    def bytes_by(self, at_sec: float) -> float:
        """Returns what had arrived by then, on a straight line between the two entries around it."""
        after = bisect_right(self._at_sec, at_sec)
        if after == 0:
            return 0.0
        if after == len(self._at_sec):
            return float(self._byte_counts[-1])
        begin, end = self._at_sec[after - 1 : after + 1]
        low, high = self._byte_counts[after - 1 : after + 1]
        return low + (high - low) * (at_sec - begin) / (end - begin)

    def rate_between(self, from_sec: float, to_sec: float) -> float:
        """Returns the bytes a second between two times."""
        return (self.bytes_by(to_sec) - self.bytes_by(from_sec)) / (to_sec - from_sec)


@attrs.frozen
class Echo:
    """One answered ping.

    Attributes:
        at_sec: When the answer came, in seconds since the epoch.
        rtt_ms: The round trip.
    """

    at_sec: float
    rtt_ms: float


@attrs.frozen
class RoundTrips:
    """The round trips of some time, in milliseconds, and what they may be.

    Attributes:
        least_ms: The least of the empty path.
        median_ms: The median.
        high_ms: The 95th percentile.
    """

    least_ms: float
    median_ms: float
    high_ms: float

    @property
    def most_median_ms(self) -> float:
        """The claim for the median."""
        return STILL_RTT * self.least_ms

    @property
    def most_high_ms(self) -> float:
        """The claim for the 95th percentile."""
        return self.least_ms + max(self.least_ms, LEAST_EXTRA_MS)


def round_trips(
    echoes: Sequence[Echo], from_sec: float, to_sec: float, *, least_ms: float | None = None
) -> RoundTrips | None:
    """Returns the round trips between two times, or None if no ping was answered then.

    Args:
        echoes: All answers; their least is that of the path, unless ``least_ms`` gives it.
        from_sec: The begin.
        to_sec: The end.
        least_ms: The least round trip of the empty path.
    """
    those = sorted(echo.rtt_ms for echo in echoes if from_sec <= echo.at_sec < to_sec)
    if not those:
        return None
    least = min(echo.rtt_ms for echo in echoes) if least_ms is None else least_ms
    high = those[max(math.ceil(0.95 * len(those)) - 1, 0)]
    return RoundTrips(least, statistics.median(those), high)


def jains_index(rates: Sequence[float]) -> float:
    """Returns Jain's index of fairness: 1 if all have the same, 1/n if one has everything."""
    squares = sum(rate * rate for rate in rates)
    return sum(rates) ** 2 / (len(rates) * squares) if squares else 0.0
