"""The HTTP API: sign-in and rooms (protocol reference, section 1)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Final

import attrs
import trio
from quart import Response, jsonify, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from .._version import __version__
from ..base.logs import get_logger
from ..base.rate import KeyedBuckets
from ..errors import (
    ForbiddenError,
    InvalidMessageError,
    InvalidTokenError,
    ProtocolError,
    RateLimitedError,
    RoomNotFoundError,
    SleapRTCError,
)
from ..identity.issuer import TokenIssuer
from ..identity.verifier import TokenVerifier
from ..protocol.codec import decode_json_object
from ..protocol.limits import MAX_HTTP_BODY_BYTES
from .hub import Hub
from .prometheus import CONTENT_TYPE, exposition
from .proxies import FORWARDED_FOR, Network, client_address
from .settings import ServerSettings

logger = get_logger(__name__)

BODY_TIMEOUT_SEC: Final = 10

_STATUS_BY_ERROR: Final[tuple[tuple[type[SleapRTCError], int], ...]] = (
    (ProtocolError, 400),
    (InvalidTokenError, 401),
    (ForbiddenError, 403),
    (RoomNotFoundError, 404),
    (RateLimitedError, 429),
)
_PROMETHEUS_TYPES: Final = {"text/plain", "application/openmetrics-text"}
_JSON_TYPES: Final = {"application/json", "application/*", "*/*"}
_CODE_BY_STATUS: Final = {
    400: "INVALID_MESSAGE",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "TIMEOUT",
    413: "TOO_LARGE",
}
_SENTENCE_BY_STATUS: Final = {
    404: "There is no such call.",
    405: "This call doesn't take that method.",
    408: "The request took too long to arrive.",
    413: f"The body of a request may have at most {MAX_HTTP_BODY_BYTES} bytes.",
}


class _TooOftenError(RateLimitedError):
    def __init__(self, wait_sec: float) -> None:
        super().__init__("Too many requests from this address; try again a little later.")
        self.wait_sec = wait_sec


@attrs.frozen
class HttpApi:
    """The handlers of the HTTP calls.

    Attributes:
        wall_clock: Returns the time in epoch seconds.
    """

    hub: Hub
    issuer: TokenIssuer
    verifier: TokenVerifier
    sign_ins: KeyedBuckets
    room_creations: KeyedBuckets
    trusted_proxies: tuple[Network, ...]
    wall_clock: Callable[[], float]

    async def anonymous_signin(self) -> Response:
        """Creates an account and its id token, or a new token for the account of a valid bearer token."""
        self._limit(self.sign_ins)
        await _body()
        try:
            known: str | None = self._account()
        except InvalidTokenError:
            known = None  # a new account needs no token
        id_token, username = self.issuer.issue(now=self.wall_clock(), username=known)
        return jsonify({"id_token": id_token, "username": username})

    async def create_room(self) -> Response:
        """Creates a room for the bearer of the id token."""
        account = self._account()
        self._limit(self.room_creations)
        await _body()
        room = await self.hub.create_room(account)
        return jsonify({"room_id": room.room_id, "token": room.token, "expires_at": room.expires_at})

    async def renew_room(self) -> Response:
        """Renews the bearer's room for its full lifetime."""
        account = self._account()
        room_id = _string(await _body(), "room_id")
        expires_at = await self.hub.renew_room(account, room_id)
        return jsonify({"room_id": room_id, "expires_at": expires_at})

    async def delete_peers_and_room(self) -> Response:
        """Deletes the bearer's room, named by its id or by a peer in it; or removes the bearer's own peer."""
        account = self._account()
        body = await _body()
        if "room_id" in body:
            await self.hub.delete_room(account, _string(body, "room_id"))
        else:
            await self.hub.delete_peer(account, _string(body, "peer_id"))
        return jsonify({"status": "deleted"})

    async def health(self) -> Response:
        """Reports that the server is running."""
        return jsonify({"status": "healthy", "timestamp": self.wall_clock(), "version": __version__})

    async def metrics(self) -> Response:
        """Returns counts, as JSON or, for scrapers, as Prometheus text."""
        counts = self.hub.metrics()
        if _asks_for_prometheus_text():
            return Response(exposition(counts), content_type=CONTENT_TYPE)
        return jsonify({"timestamp": self.wall_clock(), **attrs.asdict(counts)})

    async def jwks(self) -> Response:
        """Returns the public keys that verify the server's id tokens (RFC 7517)."""
        return jsonify(self.issuer.jwks())

    def _account(self) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise InvalidTokenError("This call needs an id token: `Authorization: Bearer <id_token>`.")
        return self.verifier.verify(token.strip(), now=self.wall_clock()).subject

    def _limit(self, buckets: KeyedBuckets) -> None:
        forwarded_for = request.headers.getlist(FORWARDED_FOR)
        address = client_address(request.remote_addr or "", forwarded_for, self.trusted_proxies)
        wait_sec = buckets.take(address, trio.current_time())
        if wait_sec > 0:
            raise _TooOftenError(wait_sec)


