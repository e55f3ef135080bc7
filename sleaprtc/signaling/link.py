"""A peer's membership in a room, which survives lost connections."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

import attrs
import trio

from ..base.exception_groups import single_error
from ..base.nurseries import contained, open_outliving_nursery
from ..base.sentences import as_sentence
from ..errors import (
    InvalidTokenError,
    NetworkError,
    PeerIdTakenError,
    ProtocolError,
    RateLimitedError,
    SignalingLostError,
    SignalingResetError,
    SleapRTCError,
)
from ..protocol.codec import encode_job_message
from ..protocol.jobs import JobMessage
from ..protocol.messages import (
    ClientMessage,
    IceServer,
    JSONObject,
    Metadata,
    PeerInfo,
    PeerMessage,
    Register,
)
from ..rooms.metadata import merged
from .http import Account, Endpoints, Room, open_http
from .session import Inbound, Session, open_session

BACKOFF_FIRST_SEC: Final = 0.5
BACKOFF_MOST_SEC: Final = 10.0
"""The longest wait between two attempts. A server that restarts with a thousand peers thus has them all back
soon, with about a hundred registrations a second."""

OTHERS_BACK_SEC: Final = BACKOFF_MOST_SEC + 5.0
"""How long other peers, which lost the server too, may need to come back after this one has."""

_PASSING: Final = (
    NetworkError,
    ProtocolError,
    RateLimitedError,
    PeerIdTakenError,
    InvalidTokenError,
)
"""Errors that may be gone at the next attempt. Any other refusal is final."""

_CUT: Final = (SignalingResetError, SignalingLostError)
"""Errors of a connection that a reachable server cuts, as it does while it restarts."""


@attrs.frozen
class Membership:
    """Which room to join, and as which peer.

    ``resume_token`` takes this peer's name back from a connection that the server still believes to be alive.
    """

    endpoints: Endpoints
    room: Room
    peer_id: str
    role: str
    metadata: Metadata
    resume_token: str | None = attrs.field(default=None, repr=False)


def backoff_delays(rng: random.Random | None = None) -> Iterable[float]:
    """Yields delays in seconds, with full jitter: uniform below a ceiling that doubles up to 10 s.

    Full jitter keeps the peers of a restarted server from all coming back at the same moment.
    """
    draw = (rng or random.SystemRandom()).uniform
    ceiling = BACKOFF_FIRST_SEC
    while True:
        yield draw(0, ceiling)
        ceiling = min(ceiling * 2, BACKOFF_MOST_SEC)


class Link:
    """A membership that reconnects by itself. Made by :func:`open_link`.

    Attributes:
        ice_servers: The STUN and TURN servers that the server named at the last registration.
        expires_at: When the room ends, in Unix epoch seconds; None if the server didn't tell.
    """

    def __init__(
        self,
        membership: Membership,
        account: Account,
        on_change: Callable[[str], None],
        outlives_first_reset: bool,
    ) -> None:
        self._membership = membership
        self._outlives_first_reset = outlives_first_reset
        self._account = account
        self._on_change = on_change
        self._session: Session | None = None
        self._connected = trio.Event()
        self._resume_token = membership.resume_token
        self._token_is_stale = False
        self._ending: SleapRTCError | None = None
        self._back_at = -math.inf
        self._returned = trio.Event()
        self._inbound_send, self._inbound = trio.open_memory_channel[Inbound](0)
        self.ice_servers: tuple[IceServer, ...] = ()
        self.expires_at: float | None = None

    @property
    def membership(self) -> Membership:
        """Which room this is, and who this peer is in it."""
        return self._membership

    @property
    def peer_id(self) -> str:
        """The name that this peer has in the room."""
        return self._membership.peer_id

    @property
    def resume_token(self) -> str | None:
        """The secret from the last registration with which this peer can take its name back."""
        return self._resume_token

    @property
    def is_connected(self) -> bool:
        """Whether this peer is connected to the server now."""
        return self._session is not None

    @property
    def has_ended(self) -> bool:
        """Whether the membership has ended for good, such as because the room has."""
        return self._ending is not None

    @property
    def back_at(self) -> float:
        """``trio.current_time()`` of the last return into the room; minus infinity before the first."""
        return self._back_at

    @property
    def is_settled(self) -> bool:
        """Whether a peer that isn't in the room has left it. Otherwise it may just not be back yet."""
        return trio.current_time() - self._back_at > OTHERS_BACK_SEC

    async def receive(self) -> Inbound:
        """Waits for the next message, and reconnects as often as needed.

        Raises:
            RefusedError: The membership has ended for good, such as because the room has.
        """
        try:
            return await self._inbound.receive()
        except trio.EndOfChannel:
            raise self._ended() from None

    async def send(self, message: ClientMessage) -> None:
        """Sends a message over the current connection.

        Raises:
            SignalingLostError: The server can't be reached now.
            RefusedError: The membership has ended for good.
        """
        await self._current().send(message)

    async def send_job_message(self, to_peer_id: str, message: JobMessage) -> None:
        """Sends a job message over the current connection; raises as :meth:`send` does."""
        await self.send(PeerMessage(self.peer_id, to_peer_id, encode_job_message(message)))

    async def deliver_job_message(self, to_peer_id: str, message: JobMessage) -> None:
        """Sends a job message once the server can be reached, and returns once the server has it.

        If the connection is lost before that is certain, the message is sent again over the next one, so it
        may arrive twice.

        Raises:
            RefusedError: The membership has ended for good.
        """
        wrapped = PeerMessage(self.peer_id, to_peer_id, encode_job_message(message))
        while True:
            await self._connected.wait()
            try:
                session = self._current()
                await session.send(wrapped)
                return await session.confirm()
            except SignalingLostError:
                await trio.sleep(BACKOFF_FIRST_SEC)

    async def wait_return(self) -> None:
        """Waits until this peer has reconnected; messages that others sent to it meanwhile may be lost."""
        await self._returned.wait()

    async def discover(self, filters: JSONObject) -> tuple[PeerInfo, ...]:
        """Returns the peers of the room that match ``filters`` (protocol reference, section 2).

        Raises:
            InvalidFilterError: The server refuses the filters.
            InvalidAnswerError: The server's answer isn't a list of peers.
            SignalingLostError: The server can't be reached now.
            RefusedError: The membership has ended for good.
        """
        return await self._current().discover(filters)

    async def update_metadata(self, metadata: Metadata) -> None:
        """Merges ``metadata`` into this peer's own; the server gets it now or with the next registration."""
        self._membership = attrs.evolve(
            self._membership, metadata=merged(self._membership.metadata, metadata)
        )
        if self._session is not None:
            try:
                await self._session.update_metadata(metadata)
            except SignalingLostError:
                return  # the next registration sends it

    def _current(self) -> Session:
        if self._ending is not None:
            raise self._ended()
        if self._session is None:
            raise SignalingLostError("The signaling server can't be reached just now.")
        return self._session

    def _ended(self) -> SleapRTCError:
        ending = self._ending or SignalingLostError("This peer has left the room.")
        return type(ending)(str(ending))

    def _register_message(self) -> Register:
        membership = self._membership
        return Register(
            peer_id=membership.peer_id,
            room_id=membership.room.room_id,
            token=membership.room.token,
            id_token=self._account.id_token,
            role=membership.role,
            metadata=membership.metadata,
            resume_token=self._resume_token,
        )

    async def _stay_once(self, ready: Callable[[], None]) -> None:
        """Registers and receives messages until the connection ends, which raises an error."""
        await self._refresh_token()
        endpoints = self._membership.endpoints
        async with open_session(
            endpoints.ws_url, self._register_message(), ca_file=endpoints.ca_file
        ) as session:
            self._session = session
            self._resume_token = session.registration.resume_token
            self.ice_servers = session.registration.ice_servers
            self.expires_at = session.registration.expires_at
            self._connected.set()
            ready()
            try:
                while True:
                    await self._inbound_send.send(await session.receive())
            finally:
                self._session = None
                self._connected = trio.Event()

    async def _refresh_token(self) -> None:
        if self._token_is_stale:
            endpoints = self._membership.endpoints
            async with open_http(endpoints.http_url, endpoints.ca_file) as http:
                self._account = await http.sign_in()
            self._token_is_stale = False

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:
        with self._inbound_send:
            await self._stay(task_status)

    async def _stay(self, task_status: trio.TaskStatus[None]) -> None:
        delays = iter(backoff_delays())
        been_in, said = False, ""

        def ready() -> None:
            nonlocal been_in, delays, said
            if been_in:
                self._back_at = trio.current_time()
                self._returned.set()
                self._returned = trio.Event()
                self._on_change("Back in the room.")
            else:
                task_status.started()
            been_in, delays, said = True, iter(backoff_delays()), ""

        while True:
            try:
                # A failure here ends the connection, and another one follows. Before the first registration,
                # it ends the link.
                with (
                    single_error(),
                    contained("The connection to the server failed.", let_through=(SleapRTCError,)) as stay,
                ):
                    await self._stay_once(ready)
                if stay.failure is not None and not been_in:
                    raise stay.failure
            except SleapRTCError as error:
                if not been_in and not (self._outlives_first_reset and isinstance(error, _CUT)):
                    raise
                if not isinstance(error, _PASSING):
                    self._ending = error
                    self._connected.set()
                    return
                self._token_is_stale |= isinstance(error, InvalidTokenError)
                if str(error) != said:  # a long outage is reported once
                    said = str(error)
                    self._on_change(f"{as_sentence(error)} Trying again until it works.")
            await trio.sleep(next(delays))


