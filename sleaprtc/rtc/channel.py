"""What the transfer layer needs of a data channel, whichever engine carries it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..protocol.limits import CHUNK_BYTES


class DataChannel(ABC):
    """A reliable, ordered channel of messages (RFC 8831) between two peers.

    One task may send while another receives; two tasks may not send, nor two receive, at once.
    """

    @property
    def message_bytes(self) -> int:
        """The size of binary message that suits this channel; any up to it is taken."""
        return CHUNK_BYTES

    @abstractmethod
    async def send(self, message: str | bytes) -> None:
        """Queues one message, waiting first while the engine's send buffer is above its high-water mark.

        Where it doesn't wait, it needn't be a checkpoint.

        Raises:
            ChannelClosedError: The channel is closed, or closes while this waits.
        """

    @abstractmethod
    async def receive(self) -> str | bytes:
        """Returns the next message in order. Where one is there, it needn't be a checkpoint.

        Raises:
            ChannelClosedError: The channel is closed and everything that came before is read.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Closes the channel; messages already queued may be lost. Closing twice is fine."""
