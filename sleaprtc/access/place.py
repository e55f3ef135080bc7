"""How a peer reaches its room and the other peers in it: server, room, secret, data channels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import attrs

from ..protocol.ice import parse_ice_server
from ..protocol.messages import IceServer
from ..rtc.secret import RoomSecret
from ..signaling.http import Endpoints, Room
from ..transfer.rate_limit import RateLimit
from .joined_room import RememberedRoom

if TYPE_CHECKING:
    from ..rtc.engines.base import IceSettings

DEFAULT_WS_URL: Final = "ws://127.0.0.1:8080/"
DEFAULT_HTTP_URL: Final = "http://127.0.0.1:8001"


@attrs.frozen
class ConnectionOptions:
    """How to make data channels.

    Attributes:
        ice_loopback: Whether to offer 127.0.0.1 as a candidate.
        ice_servers: STUN and TURN servers to use in addition to those from the signaling server.
        private_ice_servers: Whether to also use the signaling server's ICE servers at private addresses.
        engine: Which WebRTC engine to use: ``auto``, ``aiortc`` or ``libwebrtc``.
        secret: The room's secret, which both ends prove to know; None if the room has none, in which case
            the signaling server is trusted.
        limit: The limit on the rate of all transfers, which they share. It may be changed while they run.
    """

    ice_loopback: bool = False
    ice_servers: tuple[IceServer, ...] = ()
    private_ice_servers: bool = True
    engine: str = "auto"
    secret: RoomSecret | None = None
    limit: RateLimit = attrs.field(factory=RateLimit, eq=lambda limit: limit.bytes_per_sec)

    @classmethod
    def of_settings(
        cls,
        *,
        ice_loopback: bool,
        ice_servers: Iterable[str],
        private_ice_servers: bool,
        engine: str,
        limit_rate: float | None,
    ) -> ConnectionOptions:
        """Returns the options that settings stand for, of which ``ice_servers`` are texts.

        Raises:
            UsageError: One of them isn't an ICE server.
        """
        servers = tuple(parse_ice_server(text) for text in ice_servers)
        return cls(ice_loopback, servers, private_ice_servers, engine, limit=RateLimit(limit_rate))

    async def ice_settings(self, handed_out: tuple[IceServer, ...]) -> IceSettings:
        """Combines these options with the ICE servers from the signaling server."""
        from ..rtc.engines.base import IceSettings  # commands that make no connection start without it
        from ..rtc.public_ice import public_only

        refused: tuple[str, ...] = ()
        if not self.private_ice_servers:
            handed_out, refused = await public_only(handed_out)
        return IceSettings((*self.ice_servers, *handed_out), self.ice_loopback, refused)


@attrs.frozen
class PeerOptions:
    """Which server and room to use, and how to connect to other peers.

    Attributes:
        endpoints: The signaling server.
        room: None if no room and no token was given, and no room was joined on this machine.
        connection: How to make data channels; it holds the room's secret.
        is_remembered: Whether the room is the one joined on this machine, rather than one that was named.
        to_remember: The room if ``--invite`` named it: it is remembered once the server admits us.
    """

    endpoints: Endpoints
    room: Room | None
    connection: ConnectionOptions = attrs.field(factory=ConnectionOptions)
    is_remembered: bool = False
    to_remember: RememberedRoom | None = None

    @property
    def secret(self) -> RoomSecret | None:
        """The room's secret; None if it has none."""
        return self.connection.secret
