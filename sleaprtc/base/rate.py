"""Token buckets, which limit how often something may happen."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

import attrs

MAX_KEYS: Final = 10_000
"""The most buckets that are kept. Full ones are dropped first, since dropping them changes nothing."""


@attrs.define(eq=False)
class TokenBucket:
    """Allows ``burst`` events at once, and ``per_sec`` events a second in the long run.

    All times are in seconds, on one monotonic clock.
    """

    per_sec: float
    burst: float
    _tokens: float = attrs.field(init=False)
    _filled_at: float = attrs.field(init=False, default=0.0)

    def __attrs_post_init__(self) -> None:
        self._tokens = self.burst

    def take(self, now: float) -> float:
        """Takes one token.

        Returns:
            0.0 if there was one; otherwise the seconds until there will be one, and none is taken.
        """
        self._fill(now)
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self.per_sec

    def wait(self, now: float) -> float:
        """Returns the seconds until there is a token, without taking it."""
        self._fill(now)
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) / self.per_sec

    def is_full(self, now: float) -> bool:
        """Returns whether the bucket has all of its tokens."""
        self._fill(now)
        return self._tokens >= self.burst

    def _fill(self, now: float) -> None:
        self._tokens = min(self.burst, self._tokens + (now - self._filled_at) * self.per_sec)
        self._filled_at = now


@attrs.define(eq=False)
class KeyedBuckets:
    """A bucket for each key, such as an address."""

    per_sec: float
    burst: float
    _buckets: dict[Hashable, TokenBucket] = attrs.field(factory=dict, init=False)

    def take(self, key: Hashable, now: float) -> float:
        """Takes one token of the key's bucket; see :meth:`TokenBucket.take`."""
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= MAX_KEYS:
                self._drop(now)
            bucket = self._buckets[key] = TokenBucket(self.per_sec, self.burst)
        return bucket.take(now)

    def wait(self, key: Hashable, now: float) -> float:
        """Returns the seconds until the key's bucket has a token, without taking it."""
        bucket = self._buckets.get(key)
        return 0.0 if bucket is None else bucket.wait(now)

    def has_taken(self, key: Hashable, now: float) -> bool:
        """Returns whether the key's bucket lacks tokens that were taken and not refilled yet."""
        bucket = self._buckets.get(key)
        return bucket is not None and not bucket.is_full(now)

    def _drop(self, now: float) -> None:
        full = [key for key, bucket in self._buckets.items() if bucket.is_full(now)]
        for key in full or list(self._buckets)[: MAX_KEYS // 10]:
            del self._buckets[key]
