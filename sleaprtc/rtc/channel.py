"""The data channel as the transfer layer uses it, independent of the engine."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..protocol.limits import CHUNK_BYTES


class DataChannel(ABC):
    """A reliable, ordered channel of messages (RFC 8831) between two peers.

    One task may send while another receives, but no two tasks may send, or receive, at once.
    """

    @property
    def message_bytes(self) -> int:
        """The best size for binary messages, which is also the largest that the channel accepts."""
        return CHUNK_BYTES

    @property
    def unsent_bytes(self) -> int:
        """What was queued and isn't on its way yet; 0 if that isn't known."""
        return 0

    @property
    def unread_bytes(self) -> int:
        """What has arrived and wasn't received yet; 0 if that isn't known."""
        return 0

    @abstractmethod
    async def send(self, message: str | bytes) -> None:
        """Queues one message, waiting first while the engine's send buffer is above its high-water mark.

        If it doesn't wait, it may not be a checkpoint.

        Raises:
            ChannelClosedError: The channel is closed, or closes while this waits.
        """

    @abstractmethod
    async def receive(self) -> str | bytes:
        """Returns the next message in order. If one is there already, this may not be a checkpoint.

        Raises:
            ChannelClosedError: The channel is closed, and every message that came before has been read.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Closes the channel; messages already queued may be lost. Closing twice is fine."""
