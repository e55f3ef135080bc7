"""A limit on the bytes that a program sends, and on those that it receives, in a second."""

from __future__ import annotations

import math
from typing import Final

import attrs

BURST_SEC: Final = 0.25
"""What wasn't used for so long may be sent at once, since timers aren't exact."""

MESSAGES_A_SEC: Final = 16
LEAST_MESSAGE_BYTES: Final = 1024
"""Under a limit, messages are so small that as many go in a second, but large enough to fill a packet. If the
limit is lower than one of these a second, one goes each second."""

LEAD_SEC: Final = 0.1
"""At the limit's rate: how far a sender may be ahead of another that the limit holds back as well."""

TURN_SEC: Final = 0.05
"""How long a sender that is ahead leaves the turn to the others. After that they don't want it."""


class TokenBucket:
    """Says when the next bytes may go, at a rate that may change meanwhile. Pure: callers pass the time."""

    def __init__(self) -> None:
        self._free_at_sec = -math.inf

    def ready_at_sec(self) -> float:
        """From when on bytes may be sent."""
        return self._free_at_sec

    def take(self, byte_count: int, bytes_per_sec: float | None, now_sec: float) -> None:
        """Records bytes that are sent now, at the rate that holds now; None is no limit."""
        if bytes_per_sec is None:
            self._free_at_sec = -math.inf
            return
        began_sec = max(self._free_at_sec, now_sec - BURST_SEC)
        self._free_at_sec = began_sec + byte_count / bytes_per_sec


def most_message_bytes(bytes_per_sec: float) -> int:
    """The size of a message by which a rate is kept from second to second, without too many packets."""
    least_bytes = min(bytes_per_sec, LEAST_MESSAGE_BYTES)
    return max(int(max(bytes_per_sec / MESSAGES_A_SEC, least_bytes)), 1)


@attrs.define(eq=False)
class SenderShare:
    """What one sender has sent under the limit, compared with the others that it holds back.

    Attributes:
        sent_bytes: What counts as sent. A sender that wasn't held back for a while has no claim to catch up.
        held_until_sec: Until when the limit last held it back.
    """

    sent_bytes: float = 0.0
    held_until_sec: float = -math.inf

    def is_held(self, now_sec: float) -> bool:
        """Whether it wants to send more than the limit lets it."""
        return now_sec <= self.held_until_sec + TURN_SEC


class RateLimit:
    """The limit of one program, which its transfers share. Each direction has all of it.

    Senders that could send more than the limit get equal parts of it, whatever the sizes of their messages,
    and what one of them doesn't use is the others'. Files that are received get fixed parts, since their
    senders are told.

    Attributes:
        bytes_per_sec: The limit; None is none. It may change at any time.
    """

    def __init__(self, bytes_per_sec: float | None = None) -> None:
        self.bytes_per_sec = bytes_per_sec
        self._sending = TokenBucket()
        self._held: list[SenderShare] = []
        self._receivers = 0

    def may_send_at_sec(self, share: SenderShare, now_sec: float) -> float:
        """From when on a sender may send its next bytes; if that is later, it counts as held back."""
        if self.bytes_per_sec is None:
            self._held.clear()
            return -math.inf
        self._held = [other for other in self._held if other.is_held(now_sec)]
        others = [other.sent_bytes for other in self._held if other is not share]
        if others and share not in self._held:
            share.sent_bytes = max(share.sent_bytes, min(others))
        may_send_at_sec = self._sending.ready_at_sec()
        if others and share.sent_bytes > min(others) + LEAD_SEC * self.bytes_per_sec:
            may_send_at_sec = max(may_send_at_sec, now_sec) + TURN_SEC
        if may_send_at_sec > now_sec:
            share.held_until_sec = may_send_at_sec
            if share not in self._held:
                self._held.append(share)
        return may_send_at_sec

    def sent(self, share: SenderShare, byte_count: int, now_sec: float) -> None:
        """Records bytes that were sent."""
        self._sending.take(byte_count, self.bytes_per_sec, now_sec)
        share.sent_bytes += byte_count

    def begin_receiving(self) -> None:
        """Counts a file that is being received: each gets its share of the limit."""
        self._receivers += 1

    def end_receiving(self) -> None:
        """Ends what :meth:`begin_receiving` began."""
        self._receivers -= 1

    @property
    def share_bytes_per_sec(self) -> int | None:
        """What the sender of one file is told, in whole bytes a second."""
        if self.bytes_per_sec is None:
            return None
        return max(int(self.bytes_per_sec / max(self._receivers, 1)), 1)
