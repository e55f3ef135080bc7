"""The log of peers that come, go and are refused, which whoever does so on purpose doesn't get to fill."""

from __future__ import annotations

from typing import Final

from ..base.limited_log import LimitedLog
from ..base.logs import get_logger
from ..base.rate import KeyedBuckets
from .admission import site_of

logger = get_logger(__name__)

LINES_PER_SEC: Final = 5.0
LINE_BURST: Final = 1000
"""Of one address: a laboratory whose peers all come back at once is in the log whole."""


class PeerLog:
    """Logs what a stranger can bring about, up to a rate for each address."""

    def __init__(self) -> None:
        self._log = LimitedLog(logger, KeyedBuckets(LINES_PER_SEC, LINE_BURST), whom="an address")

    def info(self, event: str, address: str, now: float, **fields: str) -> None:
        """Logs one event of a peer at an address, or that such events are left out.

        Args:
            event: What happened.
            address: Where the peer is; counted with its :func:`~.admission.site_of`.
            now: The time on Trio's clock.
            fields: What else there is to say.
        """
        self._log.info(event, site_of(address), now, about={"address": address}, **fields)
