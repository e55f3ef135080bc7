"""libwebrtc, Chrome's WebRTC stack, through wrtc (https://wrtc.marshal.dev): the extra ``fast``."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final, Literal

import webrtc

from ...base.sentences import as_clause
from ...errors import ConnectionFailedError, InvalidMessageError
from ...protocol.limits import DATA_CHANNEL_LABEL
from . import sdp as sdp_text
from .base import Engine, EngineEvents, IceSettings, Path

GATHER_TIMEOUT_SEC: Final = 2.0
"""How long a description waits for candidates, for peers that don't trickle. Later ones are trickled."""

SELECT_TIMEOUT_SEC: Final = 1.0

MAX_MESSAGE_BYTES: Final = 256 * 1024
"""The most that libwebrtc accepts; peers that announce less get smaller messages. Handling one message costs
Python about as much as sending 16 KiB costs libwebrtc."""

SEND_BUFFER_BYTES: Final = 2 * 1024 * 1024
"""About 20 ms on a fast network, in which Python reads what comes next. With less, libwebrtc would be idle
whenever a thread has to wait for the processor. On a slow network control frames would wait behind it, so a
sender leaves less to it if the receiver acknowledges arrival (``sleaprtc.transfer.flow``). If it doesn't, an
aborted transfer may end before the other side learns why, below 0.5 MiB a second."""

# Must precede the first connection of a process. Each connection decides which candidates it reports.
with suppress(webrtc.InvalidStateError):
    webrtc.allow_loopback()


class LibwebrtcEngine(Engine):
    """A libwebrtc peer connection. Its network code runs in threads of its own."""

    name = "libwebrtc"
    high_water_bytes = SEND_BUFFER_BYTES

    def __init__(self, events: EngineEvents, ice: IceSettings) -> None:
        self._events = events
        self._loopback = ice.loopback
        servers = [
            webrtc.RTCIceServer(
                urls=list(server.urls), username=server.username, credential=server.credential
            )
            for server in ice.servers
        ]
        self._connection: Any = webrtc.RTCPeerConnection(webrtc.RTCConfiguration(ice_servers=servers))
        self._gathered_all = asyncio.Event()
        self._channel: Any = None
        self._connection.on("icecandidate", self._candidate_found)
        self._connection.on("connectionstatechange", self._state_changed)
        self._connection.on("datachannel", self._channel_offered)

    # --- negotiation ------------------------------------------------------------------------

    async def create_offer(self) -> str:
        """See :class:`Engine`."""
        self._attach(self._connection.create_data_channel(DATA_CHANNEL_LABEL))
        return await self._describe()

    async def take_offer(self, sdp: str) -> None:
        """See :class:`Engine`."""
        await self._take(sdp, "offer")

    async def create_answer(self) -> str:
        """See :class:`Engine`."""
        return await self._describe()

    async def take_answer(self, sdp: str) -> None:
        """See :class:`Engine`."""
        await self._take(sdp, "answer")

    async def add_candidate(self, candidate: str, sdp_mid: str | None, sdp_mline_index: int | None) -> None:
        """See :class:`Engine`. Ignores the section's name: a description has only one media section."""
        line = candidate.removeprefix("a=")
        if line and not line.startswith("candidate:"):
            line = f"candidate:{line}"
        try:
            await self._connection.add_ice_candidate(
                webrtc.RTCIceCandidateInit(candidate=line, sdp_m_line_index=0)
            )
        except (TypeError, ValueError, webrtc.OperationError) as error:
            raise InvalidMessageError("The other side sent an invalid ICE candidate.") from error

    async def _take(self, sdp: str, kind: Literal["offer", "answer"]) -> None:
        try:
            await self._connection.set_remote_description(webrtc.RTCSessionDescriptionInit(kind, sdp))
        except Exception as error:
            raise ConnectionFailedError(
                f"The other side's {kind} can't be used: {as_clause(error)}."
            ) from error
        self.message_bytes = int(min(sdp_text.max_message_bytes(sdp), MAX_MESSAGE_BYTES))

    async def _describe(self) -> str:
        await self._connection.set_local_description()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._gathered_all.wait(), GATHER_TIMEOUT_SEC)
        return "".join(
            line
            for line in self._connection.local_description.sdp.splitlines(keepends=True)
            if not line.startswith("a=candidate:") or self._is_told(line)
        )

    def _is_told(self, candidate: str) -> bool:
        return sdp_text.is_loopback(candidate) == self._loopback

    # --- events -----------------------------------------------------------------------------

    def _candidate_found(self, event: Any) -> None:
        found = event.candidate
        if found is None:
            self._gathered_all.set()
            self._events.gathered("", "0", 0)
        elif found.candidate and self._is_told(found.candidate):
            self._events.gathered(found.candidate, found.sdp_mid, found.sdp_m_line_index)

    def _attach(self, channel: Any) -> None:
        self._channel = channel
        channel.buffered_amount_low_threshold = self.high_water_bytes // 2
        channel.on("open", lambda _: self._events.opened())
        channel.on("message", lambda event: self._events.received(event.data))
        channel.on("bufferedamountlow", lambda _: self._events.buffer_low())
        channel.on("close", lambda _: self._events.closed("The other side closed the connection."))

    def _channel_offered(self, event: Any) -> None:
        if self._channel is None and event.channel.label == DATA_CHANNEL_LABEL:
            self._attach(event.channel)
            self._events.opened()

    def _state_changed(self, _: Any) -> None:
        # "disconnected" may be temporary; "failed" comes about 30 seconds after the other side fell silent.
        if self._connection.connection_state in ("failed", "closed"):
            self._events.closed("The connection to the other side was lost.")

    # --- the channel ------------------------------------------------------------------------

    @property
    def buffered_bytes(self) -> int:
        """See :class:`Engine`."""
        return 0 if self._channel is None else int(self._channel.buffered_amount)

    def send(self, message: str | bytes) -> None:
        """See :class:`Engine`."""
        self._channel.send(message)

    def close_channel(self) -> None:
        """See :class:`Engine`."""
        if self._channel is None:
            self._events.closed("The connection was closed.")
        else:
            self._channel.close()

    async def selected_path(self) -> Path | None:
        """See :class:`Engine`."""
        sctp = self._connection.sctp
        if sctp is None:
            return None
        transport = sctp.transport.ice_transport
        selected = asyncio.Event()
        transport.on("selectedcandidatepairchange", lambda _: selected.set())
        if transport.get_selected_candidate_pair() is None:  # may be known only after the channel is open
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(selected.wait(), SELECT_TIMEOUT_SEC)
        pair = transport.get_selected_candidate_pair()
        if pair is None:
            return None
        ends = (pair.local, pair.remote)
        return Path(
            kind="relayed" if any(end.type == "relay" for end in ends) else "direct",
            local=f"{pair.local.address}:{pair.local.port}",
            remote=f"{pair.remote.address}:{pair.remote.port}",
        )

    async def close(self) -> None:
        """See :class:`Engine`."""
        self._connection.close()
