"""What a WebRTC stack must do to be an engine, and what it tells in return.

Everything here happens on the asyncio side of the bridge: coroutines are run by the bridge, plain
methods are called from within its loop, and so are the events. What crosses is text, bytes and this
package's own types.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

import attrs

from ...protocol.limits import CHUNK_BYTES
from ...protocol.messages import IceServer


@attrs.frozen
class IceSettings:
    """How to look for a network path.

    Attributes:
        servers: STUN and TURN servers; none are asked unless they are named here.
        loopback: Gather candidates on 127.0.0.1 only, for two peers on one machine. Without it
            127.0.0.1 is left out, as RFC 8445, section 5.1.1.1, asks.
        refused_urls: Servers that are known and aren't asked, see :mod:`sleaprtc.rtc.public_ice`.
    """

    servers: tuple[IceServer, ...] = ()
    loopback: bool = False
    refused_urls: tuple[str, ...] = ()


@attrs.frozen
class Path:
    """The pair of addresses that ICE selected.

    Attributes:
        kind: ``"direct"``, or ``"relayed"`` where either end goes through a TURN server.
        local: ``host:port`` of this side.
        remote: ``host:port`` of the other side.
    """

    kind: str
    local: str
    remote: str


class EngineEvents(Protocol):
    """What an engine tells. None of these raises or waits, so that no stack is harmed by them."""

    def opened(self) -> None:
        """The data channel is open in both directions."""

    def received(self, message: str | bytes) -> None:
        """A message came, in order."""

    def buffer_low(self) -> None:
        """``buffered_bytes`` fell to the low-water mark from above it; said of no other change."""

    def closed(self, reason: str) -> None:
        """The channel or its connection ended, or failed to come about; ``reason`` is a sentence."""

    def gathered(self, candidate: str, sdp_mid: str | None, sdp_mline_index: int | None) -> None:
        """A local candidate was found (RFC 8839, section 5.1, without ``a=``); empty after the last."""


class Engine(ABC):
    """One peer connection with one data channel, labelled as the protocol asks.

    Constructed on the asyncio side. Remote descriptions are handed in without candidates, which come
    one by one through :meth:`add_candidate`, whichever way they travelled.

    Attributes:
        name: What ``open_peer(engine=…)`` calls it.
        high_water_bytes: Above this many ``buffered_bytes`` sending waits. Low where more adds delay for
            control frames and no throughput.
        message_bytes: The size of message that it carries best.
    """

    name: ClassVar[str]
    high_water_bytes: ClassVar[int] = 256 * 1024
    message_bytes: int = CHUNK_BYTES

    @abstractmethod
    def __init__(self, events: EngineEvents, ice: IceSettings) -> None: ...

    @abstractmethod
    async def create_offer(self) -> str:
        """Creates the data channel, and returns the SDP that offers it."""

    @abstractmethod
    async def take_offer(self, sdp: str) -> None:
        """Takes in the other side's offer."""

    @abstractmethod
    async def create_answer(self) -> str:
        """Returns the SDP that answers the offer taken in."""

    @abstractmethod
    async def take_answer(self, sdp: str) -> None:
        """Takes in the other side's answer."""

    @abstractmethod
    async def add_candidate(self, candidate: str, sdp_mid: str | None, sdp_mline_index: int | None) -> None:
        """Adds a remote candidate; an empty one says that it was the last.

        Raises:
            InvalidMessageError: It isn't a candidate.
        """

    @property
    @abstractmethod
    def buffered_bytes(self) -> int:
        """Bytes given to :meth:`send` that aren't on the wire."""

    @abstractmethod
    def send(self, message: str | bytes) -> None:
        """Queues one message; only called between ``opened`` and ``closed``."""

    @abstractmethod
    def close_channel(self) -> None:
        """Closes the data channel after what is queued; ``closed`` tells when it's done."""

    @abstractmethod
    async def selected_path(self) -> Path | None:
        """The path in use, or None where the stack doesn't tell."""

    @abstractmethod
    async def close(self) -> None:
        """Ends the connection, telling the other side; frees sockets and tasks."""
