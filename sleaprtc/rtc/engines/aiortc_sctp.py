"""aiortc's SCTP transport without two habits that take most of a transfer's time.

aiortc acknowledges each packet separately, and searches everything in flight whenever it sends. The methods
overridden here aren't public, so ``tests/rtc/test_aiortc_seams.py`` checks what is relied on. Without this
module aiortc works too, at a third of the speed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from aiortc import RTCSctpTransport

PACKETS_PER_SACK: Final = 4
"""As many as senders, aiortc among them, send in response to a SACK (Max.Burst, RFC 9260, section 16), so
that the flight size doesn't shrink. A SACK is sent for fewer packets if no more are waiting to be read, and
for each packet while any is missing (section 6.7)."""


class QuickSctpTransport(RTCSctpTransport):
    """Acknowledges several packets at once (RFC 9260, section 6.2), and searches only after a loss."""

    _unacknowledged_packets = 0
    _sack_is_scheduled = False
    _may_resend = True

    # --- receiving --------------------------------------------------------------------------

    async def _send_sack(self) -> None:
        """Called after each packet that contains data."""
        self._unacknowledged_packets += 1
        is_disturbed = self._sack_misordered or self._sack_duplicates
        if is_disturbed or self._unacknowledged_packets >= PACKETS_PER_SACK:
            self._unacknowledged_packets = 0
            await super()._send_sack()
            return
        self._sack_needed = False
        if not self._sack_is_scheduled:
            self._sack_is_scheduled = True
            # The task that reads packets yields to the loop once it has read all of them.
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
            return  # closed in the meantime

    # --- sending ----------------------------------------------------------------------------

    async def _receive_sack_chunk(self, chunk: Any) -> None:
        if chunk.gaps:
            self._may_resend = True
        await super()._receive_sack_chunk(chunk)

    def _t3_expired(self) -> None:
        self._may_resend = True
        super()._t3_expired()

    async def _transmit(self) -> None:
        """Sends what may be sent. Searches the chunks in flight only after a loss."""
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
