"""Translates the server's error codes, close codes and HTTP statuses into this package's errors."""

from __future__ import annotations

from typing import Final

from ..base.printable import printable
from ..base.sentences import as_sentence
from ..errors import (
    DeliveryFailedError,
    ForbiddenError,
    IdentityMismatchError,
    InvalidFilterError,
    InvalidJSONError,
    InvalidMessageError,
    InvalidTokenError,
    NotInRoomError,
    PeerIdTakenError,
    PeerUnreachableError,
    RateLimitedError,
    RefusedError,
    RoomExpiredError,
    RoomNotFoundError,
    SignalingLostError,
    SignalingUnreachableError,
    SleapRTCError,
    TooLargeError,
    UnknownMessageTypeError,
)
from ..protocol.messages import ErrorMessage

MAX_SAID_CHARS: Final = 300
"""The most that is kept of a sentence from the server."""

_BY_CODE: Final[dict[str, type[SleapRTCError]]] = {
    cls.code: cls
    for cls in (
        DeliveryFailedError,
        IdentityMismatchError,
        InvalidFilterError,
        InvalidJSONError,
        InvalidMessageError,
        InvalidTokenError,
        NotInRoomError,
        PeerIdTakenError,
        PeerUnreachableError,
        RateLimitedError,
        RoomExpiredError,
        RoomNotFoundError,
        TooLargeError,
        UnknownMessageTypeError,
    )
}

_BY_CLOSE_CODE: Final[dict[int, tuple[type[SleapRTCError], str]]] = {
    1009: (TooLargeError, "The connection to the signaling server was ended: a message was too large."),
    4001: (InvalidTokenError, "The signaling server doesn't accept the identity token."),
    4003: (RoomNotFoundError, "No such room, or the wrong room token."),
    4004: (RoomExpiredError, "The room has expired or was deleted."),
    4009: (PeerIdTakenError, "Another peer of the room has this name."),
    4029: (RateLimitedError, "The signaling server closed the connection: too many messages."),
}

_BY_HTTP_STATUS: Final[dict[int, type[SleapRTCError]]] = {
    401: InvalidTokenError,
    403: ForbiddenError,
    404: RoomNotFoundError,
    429: RateLimitedError,
}


def _said(sentence: str) -> str:
    """Makes a server's sentence printable and limits its length, for use in this side's own sentences."""
    return printable(sentence[:MAX_SAID_CHARS])


def from_error_message(error: ErrorMessage) -> SleapRTCError:
    """Turns an error message from the server into an exception."""
    return _BY_CODE.get(error.code, RefusedError)(_said(error.message))


def from_close_code(code: int, reason: str | None) -> SleapRTCError:
    """Turns a WebSocket close code (protocol reference, section 2) into an exception."""
    if code in _BY_CLOSE_CODE:
        kind, sentence = _BY_CLOSE_CODE[code]
        return kind(sentence)
    detail = f" ({code}{f', {_said(reason)}' if reason else ''})"
    return SignalingLostError(f"The connection to the signaling server was lost{detail}.")


def from_http_status(status: int, message: str) -> SleapRTCError:
    """Turns an HTTP failure into an exception; ``message`` is the server's own text."""
    if status >= 500:
        sentence = as_sentence(_said(message))
        return SignalingUnreachableError(f"The signaling server can't serve just now: {sentence}")
    return _BY_HTTP_STATUS.get(status, RefusedError)(_said(message))
