"""Decides what to do with a registered peer's message."""

from __future__ import annotations

from ..errors import (
    IdentityMismatchError,
    InvalidMessageError,
    PeerUnreachableError,
    TooLargeError,
)
from ..protocol.codec import encode_message, encode_peer_list
from ..protocol.limits import MAX_CANDIDATE_BYTES, MAX_SDP_BYTES, MAX_SERVER_FRAME_BYTES
from ..protocol.messages import (
    Answer,
    Candidate,
    ClientMessage,
    DiscoverPeers,
    MetadataUpdated,
    Offer,
    PeerMessage,
    RoutedMessage,
    UpdateMetadata,
)
from .effects import ConnectionT, Deliver
from .filters import parse_filters
from .metadata import merged
from .room import Peer


def answer(
    sender: Peer[ConnectionT], message: ClientMessage, text: str, *, now: float
) -> Deliver[ConnectionT]:
    """Returns what to deliver for a message of a registered peer: the message itself, or an answer to it.

    Args:
        sender: The peer that is registered on the connection from which the message came.
        message: The decoded message.
        text: The message as it came. It is routed unchanged, with any unknown keys.
        now: The time in seconds, on a monotonic clock.

    Raises:
        RoomExpiredError: The room has ended.
        IdentityMismatchError: The message names another sender.
        PeerUnreachableError: The target isn't in the sender's room.
        InvalidFilterError: The filters of a discovery are invalid.
        TooLargeError: A part of the message, or the answer, exceeds its limit.
        InvalidMessageError: The peer tries to register a second time.
    """
    sender.room.check_open(now)
    if isinstance(message, RoutedMessage):
        return _route(sender, message, text)
    if isinstance(message, DiscoverPeers):
        return _discover(sender, message)
    if isinstance(message, UpdateMetadata):
        return _update(sender, message)
    raise InvalidMessageError("This connection is registered already.")


def _check_sender(sender: Peer[ConnectionT], name: str) -> None:
    if name != sender.peer_id:
        raise IdentityMismatchError("The message names a sender that isn't registered on this connection.")


def _route(sender: Peer[ConnectionT], message: RoutedMessage, text: str) -> Deliver[ConnectionT]:
    if isinstance(message, PeerMessage):
        name, target_id = message.from_peer_id, message.to_peer_id
    else:
        name, target_id = message.sender, message.target
        _check_size(message)
    _check_sender(sender, name)
    target = sender.room.peers.get(target_id)
    if target is None:
        raise PeerUnreachableError("The target isn't in this room.")
    return Deliver(target.connection, text, sender=sender.connection)


def _check_size(message: Offer | Answer | Candidate) -> None:
    if isinstance(message, Candidate):
        content, limit = message.candidate, MAX_CANDIDATE_BYTES
    else:
        content, limit = message.sdp, MAX_SDP_BYTES
    if len(content.encode()) > limit:
        raise TooLargeError(f"The {message.type} has more than {limit} bytes.")


def _discover(sender: Peer[ConnectionT], message: DiscoverPeers) -> Deliver[ConnectionT]:
    _check_sender(sender, message.from_peer_id)
    wanted = parse_filters(message.filters)
    found = [
        peer.encoded_info for peer in sender.room.peers.values() if peer is not sender and peer.fits(wanted)
    ]
    text = encode_peer_list(sender.peer_id, found)
    if len(text) > MAX_SERVER_FRAME_BYTES:
        raise TooLargeError(f"{len(found)} peers are too many for one message: use narrower filters.")
    return Deliver(sender.connection, text)


def _update(sender: Peer[ConnectionT], message: UpdateMetadata) -> Deliver[ConnectionT]:
    _check_sender(sender, message.peer_id)
    sender.describe(merged(sender.metadata, message.metadata))
    return Deliver(sender.connection, encode_message(MetadataUpdated(sender.peer_id, sender.metadata)))