@asynccontextmanager
async def open_link(
    membership: Membership,
    account: Account,
    *,
    on_change: Callable[[str], None] = lambda _: None,
    outlives_first_reset: bool = False,
) -> AsyncIterator[Link]:
    """Joins the room and stays in it until the block is left.

    If the first registration fails, its error is raised. Connections that are lost later are reestablished
    under the same name, with waits of up to 10 seconds between attempts. The link still works while a
    cancelled block cleans up.

    Args:
        membership: Which room to join, and as which peer.
        account: The account to register with.
        on_change: Gets a sentence for each loss of the connection and for each return.
        outlives_first_reset: Whether to try again, too, if a reachable server cuts the connection before the
            first registration.

    Raises:
        UsageError: An address is invalid.
        SignalingUnreachableError: Nothing answers at the address, or it isn't a signaling server.
        InvalidAnswerError: The server's answer breaks the protocol.
        UntrustedServerError: The server's certificate isn't valid or isn't trusted.
        RefusedError: The server refuses the registration; the subclass gives the reason.
    """
    with single_error():
        # A failure in a connection ends that connection alone, see Link._stay(). Any other ends the block.
        async with open_outliving_nursery() as nursery:
            link = Link(membership, account, on_change, outlives_first_reset)
            await nursery.start(link._run)
            yield link
