"""A log of what others bring about, which whoever does so on purpose doesn't get to fill."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import attrs

from .rate import KeyedBuckets, TokenBucket

if TYPE_CHECKING:
    import structlog

OMISSIONS_PER_SEC: Final = 1 / 60
"""How often the log says that lines are left out."""


@attrs.define(eq=False)
class LimitedLog:
    """Logs up to a rate for each of those who bring something about, and up to one in all.

    Attributes:
        logger: Where the lines go.
        lines: The rate for each.
        total: That for all together, where their names cost them nothing.
        whom: What one of them is.
    """

    logger: structlog.stdlib.BoundLogger
    lines: KeyedBuckets
    total: TokenBucket | None = None
    whom: str = "a peer"
    _omissions: KeyedBuckets = attrs.field(factory=lambda: KeyedBuckets(OMISSIONS_PER_SEC, 1), init=False)
    _total_omissions: TokenBucket = attrs.field(factory=lambda: TokenBucket(OMISSIONS_PER_SEC, 1), init=False)

    def info(self, event: str, key: str, now: float, *, about: Mapping[str, str], **fields: object) -> None:
        """Logs one event, or that such events are left out.

        Args:
            event: What happened.
            key: Who brought it about.
            now: The time on a clock that never goes back.
            about: Who that is, for the record.
            fields: What else there is to say.
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
            self.logger.warning("Lines are left out: too many come from all together.")
        return False
