"""A rate-limited log of peers that join, leave or are refused, so that none of them can flood it."""

from __future__ import annotations

from typing import Final

from ..base.limited_log import LimitedLog
from ..base.logs import get_logger
from ..base.rate import KeyedBuckets
from .admission import site_of

logger = get_logger(__name__)

LINES_PER_SEC: Final = 5.0
LINE_BURST: Final = 1000
"""For each address: enough to log every peer of a laboratory that comes back at once."""


class PeerLog:
    """Logs events that strangers can cause, up to a rate for each address."""

    def __init__(self) -> None:
        self._log = LimitedLog(logger, KeyedBuckets(LINES_PER_SEC, LINE_BURST), whom="an address")

    def info(self, event: str, address: str, now: float, **fields: str) -> None:
        """Logs one event of a peer at an address, or that events of the address are left out.

        Args:
            event: What happened.
            address: The peer's IP address. The rate is that of its site (:func:`~.admission.site_of`).
            now: The time in seconds, on Trio's clock.
            fields: Further fields of the record.
        """
        self._log.info(event, site_of(address), now, about={"address": address}, **fields)
