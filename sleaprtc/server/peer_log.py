"""The log of peers that come, go and are refused, which whoever does so on purpose doesn't get to fill."""

from __future__ import annotations

from typing import Final

from ..logs import get_logger
from .admission import site_of
from .rate import KeyedBuckets

logger = get_logger(__name__)

LINES_PER_SEC: Final = 5.0
LINE_BURST: Final = 1000
"""Of one address: a laboratory whose peers all come back at once is in the log whole."""

OMISSIONS_PER_SEC: Final = 1 / 60
"""How often the log says that lines are left out."""


class PeerLog:
    """Logs what a stranger can bring about, up to a rate for each address."""

    def __init__(self) -> None:
        self._lines = KeyedBuckets(LINES_PER_SEC, LINE_BURST)
        self._omissions = KeyedBuckets(OMISSIONS_PER_SEC, 1)

    def info(self, event: str, address: str, now: float, **fields: str) -> None:
        """Logs one event of a peer at an address, or that such events are left out.

        Args:
            event: What happened.
            address: Where the peer is; counted with its :func:`~.admission.site_of`.
            now: The time on Trio's clock.
            fields: What else there is to say.
        """
        site = site_of(address)
        if self._lines.take(site, now) == 0:
            logger.info(event, address=address, **fields)
        elif self._omissions.take(site, now) == 0:
            logger.warning("Lines about an address are left out.", address=address)
