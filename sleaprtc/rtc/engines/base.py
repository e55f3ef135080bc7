"""The interface between a WebRTC stack and the rest of the package: methods of an engine, and its events.

All of it runs on the asyncio side of the bridge. The bridge runs coroutines; plain methods and events are
called from within its loop. Only text, bytes and this package's own types cross.
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
        servers: The STUN and TURN servers to ask; no others are asked.
        loopback: Gather candidates on 127.0.0.1 only, for two peers on one machine. Without it
            127.0.0.1 is left out, as RFC 8445, section 5.1.1.1, asks.
        refused_urls: Known servers that aren't asked, see :mod:`sleaprtc.rtc.public_ice`.
    """

    servers: tuple[IceServer, ...] = ()
    loopback: bool = False
    refused_urls: tuple[str, ...] = ()


@attrs.frozen
class Path:
    """The pair of addresses that ICE selected.

    Attributes:
        kind: ``"direct"``, or ``"relayed"`` if either end goes through a TURN server.
        local: ``host:port`` of this side.
        remote: ``host:port`` of the other side.
    """

    kind: str
    local: str
    remote: str


class EngineEvents(Protocol):
    """What an engine reports. None of these methods raises or waits, since stacks may not cope with that."""

    def opened(self) -> None:
        """The data channel is open in both directions."""

    def received(self, message: str | bytes) -> None:
        """The next message arrived."""

    def buffer_low(self) -> None:
        """``buffered_bytes`` fell to the low-water mark from above it. Other changes aren't reported."""

    def closed(self, reason: str) -> None:
        """The channel or its connection ended, or couldn't be established; ``reason`` is a sentence."""

    def gathered(self, candidate: str, sdp_mid: str | None, sdp_mline_index: int | None) -> None:
        """A local candidate was found (RFC 8839, section 5.1, without ``a=``); empty after the last."""


class Engine(ABC):
    """One peer connection with one data channel, labelled as the protocol requires.

    Constructed on the asyncio side. Remote descriptions are passed in without candidates: each candidate
    is passed to :meth:`add_candidate`, whether it came in a description or in a message of its own.

    Attributes:
        name: Its name for ``open_peer(engine=…)``.
        high_water_bytes: Sending waits while ``buffered_bytes`` is at least this. It is low if a larger
            buffer would delay control frames without adding throughput.
        message_bytes: The best size for a message.
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
        """Applies the other side's offer."""

    @abstractmethod
    async def create_answer(self) -> str:
        """Returns the SDP that answers the other side's offer."""

    @abstractmethod
    async def take_answer(self, sdp: str) -> None:
        """Applies the other side's answer."""

    @abstractmethod
    async def add_candidate(self, candidate: str, sdp_mid: str | None, sdp_mline_index: int | None) -> None:
        """Adds a remote candidate; an empty one means that there are no more.

        Raises:
            InvalidMessageError: It isn't a valid candidate.
        """

    @property
    @abstractmethod
    def buffered_bytes(self) -> int:
        """Bytes passed to :meth:`send` that aren't on the wire yet."""

    @abstractmethod
    def send(self, message: str | bytes) -> None:
        """Queues one message; only called between ``opened`` and ``closed``."""

    @abstractmethod
    def close_channel(self) -> None:
        """Closes the data channel once everything queued is sent; then ``closed`` is called."""

    @abstractmethod
    async def selected_path(self) -> Path | None:
        """Returns the path in use, or None if the stack doesn't report it."""

    @abstractmethod
    async def close(self) -> None:
        """Ends the connection, notifies the other side, and frees sockets and tasks."""
