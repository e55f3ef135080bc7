"""A bounded queue of frames that wait for one peer's socket."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeAlias

import attrs
import trio

from ..base.fair_share import FairShare
from ..protocol.limits import OUTBOX_DUE_BYTES, OUTBOX_DUE_MESSAGES

Frame: TypeAlias = bytes | memoryview
"""A frame, or the rest of one."""


@attrs.define(eq=False)
class OutboxBudget:
    """The limit of what may wait in all outboxes together.

    Attributes:
        max_bytes: Once this much waits, an outbox that has ``share_bytes`` already takes no more.
        share_bytes: What each outbox may hold in any case, so that slow readers don't affect others.
        used_bytes: What waits now or is being written.
    """

    max_bytes: int
    share_bytes: int
    used_bytes: int = 0

    def is_spent_for(self, held_bytes: int) -> bool:
        """Returns whether an outbox that holds this much may take no more."""
        return self.used_bytes >= self.max_bytes and held_bytes >= self.share_bytes


class Outbox:
    """A bounded queue of frames. Anybody can add a frame without waiting; one task takes them.

    Frames from other peers have limits of which each sender has a share. A frame beyond its sender's share is
    refused, without further consequences. Frames from the server answer what the peer itself has asked. If
    those exceed their limits, the peer isn't reading: the outbox overflows and drops everything, so that the
    close frame may still reach the peer in time.

    A closed outbox takes no more frames, but still hands out those that were queued before.

    Args:
        max_messages: How many frames of other peers may wait, and likewise how many of the server's own.
        max_bytes: How large they may be together, likewise.
        budget: Shared by the outboxes of all peers.
    """

    __slots__ = (
        "_arrival",
        "_budget",
        "_bytes",
        "_frames",
        "_max_bytes",
        "_max_messages",
        "_own_bytes",
        "_own_messages",
        "_own_taken_bytes",
        "_rest",
        "_sent_bytes",
        "_sent_messages",
        "_taken_bytes",
        "close_frame",
        "closed",
        "overflowed",
    )

    def __init__(self, *, max_messages: int, max_bytes: int, budget: OutboxBudget) -> None:
        self._budget = budget
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._frames: list[Frame] = []
        self._rest: Frame = b""
        self._bytes = 0
        self._taken_bytes = 0
        self._sent_messages = FairShare(max_messages, due=OUTBOX_DUE_MESSAGES)
        self._sent_bytes = FairShare(max_bytes, due=OUTBOX_DUE_BYTES)
        self._own_messages = 0
        self._own_bytes = 0
        self._own_taken_bytes = 0
        self._arrival: trio.Event | None = None
        self.closed = False
        self.overflowed = False
        self.close_frame: bytes | None = None

    def put(self, frame: Frame, sender: Hashable | None = None) -> bool:
        """Queues a frame.

        Args:
            frame: The frame.
            sender: The peer that sent it; None for the server itself, which may make the outbox overflow.

        Returns:
            False if the frame isn't queued: the outbox is closed or full, or the sender's share is used up.
        """
        if self.closed or self.overflowed:
            return False
        if sender is None:
            if not self._has_room_for_own():
                self.give_up()
                return False
            self._own_messages += 1
            self._own_bytes += len(frame)
        else:
            if not self._has_room_for(sender):
                return False
            self._sent_messages.add(sender)
            self._sent_bytes.add(sender, len(frame))
        self._frames.append(frame)
        self._count(len(frame))
        self._wake()
        return True

    def _has_room_for_own(self) -> bool:
        return (
            self._own_messages < self._max_messages
            and self._own_bytes < self._max_bytes
            and not self._budget.is_spent_for(self._own_bytes + self._own_taken_bytes)
        )

    def _has_room_for(self, sender: Hashable) -> bool:
        return (
            self._sent_messages.has_room_for(sender)
            and self._sent_bytes.has_room_for(sender)
            and not self._budget.is_spent_for(self._bytes + self._taken_bytes)
        )

    def give_up(self) -> None:
        """Drops all waiting frames, except for the rest of a started one, and takes no more."""
        self.overflowed = True
        self._frames.clear()
        self._count(len(self._rest) - self._bytes)
        self._forget_shares()

    def put_rest(self, rest: Frame) -> None:
        """Queues the rest of a frame that was partly written, before everything else.

        It stays even if the outbox overflows: half a frame would make whatever follows unreadable.
        """
        self._rest = rest
        self._count(len(rest))
        self._wake()

    def close(self, close_frame: bytes | None) -> None:
        """Closes the outbox, which takes no more frames then. Only the first call counts.

        Args:
            close_frame: The frame that closes the connection; None if the connection is lost.
        """
        if self.closed:
            return
        self.closed = True
        self.close_frame = close_frame
        self._wake()

    def is_empty(self) -> bool:
        """Returns whether no frame waits."""
        return not self._frames and not self._rest

    def take_now(self) -> list[Frame]:
        """Returns all waiting frames, if any. Whatever was taken before counts as written from now on."""
        frames = [self._rest, *self._frames] if self._rest else self._frames
        self._budget.used_bytes -= self._taken_bytes
        self._taken_bytes = self._bytes
        self._own_taken_bytes = self._own_bytes
        self._forget_shares()
        self._frames, self._rest, self._bytes = [], b"", 0
        return frames

    def discard(self) -> None:
        """Drops everything, at the connection's end."""
        self.take_now()
        self.take_now()

    async def take(self) -> list[Frame]:
        """Waits for frames and returns all of them; an empty list means that the outbox is closed."""
        if self.is_empty() and not self.closed:
            self._arrival = trio.Event()
            await self._arrival.wait()
        return self.take_now()

    def _count(self, more_bytes: int) -> None:
        self._bytes += more_bytes
        self._budget.used_bytes += more_bytes

    def _forget_shares(self) -> None:
        if self._sent_messages.used:
            self._sent_messages.clear()
            self._sent_bytes.clear()
        self._own_messages = self._own_bytes = 0

    def _wake(self) -> None:
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None
