"""One registered WebSocket connection to the signaling server."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeAlias

import trio
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
)

from ..base.awake_clock import wait_standstill
from ..base.exception_groups import single_error
from ..base.fair_share import FairShare
from ..base.nurseries import contained
from ..errors import (
    InvalidAnswerError,
    InvalidFilterError,
    InvalidMessageError,
    ProtocolError,
    RoomExpiredError,
    SignalingLostError,
    SignalingUnreachableError,
    SleapRTCError,
    TooLargeError,
)
from ..protocol.codec import decode_server_message, encode_message
from ..protocol.messages import (
    ClientMessage,
    DiscoverPeers,
    ErrorMessage,
    JSONObject,
    Metadata,
    MetadataUpdated,
    PeerInfo,
    PeerList,
    PeerMessage,
    Register,
    RegisteredAuth,
    RoomClosed,
    RoutedMessage,
    ServerMessage,
    UpdateMetadata,
)
from ..protocol.values import is_name
from ..protocol.vocabulary import RoomEnd
from .refusals import from_close_code, from_error_message
from .websocket import open_websocket

CONNECT_TIMEOUT_SEC: Final = 10.0
REQUEST_TIMEOUT_SEC: Final = 10.0
PING_INTERVAL_SEC: Final = 20.0
PONG_TIMEOUT_SEC: Final = 20.0
"""A path that is lost silently, as after a change of networks, is noticed within 40 seconds. Until then, a
worker seems to be in the room but answers nobody. The package websockets has the same defaults."""

CONFIRM_TIMEOUT_SEC: Final = 4.0
"""The longest wait for the pong that confirms a message; opening a new connection costs little."""

MESSAGES_WAITING: Final = 4096
MESSAGES_DUE: Final = 64
"""How many messages of other peers may wait to be received, and how many of each peer in any case. Messages
beyond that are dropped."""

Inbound: TypeAlias = RoutedMessage | ErrorMessage
"""What :meth:`Session.receive` returns: messages from other peers, and errors that answer none of our
requests."""


class Session:
    """A registration in a room, over one connection. Made by :func:`open_session`.

    Attributes:
        registration: The server's answer to the registration, with the room's end and ICE servers.
    """

    def __init__(self, websocket: WebSocketConnection, registration: RegisteredAuth, ws_url: str) -> None:
        self.registration = registration
        self._websocket = websocket
        self._ws_url = ws_url
        self._inbound_send, self._inbound = trio.open_memory_channel[Inbound](math.inf)
        self._waiting = FairShare(MESSAGES_WAITING, due=MESSAGES_DUE)  # by sender
        self._answers_send, self._answers = trio.open_memory_channel[
            PeerList | MetadataUpdated | ErrorMessage | InvalidMessageError
        ](1)
        self._request_lock = trio.Lock()
        self._answers_owed = 0
        self._ending: SleapRTCError | None = None

    @property
    def peer_id(self) -> str:
        """The name that this peer has in the room."""
        return self.registration.peer_id

    async def send(self, message: ClientMessage) -> None:
        """Sends one message.

        Raises:
            SignalingLostError: The connection is lost.
        """
        try:
            await self._websocket.send_message(encode_message(message))
        except ConnectionClosed as error:
            raise self._lost() from error

    async def confirm(self) -> None:
        """Returns once the server has received everything that was sent before.

        The server answers a ping, which it reads after everything before it (RFC 6455, section 5.5.3). If it
        doesn't, the connection is half open, and is closed.

        Raises:
            SignalingLostError: The connection is lost, or no answer came within four seconds.
        """
        try:
            with trio.fail_after(CONFIRM_TIMEOUT_SEC):
                await self._websocket.ping()
        except trio.TooSlowError as error:
            await self._websocket.aclose()
            raise SignalingLostError("The signaling server doesn't answer.") from error
        except ConnectionClosed as error:
            raise self._lost() from error

    async def receive(self) -> Inbound:
        """Waits for the next message from another peer, or an error about one of ours.

        Raises:
            SignalingLostError: The connection is lost.
            RoomExpiredError: The room has ended.
            RefusedError: The server closed the connection; the subclass gives the reason.
        """
        try:
            message = await self._inbound.receive()
        except trio.EndOfChannel:
            raise self._lost() from None
        self._waiting.remove(sender_of(message))
        return message

    async def discover(self, filters: JSONObject) -> tuple[PeerInfo, ...]:
        """Returns the peers of the room that match ``filters`` (protocol reference, section 2).

        Raises:
            InvalidFilterError: The server refuses the filters.
            InvalidAnswerError: The server's answer isn't a list of peers.
            SignalingLostError: The connection is lost, or no answer came within ten seconds.
        """
        answer = await self._request(DiscoverPeers(self.peer_id, filters))
        if not isinstance(answer, PeerList):
            raise _wrong_answer(self._ws_url, "it isn't a list of peers.")
        return answer.peers

    async def update_metadata(self, metadata: Metadata) -> Metadata:
        """Merges ``metadata`` into this peer's own and returns the result.

        Raises:
            InvalidAnswerError: The server's answer isn't metadata.
            SignalingLostError: The connection is lost, or no answer came within ten seconds.
        """
        answer = await self._request(UpdateMetadata(self.peer_id, metadata))
        if not isinstance(answer, MetadataUpdated):
            raise _wrong_answer(self._ws_url, "it isn't metadata.")
        return answer.metadata

    async def _request(self, message: DiscoverPeers | UpdateMetadata) -> PeerList | MetadataUpdated:
        """Sends a request and returns its answer. Only one is open at a time, as answers come in order."""
        async with self._request_lock:
            with suppress(trio.WouldBlock, trio.EndOfChannel):
                self._answers.receive_nowait()  # the answer to a request that was cancelled
            try:
                with trio.fail_after(REQUEST_TIMEOUT_SEC):
                    await self._send_request(message)
                    answer = await self._answers.receive()
            except trio.EndOfChannel:
                raise self._lost() from None
            except trio.TooSlowError as error:
                await self._websocket.aclose()
                raise SignalingLostError("The signaling server doesn't answer.") from error
        if isinstance(answer, InvalidMessageError):
            raise _wrong_answer(self._ws_url, str(answer)) from answer
        if isinstance(answer, ErrorMessage):
            raise from_error_message(answer)
        return answer

    async def _send_request(self, message: DiscoverPeers | UpdateMetadata) -> None:
        self._answers_owed += 1  # before sending: the answer may arrive before this task continues
        try:
            await self.send(message)
        except BaseException:
            self._answers_owed -= 1  # the server hasn't received all of it
            raise

    def _lost(self) -> SleapRTCError:
        ending = self._ending or SignalingLostError("The connection to the signaling server was lost.")
        return type(ending)(str(ending))

    def _dispatch(self, message: ServerMessage) -> None:
        if isinstance(message, PeerList | MetadataUpdated):
            self._answer(message)
        elif isinstance(message, RoomClosed):
            self._ending = RoomExpiredError(
                "The room was deleted." if message.reason == RoomEnd.DELETED else "The room has expired."
            )
        elif isinstance(message, ErrorMessage) and self._answers_a_request(message):
            self._answer(message)
        elif not isinstance(message, RegisteredAuth) and _is_from_somebody(message):
            self._queue(message)

    def _queue(self, message: Inbound) -> None:
        sender = sender_of(message)
        if self._waiting.has_room_for(sender):
            self._waiting.add(sender)
            self._inbound_send.send_nowait(message)

    def _answer(self, answer: PeerList | MetadataUpdated | ErrorMessage | InvalidMessageError) -> None:
        """Hands the answer to the open request.

        Answers to earlier requests, which were cancelled, are dropped; so are answers that nothing asked for.
        """
        if self._answers_owed > 0:
            self._answers_owed -= 1
            if not self._answers_owed:
                self._answers_send.send_nowait(answer)

    def _answers_a_request(self, error: ErrorMessage) -> bool:
        return self._answers_owed > 0 and error.code in (InvalidFilterError.code, TooLargeError.code)

    async def _read(self) -> None:
        with self._inbound_send, self._answers_send:
            while True:
                try:
                    text = await self._websocket.get_message()
                except ConnectionClosed as closed:
                    if self._ending is None and closed.reason is not None:
                        self._ending = from_close_code(closed.reason.code, closed.reason.reason)
                    return
                # A failure here loses this message alone.
                with contained("A message can't be handled."):
                    self._take(text)

    def _take(self, text: str | bytes) -> None:
        try:
            self._dispatch(decode_server_message(text))
        except InvalidMessageError as error:
            if error.message_type in (PeerList.type, MetadataUpdated.type):
                self._answer(error)
        except ProtocolError:
            pass  # a newer server may send messages that this side doesn't know

    async def _ping(self) -> None:
        """Notices a connection that is lost silently; soon after a standstill, in which others ended it."""
        while True:
            timeout_sec = PONG_TIMEOUT_SEC
            with trio.move_on_after(PING_INTERVAL_SEC):
                await wait_standstill()
                timeout_sec = CONFIRM_TIMEOUT_SEC
            try:
                with trio.fail_after(timeout_sec):
                    await self._websocket.ping()
            except (trio.TooSlowError, ConnectionClosed):
                await self._websocket.aclose(code=1001)
                return


def sender_of(message: Inbound) -> str | None:
    """Returns the name of the peer that sent a message; None for the server."""
    if isinstance(message, ErrorMessage):
        return None
    return message.from_peer_id if isinstance(message, PeerMessage) else message.sender


def _is_from_somebody(message: Inbound) -> bool:
    """Returns whether a routed message has a valid name for its sender; true for the server's errors."""
    sender = sender_of(message)
    return sender is None or is_name(sender)