def create_app(
    *,
    hub: Hub,
    issuer: TokenIssuer,
    verifier: TokenVerifier,
    settings: ServerSettings,
    wall_clock: Callable[[], float] = time.time,
) -> QuartTrio:
    """Makes the ASGI application.

    Args:
        hub: Owns the rooms.
        issuer: Issues id tokens.
        verifier: Verifies id tokens.
        settings: The server's settings.
        wall_clock: Returns the time in epoch seconds, for times on the wire.
    """
    api = HttpApi(
        hub=hub,
        issuer=issuer,
        verifier=verifier,
        sign_ins=KeyedBuckets(settings.sign_ins_per_sec, settings.sign_in_burst),
        room_creations=KeyedBuckets(settings.rooms_per_sec, settings.room_burst),
        trusted_proxies=settings.trusted_proxies,
        wall_clock=wall_clock,
    )
    app = QuartTrio(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_HTTP_BODY_BYTES
    app.config["BODY_TIMEOUT"] = BODY_TIMEOUT_SEC
    app.post("/anonymous-signin")(api.anonymous_signin)
    app.post("/create-room")(api.create_room)
    app.post("/renew-room")(api.renew_room)
    app.post("/delete-peers-and-room")(api.delete_peers_and_room)
    app.get("/health")(api.health)
    app.get("/metrics")(api.metrics)
    app.get("/.well-known/jwks.json")(api.jwks)

    @app.before_request
    async def refuse_while_draining() -> Response | None:
        return _failure(503, "DRAINING", "The server is shutting down.") if hub.draining else None

    app.register_error_handler(SleapRTCError, _on_own_error)
    app.register_error_handler(HTTPException, _on_http_error)
    app.register_error_handler(Exception, _on_fault)
    return app


def _asks_for_prometheus_text() -> bool:
    """Returns whether the caller prefers Prometheus text to JSON; versions in media types are ignored."""
    for media_range, quality in request.accept_mimetypes:
        kind = media_range.partition(";")[0].strip().lower()
        if quality > 0 and kind in _PROMETHEUS_TYPES | _JSON_TYPES:
            return kind in _PROMETHEUS_TYPES
    return False


async def _body() -> dict[str, Any]:
    """Reads the request's body; an empty one counts as an empty object."""
    data = await request.get_data(as_text=False)
    return decode_json_object(data) if data.strip() else {}


def _string(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str):
        raise InvalidMessageError(f"The body must have a string field `{key}`.")
    return value


def _failure(status: int, code: str, sentence: str) -> Response:
    response = jsonify({"error": code, "message": sentence})
    response.status_code = status
    return response


async def _on_own_error(error: SleapRTCError) -> Response:
    status = next((status for kind, status in _STATUS_BY_ERROR if isinstance(error, kind)), 500)
    if status == 500:
        logger.error("A request failed.", path=request.path, error=str(error))
    response = _failure(status, error.code, str(error))
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RateLimitedError):
        wait_sec = error.wait_sec if isinstance(error, _TooOftenError) else 60.0
        response.headers["Retry-After"] = str(math.ceil(wait_sec))
    return response


async def _on_http_error(error: HTTPException) -> Response:
    status = error.code or 500
    response = _failure(
        status,
        _CODE_BY_STATUS.get(status, error.name.upper().replace(" ", "_")),
        _SENTENCE_BY_STATUS.get(status, f"{error.name}."),
    )
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


async def _on_fault(error: Exception) -> Response:
    logger.error("A request failed.", path=request.path, exc_info=error)
    return _failure(500, "INTERNAL", "The server failed to answer this request.")
