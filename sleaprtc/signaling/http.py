"""Sign-in and rooms, over the signaling server's HTTP port (protocol reference, section 1)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs
import httpcore

from ..errors import InvalidMessageError, ProtocolError, SignalingUnreachableError, UsageError
from ..protocol.codec import decode_json_object
from ..protocol.messages import JSONObject
from ..sentences import as_clause
from .refusals import from_http_status
from .tls import client_context, connection_error

HTTP_TIMEOUT_SEC: Final = 10.0
_TIMEOUTS: Final = dict.fromkeys(("connect", "read", "write", "pool"), HTTP_TIMEOUT_SEC)


@attrs.frozen
class Endpoints:
    """Where a signaling server listens: its WebSocket and its HTTP address.

    ``ca_file`` names the certificates that vouch for it, where those aren't the system's.
    """

    ws_url: str
    http_url: str
    ca_file: str | None = None


@attrs.frozen
class Account:
    """An identity at the server; the token proves it and is a secret."""

    username: str
    id_token: str = attrs.field(repr=False)


@attrs.frozen
class Room:
    """A room and the token that lets peers in; ``expires_at`` is in Unix epoch seconds, where known."""

    room_id: str
    token: str = attrs.field(repr=False)
    expires_at: float | None = None


@attrs.frozen
class Health:
    """A server's word that it is well.

    Attributes:
        version: Of the server, as it says; None where it says nothing.
        date: Its clock, as in the header ``Date`` (RFC 9110, section 6.6.1); None where there is none.
    """

    version: str | None
    date: str | None


class SignalingHTTP:
    """The HTTP calls of a signaling server. Made by :func:`open_http`.

    Every call raises SignalingUnreachableError where the server doesn't answer, and RefusedError (one of its
    kinds) where it says no.
    """

    def __init__(self, pool: httpcore.AsyncConnectionPool, base_url: str) -> None:
        self._pool = pool
        self._base_url = base_url

    async def health(self) -> Health:
        """Asks the server whether it is well."""
        response, answer = await self._call("GET", "/health", None, None)
        if answer.get("status") != "healthy":
            raise SignalingUnreachableError(f"What answers at {self._base_url} is not a signaling server.")
        version = answer.get("version")
        headers = {name.lower(): value.decode("latin-1") for name, value in response.headers}
        return Health(version if isinstance(version, str) else None, headers.get(b"date"))

    async def sign_in(self, account: Account | None = None) -> Account:
        """Gets an anonymous identity, or a new token for one that is still valid."""
        answer = await self._post("/anonymous-signin", {}, account)
        return Account(_text(answer, "username"), _text(answer, "id_token"))

    async def create_room(self, account: Account) -> Room:
        """Makes a room that belongs to ``account``."""
        answer = await self._post("/create-room", {}, account)
        return Room(_text(answer, "room_id"), _text(answer, "token"), _seconds(answer))

    async def renew_room(self, account: Account, room_id: str) -> float | None:
        """Lets the account's own room live on from now; returns its new end, in epoch seconds."""
        return _seconds(await self._post("/renew-room", {"room_id": room_id}, account))

    async def delete_room(self, account: Account, room_id: str) -> None:
        """Ends the account's own room for everyone in it."""
        await self._post("/delete-peers-and-room", {"room_id": room_id}, account)

    async def _post(self, path: str, body: JSONObject, account: Account | None = None) -> dict[str, Any]:
        _, answer = await self._call("POST", path, body, account)
        return answer

    async def _call(
        self, method: str, path: str, body: JSONObject | None, account: Account | None
    ) -> tuple[httpcore.Response, dict[str, Any]]:
        headers: dict[bytes | str, bytes | str] = {"Content-Type": "application/json"}
        if account:
            headers["Authorization"] = f"Bearer {account.id_token}"
        try:
            response = await self._pool.request(
                method,
                self._base_url + path,
                headers=headers,
                content=None if body is None else json.dumps(body).encode(),
                extensions={"timeout": _TIMEOUTS},
            )
        except httpcore.TimeoutException as error:
            raise SignalingUnreachableError(
                f"The signaling server at {self._base_url} doesn't answer."
            ) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise connection_error(self._base_url, error) from error
        try:
            answer = decode_json_object(response.content)
        except ProtocolError as error:
            raise SignalingUnreachableError(
                f"What answers at {self._base_url} is not a signaling server."
            ) from error
        if response.status >= 400:
            message = answer.get("message")
            raise from_http_status(
                response.status, message if isinstance(message, str) else f"HTTP status {response.status}."
            )
        return response, answer


def _text(answer: JSONObject, key: str) -> str:
    value = answer.get(key)
    if not isinstance(value, str):
        raise InvalidMessageError(f"The signaling server's answer lacks {key}.")
    return value


def _seconds(answer: JSONObject) -> float | None:
    value = answer.get("expires_at")
    return float(value) if isinstance(value, int | float) else None


@asynccontextmanager
async def open_http(http_url: str, ca_file: str | None = None) -> AsyncIterator[SignalingHTTP]:
    """Opens a client for the HTTP port at ``http_url``.

    Args:
        http_url: ``http://`` or ``https://``.
        ca_file: Whose certificates to trust in place of the system's.

    Raises:
        UsageError: The URL is not an http or https URL, or ``ca_file`` is no file of certificates.
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
    async with httpcore.AsyncConnectionPool(ssl_context=context) as pool:
        yield SignalingHTTP(pool, http_url.rstrip("/"))
