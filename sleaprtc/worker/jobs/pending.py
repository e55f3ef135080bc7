"""Counts requests that are being judged, so that a flood keeps nobody else out."""

from __future__ import annotations

from collections import Counter
from typing import Final

MAX_PENDING: Final = 64
"""Requests judged at the same time; more than these are a flood, and are dropped."""

MAX_PENDING_PER_PEER: Final = 8


class PendingRequests:
    """How many requests are being judged. Those that prove the room's secret are counted separately."""

    def __init__(self) -> None:
        self._by_peer: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}

    def begin(self, peer_id: str, proven: bool) -> bool:
        """Counts a request in; False if there are too many, and this one should be dropped."""
        pending = self._by_peer[proven]
        if pending[peer_id] >= MAX_PENDING_PER_PEER or pending.total() >= MAX_PENDING:
            return False
        pending[peer_id] += 1
        return True

    def end(self, peer_id: str, proven: bool) -> None:
        """Counts a request out."""
        pending = self._by_peer[proven]
        pending[peer_id] -= 1
        if pending[peer_id] <= 0:
            del pending[peer_id]
