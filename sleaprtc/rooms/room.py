"""A room and the peers in it."""

from __future__ import annotations

import hmac
from typing import Final, Generic

import attrs

from ..errors import RoomExpiredError
from ..protocol.codec import encode_metadata, encode_peer_info
from ..protocol.messages import Metadata, PeerInfo
from .effects import ConnectionT
from .filters import PeerFilter
from .metadata import check_encoded_size, check_metadata

VERDICTS_KEPT: Final = 8
"""How many filters' results a peer caches until its metadata change: a room's clients use the same few
filters again and again. A lookup is 20 times as fast as matching the metadata, which is scattered over the
memory."""

MAX_REMEMBERED_CHARS: Final = 1024
"""The longest filter text whose result is cached, since the text is the key."""


def same_secret(given: str, expected: str) -> bool:
    """Compares in constant time: how long it takes doesn't show where the two differ."""
    return hmac.compare_digest(given.encode(), expected.encode())


@attrs.define(eq=False)
class Peer(Generic[ConnectionT]):
    """A registered connection.

    Attributes:
        account: Subject of the id token with which it registered.
        resume_token: Secret with which the same peer may take its name back.
        connected_at: Epoch seconds.
        encoded_info: This peer's entry in a ``peer_list``.
    """

    peer_id: str
    role: str
    account: str
    connection: ConnectionT
    room: Room[ConnectionT]
    resume_token: str = attrs.field(repr=False)
    connected_at: float
    metadata: Metadata
    encoded_info: str = attrs.field(init=False, repr=False)
    _verdicts: dict[str, bool] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.describe(self.metadata)

    def describe(self, metadata: Metadata) -> None:
        """Replaces the metadata.

        Raises:
            TooLargeError: The metadata exceeds its limits; the old metadata stays.
        """
        check_metadata(metadata)
        check_encoded_size(encode_metadata(metadata))
        self.metadata = metadata
        self._verdicts = {}
        self.encoded_info = encode_peer_info(
            PeerInfo(self.peer_id, self.role, metadata, connected_at=self.connected_at)
        )

    def fits(self, wanted: PeerFilter) -> bool:
        """Returns whether this peer meets the filter's conditions."""
        if len(wanted.text) > MAX_REMEMBERED_CHARS:
            return wanted.matches(self.role, self.metadata)
        verdict = self._verdicts.get(wanted.text)
        if verdict is None:
            if len(self._verdicts) >= VERDICTS_KEPT:
                self._verdicts.clear()
            verdict = self._verdicts[wanted.text] = wanted.matches(self.role, self.metadata)
        return verdict


@attrs.define(eq=False)
class Room(Generic[ConnectionT]):
    """A room that peers can join with its token.

    Attributes:
        creator: Subject of the id token with which it was created.
        expires_at: When the room ends, in epoch seconds, as peers are told.
        deadline: The same moment on the monotonic clock by which decisions are made.
        ended: True once the room has expired or was deleted.
    """

    room_id: str
    token: str = attrs.field(repr=False)
    creator: str
    expires_at: float
    deadline: float
    ended: bool = False
    peers: dict[str, Peer[ConnectionT]] = attrs.field(factory=dict, repr=False)

    def check_open(self, now: float) -> None:
        """Checks that the room hasn't ended. The deadline counts even if ``ended`` isn't set yet.

        Raises:
            RoomExpiredError: The room has ended.
        """
        if self.ended or now >= self.deadline:
            raise RoomExpiredError("The room has expired or was deleted.")
