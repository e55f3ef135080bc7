"""Error messages and close codes for the peer that caused an error (protocol reference, section 2)."""

from __future__ import annotations

from typing import Final

from ..errors import (
    InvalidTokenError,
    PeerIdTakenError,
    RateLimitedError,
    RoomExpiredError,
    RoomFullError,
    RoomNotFoundError,
    SleapRTCError,
)
from ..protocol.close_codes import CloseCode
from ..protocol.codec import encode_message
from ..protocol.messages import ErrorMessage
from .effects import Close, ConnectionT, Deliver, Effect

_CLOSE_CODES: Final[dict[type[SleapRTCError], CloseCode]] = {
    InvalidTokenError: CloseCode.BAD_ID_TOKEN,
    RoomNotFoundError: CloseCode.BAD_ROOM_OR_TOKEN,
    RoomExpiredError: CloseCode.ROOM_ENDED,
    PeerIdTakenError: CloseCode.PEER_ID_TAKEN,
    RoomFullError: CloseCode.TRY_AGAIN_LATER,
    RateLimitedError: CloseCode.RATE,
}


def encode_error(error: SleapRTCError) -> str:
    """Encodes the error message for an error."""
    return encode_message(ErrorMessage(error.code, str(error)))


def refuse_registration(connection: ConnectionT, error: SleapRTCError) -> list[Effect[ConnectionT]]:
    """Reports why a registration failed, and closes the connection unless another try on it can succeed."""
    sentence = str(error)
    told = Deliver(connection, encode_message(ErrorMessage(error.code, sentence, reason=sentence)))
    close_code = _CLOSE_CODES.get(type(error))
    return [told] if close_code is None else [told, Close(connection, close_code, sentence)]
