"""SCTP as aiortc does it, with two of its habits changed that cost most of a transfer's time.

aiortc acknowledges each packet by one of its own, and looks through all that is in flight whenever it
sends. The methods overridden here aren't part of its promises, so that ``tests/rtc/test_aiortc_seams.py``
holds what is relied on; without this module aiortc works as before, at a third of the speed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from aiortc import RTCSctpTransport

PACKETS_PER_SACK: Final = 4
"""As many as a sender answers a SACK by (Max.Burst, RFC 9260, section 16), aiortc's among them, so that
what is in flight doesn't shrink. Fewer where no more packets wait to be read, and for each packet while
any is missing (section 6.7)."""


class QuickSctpTransport(RTCSctpTransport):
    """Acknowledges packets by the handful (RFC 9260, section 6.2) and resends without searching."""

    _unacknowledged_packets = 0
    _sack_is_scheduled = False
    _may_resend = True

    # --- receiving --------------------------------------------------------------------------

    async def _send_sack(self) -> None:
        """Called after each packet with data in it."""
        self._unacknowledged_packets += 1
        is_disturbed = self._sack_misordered or self._sack_duplicates
        if is_disturbed or self._unacknowledged_packets >= PACKETS_PER_SACK:
            self._unacknowledged_packets = 0
            await super()._send_sack()
            return
        self._sack_needed = False
        if not self._sack_is_scheduled:
            self._sack_is_scheduled = True
            # The task that reads packets yields to the loop once it has read all there are.
            asyncio.get_running_loop().call_soon(self._all_is_read)

    def _all_is_read(self) -> None:
        self._sack_is_scheduled = False
        if self._unacknowledged_packets and self.state == "connected":
            self._unacknowledged_packets = 0
            asyncio.ensure_future(self._send_last_sack())  # noqa: RUF006 - it ends without waiting

    async def _send_last_sack(self) -> None:
        try:
            await super()._send_sack()
        except ConnectionError:
            return  # closed meanwhile

    # --- sending ----------------------------------------------------------------------------

    async def _receive_sack_chunk(self, chunk: Any) -> None:
        if chunk.gaps:
            self._may_resend = True
        await super()._receive_sack_chunk(chunk)

    def _t3_expired(self) -> None:
        self._may_resend = True
        super()._t3_expired()

    async def _transmit(self) -> None:
        """Sends what may be sent. Only after a loss is there anything to find in what is in flight."""
        if self._may_resend:
            await super()._transmit()
            self._may_resend = any(chunk._retransmit for chunk in self._sent_queue)
            return
        in_flight, self._sent_queue = self._sent_queue, deque()
        try:
            await super()._transmit()
        finally:
            in_flight.extend(self._sent_queue)
            self._sent_queue = in_flight
