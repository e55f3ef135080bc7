"""aiortc (https://aiortc.readthedocs.io): WebRTC in Python over OpenSSL, wherever Python runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCSctpTransport,
    RTCSessionDescription,
)
from aiortc.sdp import candidate_from_sdp

from ...base.sentences import as_clause
from ...errors import ConnectionFailedError, InvalidMessageError
from ...protocol.limits import CHUNK_BYTES, DATA_CHANNEL_LABEL
from . import sdp as sdp_text
from .aiortc_sctp import QuickSctpTransport
from .base import Engine, EngineEvents, IceSettings, Path

LOOPBACK_ADDRESS = "127.0.0.1"


class AiortcEngine(Engine):
    """An aiortc peer connection. It gathers all candidates before it creates a description."""

    name = "aiortc"

    def __init__(self, events: EngineEvents, ice: IceSettings) -> None:
        self._events = events
        self._loopback = ice.loopback
        # An empty list, not None: for None aiortc would ask a public STUN server.
        servers = [
            RTCIceServer(urls=list(server.urls), username=server.username, credential=server.credential)
            for server in ice.servers
        ]
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self._connection.on("connectionstatechange", self._state_changed)
        self._connection.on("datachannel", self._channel_offered)
        self._channel: RTCDataChannel | None = None

    # --- negotiation ------------------------------------------------------------------------

    async def create_offer(self) -> str:
        """See :class:`Engine`."""
        self._attach(self._connection.createDataChannel(DATA_CHANNEL_LABEL))
        self._quicken()
        return await self._describe(self._connection.createOffer)

    async def take_offer(self, sdp: str) -> None:
        """See :class:`Engine`."""
        await self._take(sdp, "offer")
        if self._connection.sctp is None:
            raise ConnectionFailedError("The other side's offer has no data channel in it.")
        self._quicken()

    async def create_answer(self) -> str:
        """See :class:`Engine`."""
        return await self._describe(self._connection.createAnswer)

    async def take_answer(self, sdp: str) -> None:
        """See :class:`Engine`."""
        await self._take(sdp, "answer")

    async def add_candidate(self, candidate: str, sdp_mid: str | None, sdp_mline_index: int | None) -> None:
        """See :class:`Engine`. Ignores the section's name: a description has only one media section."""
        if not candidate:
            await self._connection.addIceCandidate(None)
            return
        try:
            parsed = candidate_from_sdp(candidate.removeprefix("a=").removeprefix("candidate:"))
        except (AssertionError, ValueError, IndexError) as error:
            raise InvalidMessageError("The other side sent an invalid ICE candidate.") from error
        if parsed.ip.endswith(".local"):
            return  # an mDNS name, which hides the address; the other side's checks will reach us
        sctp = self._connection.sctp
        parsed.sdpMid = sctp.mid if sctp is not None else sdp_mid
        await self._connection.addIceCandidate(parsed)

    def _quicken(self) -> None:
        """Gives the transport its quicker methods, before it sends anything.

        The connection creates its own transport and has no parameter for another class.
        """
        sctp = self._connection.sctp
        if type(sctp) is RTCSctpTransport:
            sctp.__class__ = QuickSctpTransport

    async def _take(self, sdp: str, kind: str) -> None:
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(sdp=sdp, type=kind))
        except Exception as error:
            raise ConnectionFailedError(
                f"The other side's {kind} can't be used: {as_clause(error)}."
            ) from error
        self.message_bytes = int(min(sdp_text.max_message_bytes(sdp), CHUNK_BYTES))

    async def _describe(self, create: Callable[[], Awaitable[RTCSessionDescription]]) -> str:
        if self._loopback:
            self._gather_on_loopback()
        await self._connection.setLocalDescription(await create())
        sdp: str = self._connection.localDescription.sdp
        mid = sdp_text.media_id(sdp)
        for candidate in sdp_text.candidates(sdp):
            self._events.gathered(candidate, mid, 0)
        self._events.gathered("", mid, 0)
        return sdp

    def _gather_on_loopback(self) -> None:
        """Makes aioice gather on 127.0.0.1, which it otherwise leaves out, and on no other address.

        ``get_component_candidates`` is a public method with the addresses as a parameter. Only the path to
        the object that has it is private.
        """
        ice: Any = self._ice_connection()
        gather = ice.get_component_candidates

        def gather_on_loopback(component: int, addresses: list[str], timeout: int = 5) -> Any:
            return gather(component, [LOOPBACK_ADDRESS], timeout)

        ice.get_component_candidates = gather_on_loopback

    def _ice_connection(self) -> Any:
        sctp = self._connection.sctp
        return None if sctp is None else sctp.transport.transport.iceGatherer._connection

    # --- events -----------------------------------------------------------------------------

    def _attach(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.bufferedAmountLowThreshold = self.high_water_bytes // 4
        channel.on("open", self._events.opened)
        channel.on("message", self._events.received)
        channel.on("bufferedamountlow", self._events.buffer_low)
        channel.on("close", self._channel_closed)

    def _channel_offered(self, channel: RTCDataChannel) -> None:
        if self._channel is None and channel.label == DATA_CHANNEL_LABEL:
            self._attach(channel)
            self._events.opened()

    def _channel_closed(self) -> None:
        # An orderly close arrives over a transport that is still up. If the path is lost, the transport goes
        # first.
        sctp = self._connection.sctp
        if sctp is not None and sctp.transport.state == "connected":
            self._events.closed("The other side closed the connection.")
        else:
            self._events.closed("The connection to the other side was lost.")

    def _state_changed(self) -> None:
        if self._connection.connectionState in ("failed", "closed"):
            self._events.closed("The connection to the other side was lost.")

    # --- the channel ------------------------------------------------------------------------

    @property
    def buffered_bytes(self) -> int:
        """See :class:`Engine`."""
        return 0 if self._channel is None else int(self._channel.bufferedAmount)

    def send(self, message: str | bytes) -> None:
        """See :class:`Engine`."""
        if self._channel is not None:
            self._channel.send(message)

    def close_channel(self) -> None:
        """See :class:`Engine`."""
        if self._channel is None:
            self._events.closed("The connection was closed.")
        else:
            self._channel.close()

    async def selected_path(self) -> Path | None:
        """See :class:`Engine`. aiortc has no public attribute for the pair that ICE nominated."""
        pair = getattr(self._ice_connection(), "_nominated", {}).get(1)
        if pair is None:
            return None
        ends = (pair.local_candidate, pair.remote_candidate)
        return Path(
            kind="relayed" if any(end.type == "relay" for end in ends) else "direct",
            local=f"{ends[0].host}:{ends[0].port}",
            remote=f"{ends[1].host}:{ends[1].port}",
        )

    async def close(self) -> None:
        """See :class:`Engine`."""
        await self._connection.close()
