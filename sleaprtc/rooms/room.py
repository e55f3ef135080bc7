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
"""Filters whose answer a peer remembers until its metadata change: a room's clients ask for the same few,
again and again. Reading it is 20 times as quick as asking the metadata, which are all over the memory."""

MAX_REMEMBERED_CHARS: Final = 1024
"""Of a filter's text, which is remembered with the answer."""


def same_secret(given: str, expected: str) -> bool:
    """Compares in a time that doesn't depend on where the two differ."""
    return hmac.compare_digest(given.encode(), expected.encode())


@attrs.define(eq=False)
class Peer(Generic[ConnectionT]):
    """A registered connection.

    Attributes:
        account: Subject of the id token that it registered with.
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
            TooLargeError: It exceeds its limits; the old metadata stays.
        """
        check_metadata(metadata)
        check_encoded_size(encode_metadata(metadata))
        self.metadata = metadata
        self._verdicts = {}
        self.encoded_info = encode_peer_info(
            PeerInfo(self.peer_id, self.role, metadata, connected_at=self.connected_at)
        )

    def fits(self, wanted: PeerFilter) -> bool:
        """Says whether this peer is one that was asked for."""
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
        creator: Subject of the id token that it was created with.
        expires_at: Epoch seconds, for others to read.
        deadline: The same moment on the clock that decisions are made by, which never jumps.
        ended: True once it's over, whether by time or by deletion.
    """

    room_id: str
    token: str = attrs.field(repr=False)
    creator: str
    expires_at: float
    deadline: float
    ended: bool = False
    peers: dict[str, Peer[ConnectionT]] = attrs.field(factory=dict, repr=False)

    def check_open(self, now: float) -> None:
        """Looks at the time, whether or not the room's end has been carried out yet.

        Raises:
            RoomExpiredError: The room is over.
        """
        if self.ended or now >= self.deadline:
            raise RoomExpiredError("The room has expired or was deleted.")
