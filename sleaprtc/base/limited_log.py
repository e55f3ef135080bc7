"""A rate-limited log of events that strangers can cause, so that none of them can flood it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import attrs

from .rate import KeyedBuckets, TokenBucket

if TYPE_CHECKING:
    import structlog

OMISSIONS_PER_SEC: Final = 1 / 60
"""How often the log reports that lines are left out: once a minute."""


@attrs.define(eq=False)
class LimitedLog:
    """Logs events up to a rate for each source, and optionally up to a rate for all sources together.

    Attributes:
        logger: Where the lines go.
        lines: The rate for each source, by its key.
        total: The rate for all sources together; needed if a source can easily take another key.
        whom: What a source is called in the log's own lines.
    """

    logger: structlog.stdlib.BoundLogger
    lines: KeyedBuckets
    total: TokenBucket | None = None
    whom: str = "a peer"
    _omissions: KeyedBuckets = attrs.field(factory=lambda: KeyedBuckets(OMISSIONS_PER_SEC, 1), init=False)
    _total_omissions: TokenBucket = attrs.field(factory=lambda: TokenBucket(OMISSIONS_PER_SEC, 1), init=False)

    def info(self, event: str, key: str, now: float, *, about: Mapping[str, str], **fields: object) -> None:
        """Logs one event, or that events of its source are left out.

        Args:
            event: What happened.
            key: The source that caused it.
            now: The time in seconds, on a monotonic clock.
            about: Fields of the record that identify the source.
            fields: Further fields of the record.
        """
        if self.lines.take(key, now) == 0:
            if self._may_speak(now):
                self.logger.info(event, **about, **fields)
        elif self._omissions.take(key, now) == 0 and self._may_speak(now):
            self.logger.warning(f"Lines about {self.whom} are left out.", **about)

    def _may_speak(self, now: float) -> bool:
        if self.total is None or self.total.take(now) == 0:
            return True
        if self._total_omissions.take(now) == 0:
            self.logger.warning("Lines are left out: there are too many in all.")
        return False
