"""Signs in and manages rooms over the signaling server's HTTP port (protocol reference, section 1)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import attrs
import httpcore
import trio

from ..base.sentences import as_clause
from ..errors import (
    InvalidAnswerError,
    InvalidJSONError,
    ProtocolError,
    SignalingUnreachableError,
    UsageError,
)
from ..protocol.answers import Answer, Done, HealthReport, Refusal, RoomCreated, RoomRenewed, SignedIn
from ..protocol.codec import decode_answer
from ..protocol.messages import JSONObject
from ..protocol.values import ROOM_WORD_FORM, is_id_token, is_room_word
from .metering import Meter, MeteredBackend
from .refusals import from_http_status
from .tls import client_context, connection_error

HTTP_TIMEOUT_SEC: Final = 10.0
"""The longest wait for a connection, and between two pieces of an answer."""

ANSWER_TIMEOUT_SEC: Final = 30.0
"""The longest wait for a whole answer, however small its pieces are."""

_TIMEOUTS: Final = dict.fromkeys(("connect", "read", "write", "pool"), HTTP_TIMEOUT_SEC)


@attrs.frozen
class Endpoints:
    """Where a signaling server listens: its WebSocket and its HTTP address.

    ``ca_file`` is a file of certificates to trust instead of the system's, in PEM; None for the system's.
    """

    ws_url: str
    http_url: str
    ca_file: str | None = None


@attrs.frozen
class Account:
    """An account at the server; the id token proves it and is a secret.

    Raises:
        ValueError: The token isn't in the form of a bearer token.
    """

    username: str
    id_token: str = attrs.field(repr=False)

    @id_token.validator
    def _check_id_token(self, _: object, value: str) -> None:
        if not is_id_token(value):
            raise ValueError("An id token must have the form of a bearer token (RFC 6750).")


@attrs.frozen
class Room:
    """A room and the token that lets peers in; ``expires_at`` is in Unix epoch seconds, or None if unknown.

    Raises:
        ValueError: The id or the token has characters that the protocol doesn't allow, or is too long.
    """

    room_id: str = attrs.field()
    token: str = attrs.field(repr=False)
    expires_at: float | None = None

    @room_id.validator
    def _check_room_id(self, _: object, value: str) -> None:
        if not is_room_word(value):
            raise ValueError(f"A room's id must be {ROOM_WORD_FORM}.")

    @token.validator
    def _check_token(self, _: object, value: str) -> None:
        if not is_room_word(value):
            raise ValueError(f"A room's token must be {ROOM_WORD_FORM}.")

    @classmethod
    def named(cls, room_id: str, token: str) -> Room:
        """Makes a room from a user's input.

        Raises:
            UsageError: The id or the token is invalid. The sentence doesn't repeat the token.
        """
        try:
            return cls(room_id, token)
        except ValueError as error:
            raise UsageError(str(error)) from error


@attrs.frozen
class Health:
    """What a healthy server reports about itself.

    Attributes:
        version: The server's version; None if it doesn't tell.
        date: The server's time, from the header ``Date`` (RFC 9110, section 6.6.1); None if it is missing.
    """

    version: str | None
    date: str | None


class SignalingHTTP:
    """The HTTP calls of a signaling server. Made by :func:`open_http`.

    Every call can raise:

    - SignalingUnreachableError if the server doesn't answer, or something else answers;
    - InvalidAnswerError if its answer breaks the protocol;
    - one of the RefusedErrors if it refuses the call.
    """

    def __init__(self, pool: httpcore.AsyncConnectionPool, meter: Meter, base_url: str) -> None:
        self._pool = pool
        self._meter = meter
        self._base_url = base_url

    async def health(self) -> Health:
        """Checks that the server is healthy."""
        response, report = await self._call("GET", "/health", None, None, HealthReport)
        if report.status != "healthy":
            raise self._no_server()
        headers = {name.lower(): value.decode("latin-1") for name, value in response.headers}
        return Health(report.version, headers.get(b"date"))

    async def sign_in(self, account: Account | None = None) -> Account:
        """Returns a new anonymous account, or a new token for an account whose token is still valid."""
        answer = await self._post("/anonymous-signin", {}, account, SignedIn)
        return Account(answer.username, answer.id_token)

    async def create_room(self, account: Account) -> Room:
        """Creates a room that belongs to ``account``."""
        answer = await self._post("/create-room", {}, account, RoomCreated)
        return Room(answer.room_id, answer.token, answer.expires_at)

    async def renew_room(self, account: Account, room_id: str) -> float | None:
        """Renews the account's own room for its full life; returns its new end in epoch seconds, if known."""
        return (await self._post("/renew-room", {"room_id": room_id}, account, RoomRenewed)).expires_at

    async def delete_room(self, account: Account, room_id: str) -> None:
        """Deletes the account's own room, which disconnects everyone in it."""
        await self._post("/delete-peers-and-room", {"room_id": room_id}, account, Done)

    async def _post(self, path: str, body: JSONObject, account: Account | None, kind: type[Answer]) -> Answer:
        _, answer = await self._call("POST", path, body, account, kind)
        return answer

    async def _call(
        self, method: str, path: str, body: JSONObject | None, account: Account | None, kind: type[Answer]
    ) -> tuple[httpcore.Response, Answer]:
        headers: dict[bytes | str, bytes | str] = {"Content-Type": "application/json"}
        if account:
            headers["Authorization"] = f"Bearer {account.id_token}"
        content = None if body is None else json.dumps(body).encode()
        try:
            self._meter.begin()
            with trio.fail_after(ANSWER_TIMEOUT_SEC):
                async with self._pool.stream(
                    method,
                    self._base_url + path,
                    headers=headers,
                    content=content,
                    extensions={"timeout": _TIMEOUTS},
                ) as response:
                    document = await response.aread()
        except (httpcore.TimeoutException, trio.TooSlowError) as error:
            raise SignalingUnreachableError(
                f"The signaling server at {self._base_url} doesn't answer."
            ) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise connection_error(self._base_url, error) from error
        return response, self._decode(response.status, document, kind)

    def _decode(self, status: int, document: bytes, kind: type[Answer]) -> Answer:
        try:
            if status < 400:
                return decode_answer(document, kind)
            said = decode_answer(document, Refusal).message
        except InvalidJSONError as error:
            raise self._no_server() from error
        except ProtocolError as error:
            if status < 400:
                raise InvalidAnswerError(
                    f"The signaling server at {self._base_url} sent a wrong answer: {error}"
                ) from error
            said = None  # the status is enough
        raise from_http_status(status, said or f"HTTP status {status}.")

    def _no_server(self) -> SignalingUnreachableError:
        return SignalingUnreachableError(f"What answers at {self._base_url} is not a signaling server.")


@asynccontextmanager
async def open_http(http_url: str, ca_file: str | None = None) -> AsyncIterator[SignalingHTTP]:
    """Opens a client for the HTTP port at ``http_url``.

    Args:
        http_url: An ``http://`` or ``https://`` URL.
        ca_file: A file of certificates to trust instead of the system's.

    Raises:
        UsageError: ``http_url`` isn't an http or https URL, or ``ca_file`` isn't a file of certificates.
    """
    if not http_url.startswith(("http://", "https://")):
        raise UsageError(f"{http_url!r} is not an address of the form http://HOST:PORT.")
    try:
        host = httpcore.URL(http_url).host
    except (ValueError, TypeError) as error:
        raise UsageError(f"{http_url!r} is not a valid address: {as_clause(error)}.") from error
    if not host:
        raise UsageError(f"{http_url!r} is not a valid address: it names no host.")
    context = client_context(ca_file) if http_url.startswith("https://") else None
    base_url = http_url.rstrip("/")
    meter = Meter(base_url)
    async with httpcore.AsyncConnectionPool(
        ssl_context=context, network_backend=MeteredBackend(meter, httpcore.TrioBackend())
    ) as pool:
        yield SignalingHTTP(pool, meter, base_url)
