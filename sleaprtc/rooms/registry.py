"""Which rooms there are and who is in them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, Generic

import attrs

from ..errors import (
    ForbiddenError,
    InvalidMessageError,
    NotInRoomError,
    PeerIdTakenError,
    RoomFullError,
    RoomNotFoundError,
)
from ..protocol.close_codes import CloseCode
from ..protocol.codec import encode_message
from ..protocol.limits import MAX_PEERS_PER_ROOM
from ..protocol.messages import IceServer, Register, RegisteredAuth, RoomClosed
from ..protocol.vocabulary import RoomEnd
from .effects import Close, ConnectionT, Deliver, Effect
from .metadata import check_name
from .room import Peer, Room, same_secret

_NO_SUCH_ROOM: Final = "No such room, or the wrong room token."


@attrs.define(eq=False)
class Registry(Generic[ConnectionT]):
    """All rooms and peers. Only these methods change them, and each method is one decision.

    A time called ``now`` is on a monotonic clock; times on the wire are epoch seconds.

    Attributes:
        ice_servers: Sent to every peer that registers.
    """

    ice_servers: tuple[IceServer, ...] = ()
    max_peers_per_room: int = MAX_PEERS_PER_ROOM
    _rooms: dict[str, Room[ConnectionT]] = attrs.field(factory=dict, init=False)
    _ended_rooms: dict[str, Room[ConnectionT]] = attrs.field(factory=dict, init=False)
    _room_ids_by_creator: dict[str, set[str]] = attrs.field(factory=dict, init=False)
    _peers: dict[ConnectionT, Peer[ConnectionT]] = attrs.field(factory=dict, init=False)

    # --- rooms ------------------------------------------------------------------------------

    @property
    def rooms(self) -> Collection[Room[ConnectionT]]:
        """All rooms that haven't ended."""
        return self._rooms.values()

    def knows(self, room_id: str) -> bool:
        """Returns whether a room has this id, including rooms that have ended."""
        return room_id in self._rooms or room_id in self._ended_rooms

    def add_room(self, room: Room[ConnectionT]) -> None:
        """Adds a new room, or one that was stored before a restart."""
        if room.ended:
            self._ended_rooms[room.room_id] = room
            return
        self._rooms[room.room_id] = room
        self._room_ids_by_creator.setdefault(room.creator, set()).add(room.room_id)

    def owned_room(self, room_id: str, account: str, now: float) -> Room[ConnectionT]:
        """Returns a room to its creator.

        Raises:
            RoomNotFoundError: There is no such room, or it has ended.
            ForbiddenError: Another account created it.
        """
        room = self._rooms.get(room_id)
        if room is None or now >= room.deadline:
            raise RoomNotFoundError("No such room.")
        if room.creator != account:
            raise ForbiddenError("Only the creator of the room may do this.")
        return room

    def rooms_of(self, account: str) -> Iterator[Room[ConnectionT]]:
        """Yields the rooms that an account has created and that haven't ended."""
        return (self._rooms[room_id] for room_id in self._room_ids_by_creator.get(account, ()))

    def end_room(self, room_id: str, reason: RoomEnd) -> list[Effect[ConnectionT]]:
        """Ends a room and disconnects its peers; does nothing if it has ended already."""
        room = self._rooms.pop(room_id, None)
        if room is None:
            return []
        room.ended = True
        self._ended_rooms[room_id] = room
        siblings = self._room_ids_by_creator[room.creator]
        siblings.discard(room_id)
        if not siblings:
            del self._room_ids_by_creator[room.creator]
        effects = [effect for peer in room.peers.values() for effect in self._dismiss(peer, reason)]
        room.peers.clear()
        return effects

    def forget_rooms_ended_before(self, then: float) -> None:
        """Forgets ended rooms whose deadline was before ``then``, on the clock of ``now``."""
        for room_id in [key for key, room in self._ended_rooms.items() if room.deadline < then]:
            del self._ended_rooms[room_id]

    # --- peers ------------------------------------------------------------------------------

    @property
    def peers(self) -> Collection[Peer[ConnectionT]]:
        """All registered peers of all rooms."""
        return self._peers.values()

    def is_registered(self, connection: ConnectionT) -> bool:
        """Returns whether a peer is registered on a connection."""
        return connection in self._peers

    def peer_on(self, connection: ConnectionT) -> Peer[ConnectionT]:
        """Returns the peer that is registered on a connection.

        Raises:
            NotInRoomError: No peer is.
        """
        peer = self._peers.get(connection)
        if peer is None:
            raise NotInRoomError("No peer is registered on this connection.")
        return peer

    def peers_called(self, peer_id: str) -> list[Peer[ConnectionT]]:
        """Returns the peers of that name, at most one in each room."""
        return [room.peers[peer_id] for room in self._rooms.values() if peer_id in room.peers]

    def register(
        self,
        connection: ConnectionT,
        request: Register,
        *,
        account: str,
        resume_token: str,
        now: float,
        connected_at: float,
    ) -> list[Effect[ConnectionT]]:
        """Registers a peer in a room.

        Args:
            connection: The peer's connection.
            request: The peer's request.
            account: Subject of its verified id token.
            resume_token: A new secret for the peer, with which it can take its name back later.
            now: The time in seconds, on a monotonic clock.
            connected_at: The time, in epoch seconds.

        Raises:
            InvalidMessageError: A peer is registered on this connection already, or a name is invalid.
            RoomNotFoundError: The room doesn't exist, or the token is wrong.
            RoomExpiredError: The token is right, but the room has ended.
            PeerIdTakenError: A live peer has this name, and the resume token isn't that peer's.
            RoomFullError: The room already has the maximum number of peers.
            TooLargeError: The metadata or a name exceeds its limits.
        """
        if connection in self._peers:
            raise InvalidMessageError("This connection is registered already.")
        check_name(request.peer_id, "peer id")
        check_name(request.role, "role")
        room = self._room_for(request, now)
        predecessor = self._predecessor(room, request)
        peer = Peer(
            peer_id=request.peer_id,
            role=request.role,
            account=account,
            connection=connection,
            room=room,
            resume_token=resume_token,
            connected_at=connected_at,
            metadata=request.metadata,
        )
        effects: list[Effect[ConnectionT]] = []
        if predecessor is not None:
            self.leave(predecessor.connection)
            effects.append(
                Close(predecessor.connection, CloseCode.PEER_ID_TAKEN, "Resumed on another connection.")
            )
        room.peers[peer.peer_id] = peer
        self._peers[connection] = peer
        return [*effects, Deliver(connection, self._welcome(peer))]

    def leave(self, connection: ConnectionT) -> None:
        """Removes the peer that is registered on a connection, if any.

        It is found by connection and not by name: another connection may have the name by now.
        """
        peer = self._peers.pop(connection, None)
        if peer is not None:
            peer.room.peers.pop(peer.peer_id, None)

    def remove(self, peer: Peer[ConnectionT]) -> list[Effect[ConnectionT]]:
        """Removes one peer from its room, as if the room had been deleted for it alone."""
        effects = self._dismiss(peer, RoomEnd.DELETED)
        peer.room.peers.pop(peer.peer_id, None)
        return effects

    def _room_for(self, request: Register, now: float) -> Room[ConnectionT]:
        room = self._rooms.get(request.room_id) or self._ended_rooms.get(request.room_id)
        # The comparison is made in either case, so that its timing doesn't reveal which rooms exist.
        right_token = same_secret(request.token, room.token if room else "no room has this token")
        if room is None or not right_token:
            raise RoomNotFoundError(_NO_SUCH_ROOM)
        room.check_open(now)
        return room

    def _predecessor(self, room: Room[ConnectionT], request: Register) -> Peer[ConnectionT] | None:
        holder = room.peers.get(request.peer_id)
        if holder is None:
            if len(room.peers) >= self.max_peers_per_room:
                raise RoomFullError(f"The room has {self.max_peers_per_room} peers and takes no more.")
        elif request.resume_token is None or not same_secret(request.resume_token, holder.resume_token):
            raise PeerIdTakenError("Another peer of the room has this name.")
        return holder

    def _welcome(self, peer: Peer[ConnectionT]) -> str:
        return encode_message(
            RegisteredAuth(
                room_id=peer.room.room_id,
                token=peer.room.token,
                peer_id=peer.peer_id,
                expires_at=peer.room.expires_at,
                ice_servers=self.ice_servers,
                resume_token=peer.resume_token,
            )
        )

    def _dismiss(self, peer: Peer[ConnectionT], reason: RoomEnd) -> list[Effect[ConnectionT]]:
        self._peers.pop(peer.connection, None)
        return [
            Deliver(peer.connection, encode_message(RoomClosed(reason))),
            Close(peer.connection, CloseCode.ROOM_ENDED, f"room {reason}"),
        ]
