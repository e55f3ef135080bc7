"""One peer's side of a WebRTC connection: :func:`open_peer`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import trio

from ..base.nurseries import contained
from ..errors import ConnectionFailedError, SleapRTCError
from ..protocol.messages import Answer, Candidate, Offer
from ._bridge import Bridge, open_bridge
from ._engine_channel import EngineChannel
from .background import open_background_nursery
from .channel import DataChannel
from .engines import engine_class
from .engines import sdp as sdp_text
from .engines.base import Engine, IceSettings, Path
from .no_path import Attempt, NoAnswerError, NoPathError, explain

__all__ = ["IceSettings", "Path", "Peer", "SignalingMessage", "open_peer"]

SignalingMessage: TypeAlias = Offer | Answer | Candidate

CONNECT_TIMEOUT_SEC: Final = 30.0
CLOSE_TIMEOUT_SEC: Final = 3.0
"""For the closing messages of SCTP and DTLS, one datagram each. Whatever takes longer is broken."""

MAX_REMOTE_CANDIDATES: Final = 100
"""More are ignored: ICE checks no more pairs than this (RFC 8445, section 6.1.2.5)."""

_log = logging.getLogger(__name__)


class Peer:
    """An open connection to another peer.

    Attributes:
        remote_id: The other peer's name in the room.
        channel: The data channel, reliable and ordered.
        path: The network path in use, or None if the engine doesn't report it.
        local_fingerprints: All certificate fingerprints in this side's description; see
            :func:`sleaprtc.rtc.engines.sdp.fingerprints`.
        remote_fingerprints: All certificate fingerprints in the other side's description, as received.
        engine: Name of the WebRTC stack.
    """

    def __init__(self, negotiation: _Negotiation, path: Path | None) -> None:
        self._channel = negotiation.channel
        self.remote_id = negotiation.remote_id
        self.channel: DataChannel = negotiation.channel
        self.path = path
        self.local_fingerprints = sdp_text.fingerprints(negotiation.local_sdp)
        self.remote_fingerprints = sdp_text.fingerprints(negotiation.remote_sdp)
        self.engine = negotiation.engine.name

    async def wait_closed(self) -> None:
        """Waits until either side has ended the connection."""
        await self._channel.closed_event.wait()


class _Negotiation:
    """Offer, answer and candidates of one connection, until it's open or has failed."""

    def __init__(
        self,
        bridge: Bridge,
        engine: Engine,
        channel: EngineChannel,
        *,
        local_id: str,
        remote_id: str,
        initiator: bool,
        send: Callable[[SignalingMessage], Awaitable[None]],
        ice: IceSettings,
    ) -> None:
        self._bridge = bridge
        self._ice = ice
        self._found: list[str] = []
        self.engine = engine
        self.channel = channel
        self._local_id = local_id
        self.remote_id = remote_id
        self._initiator = initiator
        self._send = send
        self.local_sdp = ""
        self.remote_sdp = ""
        self._described = trio.Event()
        self._early_candidates: list[Candidate] = []
        self._known_candidates: set[str] = set()
        self._error: SleapRTCError | None = None

    async def connect(self, timeout_sec: float) -> None:
        """Waits until the data channel is open.

        Raises:
            ConnectionFailedError: It isn't open after ``timeout_sec``, or can't be opened.
            SleapRTCError: As raised by ``send``.
        """
        with trio.move_on_after(timeout_sec) as scope:
            if self._initiator:
                await self._describe(Offer, await self._bridge.run(self.engine.create_offer))
            await self.channel.settled.wait()
        if self._error is not None:
            raise self._error
        if self.channel.is_open:  # even if it's closed by now: messages may be waiting to be read
            return
        raise self._why_not(timeout_sec if scope.cancelled_caught else None)

    def _why_not(self, timeout_sec: float | None) -> ConnectionFailedError:
        within = "" if timeout_sec is None else f" within {timeout_sec:g} seconds"
        if not self.remote_sdp:
            missing = "answer to the connection offer" if self._initiator else "connection offer"
            return NoAnswerError(f"No {missing} came from {self.remote_id}{within}.")
        found = tuple(candidate for candidate in self._known_candidates if candidate)
        attempt = Attempt(
            self.remote_id,
            self._ice.servers,
            self._ice.loopback,
            tuple(self._found),
            found,
            self._ice.refused_urls,
        )
        why, remedy = explain(attempt)
        return NoPathError(f"No network path to {self.remote_id} was found{within}. {why}".rstrip(), remedy)

    def _fail(self, error: SleapRTCError) -> None:
        if self._error is None:
            self._error = error
        self.channel.settled.set()

    async def run(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        """Runs a part of the negotiation; an unexpected failure makes :meth:`connect` raise."""
        with contained("The negotiation of a connection failed.") as containment:
            await work(*args)
        if containment.failure is not None:
            self._fail(ConnectionFailedError(f"Negotiating with {self.remote_id} failed unexpectedly."))

    # --- outwards ---------------------------------------------------------------------------

    async def _describe(self, kind: type[Offer] | type[Answer], sdp: str) -> None:
        self.local_sdp = sdp
        await self._send(kind(sender=self._local_id, target=self.remote_id, sdp=sdp))
        self._described.set()

    async def send_candidates(self) -> None:
        """Sends candidates after the description, as they are found; runs until cancelled."""
        await self._described.wait()
        try:
            async for candidate, mid, index in self.channel.gathered_candidates:
                if not candidate:
                    continue  # the end of candidates, which other implementations may not understand
                self._found.append(candidate)
                await self._send(
                    Candidate(
                        sender=self._local_id,
                        target=self.remote_id,
                        candidate=candidate,
                        sdp_mid="0" if mid is None else mid,
                        sdp_mline_index=index,
                    )
                )
        except SleapRTCError as error:
            self._fail(error)

    # --- inwards ----------------------------------------------------------------------------

    async def read_signaling(self, incoming: trio.MemoryReceiveChannel[SignalingMessage]) -> None:
        """Handles the other side's messages; runs until cancelled or until ``incoming`` ends."""
        try:
            async for message in incoming:
                if message.sender == self.remote_id:
                    await self._take(message)
        except SleapRTCError as error:
            self._fail(error)
        if not self.remote_sdp:
            self._fail(ConnectionFailedError(f"Signaling with {self.remote_id} ended too early."))

    async def _take(self, message: SignalingMessage) -> None:
        if isinstance(message, Candidate):
            if self.remote_sdp:
                await self._add_candidate(message)
            elif len(self._early_candidates) < MAX_REMOTE_CANDIDATES:
                self._early_candidates.append(message)
        elif self.remote_sdp or isinstance(message, Offer) == self._initiator:
            _log.debug("A second description from %s, or the wrong kind, is ignored.", self.remote_id)
        else:
            await self._take_description(message)

    async def _take_description(self, message: Offer | Answer) -> None:
        self.remote_sdp = message.sdp
        bare_sdp = sdp_text.without_candidates(message.sdp)
        if self._initiator:
            await self._bridge.run(self.engine.take_answer, bare_sdp)
        else:
            await self._bridge.run(self.engine.take_offer, bare_sdp)
            await self._describe(Answer, await self._bridge.run(self.engine.create_answer))
        for candidate in sdp_text.candidates(message.sdp):
            await self._add_candidate(Candidate(message.sender, message.target, candidate))
        for early in self._early_candidates:
            await self._add_candidate(early)
        self._early_candidates.clear()

    async def _add_candidate(self, message: Candidate) -> None:
        known = self._known_candidates
        if message.candidate in known or (message.candidate and len(known) >= MAX_REMOTE_CANDIDATES):
            return
        self._known_candidates.add(message.candidate)
        try:
            await self._bridge.run(
                self.engine.add_candidate, message.candidate, message.sdp_mid, message.sdp_mline_index
            )
        except SleapRTCError as error:  # other candidates may work, and one is enough
            _log.debug("A candidate from %s is ignored: %s", self.remote_id, error)


@asynccontextmanager
async def open_peer(
    *,
    local_id: str,
    remote_id: str,
    initiator: bool,
    send: Callable[[SignalingMessage], Awaitable[None]],
    incoming: trio.MemoryReceiveChannel[SignalingMessage],
    ice: IceSettings,
    engine: str = "auto",
    connect_timeout_sec: float = CONNECT_TIMEOUT_SEC,
) -> AsyncIterator[Peer]:
    """Connects to another peer of the room, and yields the connection once it's open.

    Leaving the block ends the connection, which the other side notices at once. If the other side ends it,
    the channel closes at once. If the other side falls silent, the channel closes after about 30 seconds
    (ICE consent, RFC 7675, section 5.1).

    Args:
        local_id: This peer's id in the room.
        remote_id: The other peer's id. Messages from others in ``incoming`` are ignored.
        initiator: Whether this side makes the offer and creates the channel.
        send: Sends a message through signaling. A SleapRTCError that it raises leaves this block.
        incoming: Messages from signaling. It may end once the connection is open.
        ice: How to look for a network path.
        engine: ``auto``, ``aiortc`` or ``libwebrtc``.
        connect_timeout_sec: How long the channel may take to open.

    Raises:
        ConnectionFailedError: The channel didn't open. If it is a NoPathError, it also has a remedy.
        UsageError: There is no such engine, or it isn't installed.
    """
    make_engine = engine_class(engine)
    async with open_bridge() as bridge, open_background_nursery() as nursery:
        channel = EngineChannel(bridge)

        async def create() -> Engine:
            return make_engine(channel, ice)

        stack = await bridge.run(create)
        channel.attach(stack)
        negotiation = _Negotiation(
            bridge,
            stack,
            channel,
            local_id=local_id,
            remote_id=remote_id,
            initiator=initiator,
            send=send,
            ice=ice,
        )
        try:
            nursery.start_soon(negotiation.run, negotiation.send_candidates)
            nursery.start_soon(negotiation.run, negotiation.read_signaling, incoming)
            await negotiation.connect(connect_timeout_sec)
            yield Peer(negotiation, await bridge.run(stack.selected_path))
        finally:
            nursery.cancel_scope.cancel()
            await _close(bridge, stack, channel)


async def _close(bridge: Bridge, engine: Engine, channel: EngineChannel) -> None:
    # Shielded: if closing were cancelled, the connection would stay open for the other side.
    with trio.CancelScope(shield=True):
        await channel.aclose()  # first, so that what is queued arrives
        with trio.move_on_after(CLOSE_TIMEOUT_SEC) as scope:
            try:
                await bridge.run(engine.close)
            except SleapRTCError as error:
                _log.debug("Closing the connection: %s", error)
    if scope.cancelled_caught:
        _log.debug("Closing the connection took more than %s seconds.", CLOSE_TIMEOUT_SEC)
