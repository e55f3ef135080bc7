"""Signaling messages between a peer and the server (protocol reference, section 2).

Each class stands for one value of ``type`` on the wire. Field names are the wire's, except for two that the
wire spells in camel case (``sdpMid`` and ``sdpMLineIndex``). Times are in Unix epoch seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeAlias

import attrs

from .values import EpochSec, Name, Opaque, RoomWord

JSONObject: TypeAlias = Mapping[str, Any]
"""A decoded JSON object whose content is checked elsewhere, or not at all."""


@attrs.frozen
class Metadata:
    """A peer's description of itself. The server stores it and filters by it, but doesn't interpret it.

    ``None`` means that the peer left the part out; an update then leaves it unchanged.
    """

    tags: tuple[str, ...] | None = None
    properties: JSONObject | None = None


@attrs.frozen
class IceServer:
    """A STUN or TURN server, as in WebRTC's ``RTCIceServer``."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = attrs.field(default=None, repr=False)


UsableIceServers: TypeAlias = Annotated[tuple[IceServer, ...], "those that can be used"]
"""The servers of a list that a peer can use. Unknown forms of address, as a newer server may send, are
dropped rather than failing the registration."""


# --- from a peer ----------------------------------------------------------------------------


@attrs.frozen
class Register:
    """Joins a room under a name."""

    type: ClassVar[str] = "register"
    peer_id: str
    room_id: str
    token: str = attrs.field(repr=False)
    id_token: str = attrs.field(repr=False)
    role: str = "peer"
    metadata: Metadata = Metadata()
    resume_token: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class DiscoverPeers:
    """Asks which peers of the room match ``filters``, which :mod:`sleaprtc.rooms.filters` parses."""

    type: ClassVar[str] = "discover_peers"
    from_peer_id: str
    filters: JSONObject


@attrs.frozen
class UpdateMetadata:
    """Changes the sender's own metadata."""

    type: ClassVar[str] = "update_metadata"
    peer_id: str
    metadata: Metadata


# --- routed from peer to peer ---------------------------------------------------------------


@attrs.frozen
class PeerMessage:
    """An application message; the server never reads ``payload``."""

    type: ClassVar[str] = "peer_message"
    from_peer_id: str
    to_peer_id: str
    payload: JSONObject


@attrs.frozen
class Offer:
    """A WebRTC session description that proposes a connection."""

    type: ClassVar[str] = "offer"
    sender: str
    target: str
    sdp: str


@attrs.frozen
class Answer:
    """The session description that answers an :class:`Offer`."""

    type: ClassVar[str] = "answer"
    sender: str
    target: str
    sdp: str


@attrs.frozen
class Candidate:
    """One ICE candidate, as a ``candidate:`` attribute without its ``a=``."""

    type: ClassVar[str] = "candidate"
    sender: str
    target: str
    candidate: str
    sdp_mid: str | None = "0"
    sdp_mline_index: int | None = None


# --- from the server ------------------------------------------------------------------------


@attrs.frozen
class RegisteredAuth:
    """The server confirms a registration."""

    type: ClassVar[str] = "registered_auth"
    room_id: RoomWord
    token: RoomWord = attrs.field(repr=False)
    peer_id: Name
    expires_at: EpochSec | None = None
    ice_servers: UsableIceServers = ()
    resume_token: Opaque | None = attrs.field(default=None, repr=False)


@attrs.frozen
class PeerInfo:
    """One peer of a room, as discovery shows it."""

    peer_id: Name
    role: Name
    metadata: Metadata
    connected_at: EpochSec


@attrs.frozen
class PeerList:
    """The answer to :class:`DiscoverPeers`: the peers that match, without the one that asked."""

    type: ClassVar[str] = "peer_list"
    to_peer_id: str
    count: int
    peers: tuple[PeerInfo, ...]


@attrs.frozen
class MetadataUpdated:
    """The answer to :class:`UpdateMetadata`: the complete metadata after the update."""

    type: ClassVar[str] = "metadata_updated"
    peer_id: str
    metadata: Metadata


@attrs.frozen
class ErrorMessage:
    """An error, sent to the peer that caused it; ``reason`` repeats the text for refused registrations."""

    type: ClassVar[str] = "error"
    code: str
    message: str
    reason: str | None = None


@attrs.frozen
class RoomClosed:
    """The room ended; ``reason`` is a :class:`~sleaprtc.protocol.vocabulary.RoomEnd`."""

    type: ClassVar[str] = "room_closed"
    reason: str


RoutedMessage: TypeAlias = PeerMessage | Offer | Answer | Candidate
ClientMessage: TypeAlias = Register | DiscoverPeers | UpdateMetadata | RoutedMessage
ServerMessage: TypeAlias = (
    RegisteredAuth | PeerList | MetadataUpdated | ErrorMessage | RoomClosed | RoutedMessage
)