def _wrong_answer(ws_url: str, what: str) -> InvalidAnswerError:
    return InvalidAnswerError(f"The signaling server at {ws_url} sent a wrong answer: {what}")


async def _register(
    websocket: WebSocketConnection, ws_url: str, register: Register, timeout_sec: float
) -> RegisteredAuth:
    try:
        with trio.fail_after(timeout_sec):
            await websocket.send_message(encode_message(register))
            answer = decode_server_message(await websocket.get_message())
    except trio.TooSlowError as error:
        raise SignalingUnreachableError(
            f"The signaling server at {ws_url} doesn't answer a registration."
        ) from error
    except ProtocolError as error:
        raise _wrong_answer(ws_url, str(error)) from error
    except ConnectionClosed as error:
        reason = error.reason
        raise from_close_code(reason.code if reason else 1006, reason.reason if reason else None) from error
    if isinstance(answer, ErrorMessage):
        raise from_error_message(answer)
    if not isinstance(answer, RegisteredAuth):
        raise _wrong_answer(ws_url, "it doesn't answer the registration.")
    if (answer.room_id, answer.peer_id) != (register.room_id, register.peer_id):
        raise _wrong_answer(ws_url, "it registered this peer under another name, or in another room.")
    return answer


@asynccontextmanager
async def open_session(
    ws_url: str,
    register: Register,
    *,
    connect_timeout_sec: float = CONNECT_TIMEOUT_SEC,
    ca_file: str | None = None,
) -> AsyncIterator[Session]:
    """Connects, registers, and yields the session; leaving the block leaves the room.

    A connection that is lost later doesn't end the block: the session's calls raise the error. A failure in a
    background task is raised here, and closes the connection.

    Raises:
        UsageError: ``ws_url`` isn't a WebSocket URL.
        SignalingUnreachableError: Nothing answers at the address, or it isn't a signaling server.
        InvalidAnswerError: The server's answer breaks the protocol.
        UntrustedServerError: The server's certificate isn't valid or isn't trusted.
        RefusedError: The server refuses the registration; the subclass gives the reason.
    """
    with single_error():
        async with (
            open_websocket(ws_url, connect_timeout_sec=connect_timeout_sec, ca_file=ca_file) as websocket,
            trio.open_nursery() as nursery,
        ):
            registration = await _register(websocket, ws_url, register, connect_timeout_sec)
            session = Session(websocket, registration, ws_url)
            nursery.start_soon(session._read)
            nursery.start_soon(session._ping)
            yield session
            nursery.cancel_scope.cancel()
