"""What waits for one peer's socket."""

from __future__ import annotations

import trio

from ..protocol.close_codes import CloseCode


class Outbox:
    """A bounded queue that anybody can put into without waiting, and one task empties.

    Once it's closed it takes nothing more, but still hands out what was queued before. Where it overflows,
    that is given up: the peer doesn't read, and only the close frame may still reach it in time.

    Args:
        max_messages: Messages that may wait.
        max_bytes: Their size together; texts are almost all ASCII, so characters are counted.
    """

    __slots__ = (
        "_arrival",
        "_bytes",
        "_max_bytes",
        "_max_messages",
        "_texts",
        "close_code",
        "close_reason",
        "closed",
        "overflowed",
    )

    def __init__(self, *, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._texts: list[str] = []
        self._bytes = 0
        self._arrival: trio.Event | None = None
        self.closed = False
        self.overflowed = False
        self.close_code: CloseCode | None = None
        self.close_reason = ""

    def put(self, text: str) -> bool:
        """Queues a message, or returns False where it's closed or full; what waits is then given up."""
        if self.closed:
            return False
        if len(self._texts) >= self._max_messages or self._bytes >= self._max_bytes:
            self.overflowed = True
            self._texts.clear()
            return False
        self._texts.append(text)
        self._bytes += len(text)
        self._wake()
        return True

    def close(self, code: CloseCode | None, reason: str = "") -> None:
        """Takes nothing more. The first close counts.

        Args:
            code: What to close the connection with; None where it's gone already.
            reason: Words for the close frame.
        """
        if self.closed:
            return
        self.closed = True
        self.close_code = code
        self.close_reason = reason
        self._wake()

    def take_now(self) -> list[str]:
        """Takes everything that waits, which may be nothing."""
        texts, self._texts, self._bytes = self._texts, [], 0
        return texts

    async def take(self) -> list[str]:
        """Waits until there is something, and takes it all; nothing means that the outbox is closed."""
        if not self._texts and not self.closed:
            self._arrival = trio.Event()
            await self._arrival.wait()
        return self.take_now()

    def _wake(self) -> None:
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None
