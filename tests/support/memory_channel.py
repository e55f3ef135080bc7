"""A data channel without a network, for tests: two ends in one process, with faults on demand."""

from __future__ import annotations

import math

import trio

from sleaprtc.errors import ChannelClosedError
from sleaprtc.protocol.limits import CHUNK_BYTES
from sleaprtc.rtc.channel import DataChannel


class MemoryChannel(DataChannel):
    """One end of a pair; see :func:`memory_channel_pair`.

    Attributes:
        sent: Everything that this end has sent.
        message_bytes: The best size for binary messages; tests may change it.
    """

    message_bytes = CHUNK_BYTES

    def __init__(
        self, outbound: trio.MemorySendChannel[str | bytes], inbound: trio.MemoryReceiveChannel[str | bytes]
    ) -> None:
        self._outbound = outbound
        self._inbound = inbound
        self._flowing = trio.Event()
        self._flowing.set()
        self._cut_after_bytes = math.inf
        self._sent_bytes = 0
        self.other: MemoryChannel | None = None
        self.sent: list[str | bytes] = []

    async def send(self, message: str | bytes) -> None:
        """See :class:`DataChannel`."""
        self._sent_bytes += len(message)
        if self._sent_bytes > self._cut_after_bytes:
            self.cut()
        try:
            await self._outbound.send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ChannelClosedError("The connection to the other side was lost.") from None
        self.sent.append(message)

    async def receive(self) -> str | bytes:
        """See :class:`DataChannel`."""
        await self._flowing.wait()
        try:
            return await self._inbound.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise ChannelClosedError("The connection to the other side was lost.") from None

    async def aclose(self) -> None:
        """See :class:`DataChannel`."""
        self._outbound.close()
        self._inbound.close()
        await trio.lowlevel.checkpoint()

    # --- faults -----------------------------------------------------------------------------

    def stall(self) -> None:
        """Stops this end from reading, until :meth:`go_on`."""
        self._flowing = trio.Event()

    def go_on(self) -> None:
        """Lets this end read again."""
        self._flowing.set()

    def cut(self) -> None:
        """Breaks the connection for both ends; messages in flight are lost."""
        for end in (self, self.other):
            if end is not None:
                end._outbound.close()
                end._inbound.close()

    def cut_after(self, byte_count: float) -> None:
        """Cuts once this end has sent more than ``byte_count`` further bytes."""
        self._cut_after_bytes = self._sent_bytes + byte_count


def memory_channel_pair(buffer_messages: int = 16) -> tuple[MemoryChannel, MemoryChannel]:
    """Returns two ends; each direction holds ``buffer_messages`` before ``send`` waits."""
    a_out, b_in = trio.open_memory_channel[str | bytes](buffer_messages)
    b_out, a_in = trio.open_memory_channel[str | bytes](buffer_messages)
    a, b = MemoryChannel(a_out, a_in), MemoryChannel(b_out, b_in)
    a.other, b.other = b, a
    return a, b
