"""What waits for one peer's socket."""

from __future__ import annotations

from typing import TypeAlias

import attrs
import trio

Frame: TypeAlias = bytes | memoryview
"""A frame, or what is left of one."""


@attrs.define(eq=False)
class OutboxBudget:
    """What may wait in all outboxes together.

    Attributes:
        max_bytes: Once so much waits, no outbox takes more that holds its share already.
        share_bytes: What each may hold in any case: those that read slowly go, not those that read.
        used_bytes: What waits now, or is being written.
    """

    max_bytes: int
    share_bytes: int
    used_bytes: int = 0

    def is_spent_for(self, held_bytes: int) -> bool:
        """Says whether an outbox that holds so much has to do without more."""
        return self.used_bytes >= self.max_bytes and held_bytes >= self.share_bytes


class Outbox:
    """A bounded queue of frames that anybody can put into without waiting, and one task empties.

    Once it's closed it takes nothing more, but still hands out what was queued before. Where it overflows,
    that is given up: the peer doesn't read, and only the close frame may still reach it in time.

    Args:
        max_messages: Messages that may wait.
        max_bytes: Their size together.
        budget: Shared by the outboxes of all peers.
    """

    __slots__ = (
        "_arrival",
        "_budget",
        "_bytes",
        "_frames",
        "_max_bytes",
        "_max_messages",
        "_rest",
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
        self._arrival: trio.Event | None = None
        self.closed = False
        self.overflowed = False
        self.close_frame: bytes | None = None

    def put(self, frame: Frame) -> bool:
        """Queues a frame, or returns False where it's closed or full; what waits is then given up."""
        if self.closed:
            return False
        if (
            len(self._frames) >= self._max_messages
            or self._bytes >= self._max_bytes
            or self._budget.is_spent_for(self._bytes + self._taken_bytes)
        ):
            self.overflowed = True
            self._frames.clear()
            self._count(len(self._rest) - self._bytes)
            return False
        self._frames.append(frame)
        self._count(len(frame))
        self._wake()
        return True

    def put_rest(self, rest: Frame) -> None:
        """Queues the rest of a frame whose beginning is written already, before everything else.

        It stays even where the outbox overflows: half a frame would make whatever follows unreadable.
        """
        self._rest = rest
        self._count(len(rest))
        self._wake()

    def close(self, close_frame: bytes | None) -> None:
        """Takes nothing more. The first close counts.

        Args:
            close_frame: What to close the connection with; None where it's gone already.
        """
        if self.closed:
            return
        self.closed = True
        self.close_frame = close_frame
        self._wake()

    def is_empty(self) -> bool:
        """Says whether nothing waits."""
        return not self._frames and not self._rest

    def take_now(self) -> list[Frame]:
        """Takes everything that waits, which may be nothing. What was taken before has been written then."""
        frames = [self._rest, *self._frames] if self._rest else self._frames
        self._budget.used_bytes -= self._taken_bytes
        self._taken_bytes = self._bytes
        self._frames, self._rest, self._bytes = [], b"", 0
        return frames

    def discard(self) -> None:
        """Lets go of everything, at the connection's end."""
        self.take_now()
        self.take_now()

    async def take(self) -> list[Frame]:
        """Waits until there is something, and takes it all; nothing means that the outbox is closed."""
        if self.is_empty() and not self.closed:
            self._arrival = trio.Event()
            await self._arrival.wait()
        return self.take_now()

    def _count(self, more_bytes: int) -> None:
        self._bytes += more_bytes
        self._budget.used_bytes += more_bytes

    def _wake(self) -> None:
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None
