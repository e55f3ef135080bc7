"""How to get to a room and to the peers in it: server, room, secret, data channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from ..protocol.messages import IceServer
from ..rtc.secret import RoomSecret
from ..signaling.http import Endpoints, Room
from .joined_room import RememberedRoom

if TYPE_CHECKING:
    from ..rtc.engines.base import IceSettings

DEFAULT_WS_URL: Final = "ws://127.0.0.1:8080/"
DEFAULT_HTTP_URL: Final = "http://127.0.0.1:8001"


@attrs.frozen
class ConnectionOptions:
    """How data channels are made.

    Attributes:
        ice_loopback: Whether 127.0.0.1 takes part in connecting.
        ice_servers: Own STUN and TURN servers, besides those the signaling server hands out.
        private_ice_servers: Whether to ask those that the signaling server hands out, wherever they are, and
            not at public addresses alone.
        engine: Which WebRTC engine to use.
        secret: The room's, which both ends prove to each other; None where there is none, and the signaling
            server is trusted.
    """

    ice_loopback: bool = False
    ice_servers: tuple[IceServer, ...] = ()
    private_ice_servers: bool = True
    engine: str = "auto"
    secret: RoomSecret | None = None

    async def ice_settings(self, handed_out: tuple[IceServer, ...]) -> IceSettings:
        """Joins these settings with the ICE servers that the signaling server hands out."""
        from ..rtc.engines.base import IceSettings  # commands that make no connection start without it
        from ..rtc.public_ice import public_only

        refused: tuple[str, ...] = ()
        if not self.private_ice_servers:
            handed_out, refused = await public_only(handed_out)
        return IceSettings((*self.ice_servers, *handed_out), self.ice_loopback, refused)


@attrs.frozen
class PeerOptions:
    """How to reach the server, which room to be in, and how to connect to peers.

    Attributes:
        endpoints: The signaling server.
        room: None where neither room nor token was given, nor a room joined here.
        is_remembered: Whether the room is the one that was joined here, and not one that was named.
        to_remember: The room, where it was named by ``--invite``: it is kept once the server lets us in.
    """

    endpoints: Endpoints
    room: Room | None
    connection: ConnectionOptions = ConnectionOptions()
    is_remembered: bool = False
    to_remember: RememberedRoom | None = None


@attrs.frozen
class Access:
    """Which server and which room.

    Attributes:
        room: None where neither room nor token was given, nor a room joined here.
        secret: None where the room has none.
        is_remembered: As in :class:`PeerOptions`.
        to_remember: As in :class:`PeerOptions`.
    """

    endpoints: Endpoints
    room: Room | None
    secret: RoomSecret | None
    is_remembered: bool = False
    to_remember: RememberedRoom | None = None
