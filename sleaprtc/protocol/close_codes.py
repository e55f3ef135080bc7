"""WebSocket close codes that the server uses (protocol reference, section 2)."""

from __future__ import annotations

from enum import IntEnum


class CloseCode(IntEnum):
    """Why the server closes a connection: RFC 6455, section 7.4.1, and the protocol's own codes 4xxx."""

    GOING_AWAY = 1001
    FRAME_TOO_LARGE = 1009
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013
    """The peer reads too slowly, or the room is full."""

    BAD_ID_TOKEN = 4001
    BAD_ROOM_OR_TOKEN = 4003
    ROOM_ENDED = 4004
    NO_REGISTRATION = 4008
    PEER_ID_TAKEN = 4009
    RATE = 4029
