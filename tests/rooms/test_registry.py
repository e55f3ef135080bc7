"""Rooms and peers against a simple model, with any order of joining, leaving, ending and time passing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sleaprtc.errors import (
    PeerIdTakenError,
    RoomExpiredError,
    RoomFullError,
    RoomNotFoundError,
    SleapRTCError,
    TooLargeError,
)
from sleaprtc.protocol.close_codes import CloseCode
from sleaprtc.protocol.codec import encode_metadata
from sleaprtc.protocol.limits import MAX_METADATA_BYTES
from sleaprtc.protocol.messages import DiscoverPeers, Metadata, PeerMessage, Register, UpdateMetadata
from sleaprtc.protocol.vocabulary import RoomEnd
from sleaprtc.rooms.effects import Close, Deliver
from sleaprtc.rooms.metadata import check_encoded_size
from sleaprtc.rooms.registry import Registry
from sleaprtc.rooms.room import MAX_REMEMBERED_CHARS, Room
from sleaprtc.rooms.routing import answer

ROOM_IDS = ("one", "two")
NAMES = ("ann", "bob", "cid")
CONNECTIONS = range(6)
TTL = 10.0
MAX_PEERS = 2

connections = st.sampled_from(CONNECTIONS)
names = st.sampled_from(NAMES)
room_ids = st.sampled_from((*ROOM_IDS, "nowhere"))


@attrs.define
class Member:
    room_id: str
    name: str
    resume_token: str
    value: int | None = None


class RoomsAgainstAModel(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.now = 0.0
        self.registry: Registry[int] = Registry(max_peers_per_room=MAX_PEERS)
        self.members: dict[int, Member] = {}  # by connection
        self.deadlines = dict.fromkeys(ROOM_IDS, TTL)
        self.ended: set[str] = set()
        self.serial = 0
        for room_id in ROOM_IDS:
            self.registry.add_room(Room(room_id, f"token-{room_id}", "creator", TTL, TTL))

    def is_over(self, room_id: str) -> bool:
        return room_id in self.ended or self.now >= self.deadlines[room_id]

    def holder(self, room_id: str, name: str) -> int | None:
        return next((c for c, m in self.members.items() if (m.room_id, m.name) == (room_id, name)), None)

    def expected_refusal(self, room_id: str, name: str, token: str, resume: str | None) -> type | None:
        if room_id not in ROOM_IDS or token != f"token-{room_id}":
            return RoomNotFoundError
        if self.is_over(room_id):
            return RoomExpiredError
        holder = self.holder(room_id, name)
        if holder is not None:
            return None if resume == self.members[holder].resume_token else PeerIdTakenError
        full = sum(m.room_id == room_id for m in self.members.values()) >= MAX_PEERS
        return RoomFullError if full else None

    @rule(
        connection=connections,
        room_id=room_ids,
        name=names,
        right_token=st.booleans(),
        resumes=st.booleans(),
    )
    def register(self, connection: int, room_id: str, name: str, right_token: bool, resumes: bool) -> None:
        if connection in self.members:
            return
        holder = self.holder(room_id, name)
        resume = self.members[holder].resume_token if resumes and holder is not None else None
        token = f"token-{room_id}" if right_token else "guess"
        expected = self.expected_refusal(room_id, name, token, resume)
        self.serial += 1
        request = Register(name, room_id, token, "id", resume_token=resume)
        try:
            effects = self.registry.register(
                connection,
                request,
                account=f"account-{connection}",
                resume_token=f"resume-{self.serial}",
                now=self.now,
                connected_at=self.now,
            )
        except SleapRTCError as error:
            refusal = type(error)
        else:
            refusal = None
        assert refusal is expected
        if refusal is not None:
            return
        closed = [effect for effect in effects if isinstance(effect, Close)]
        assert [(c.connection, c.code) for c in closed] == (
            [] if holder is None else [(holder, CloseCode.PEER_ID_TAKEN)]
        )
        told = effects[-1]
        assert isinstance(told, Deliver)
        assert told.connection == connection
        welcome = json.loads(told.text)
        assert (welcome["room_id"], welcome["token"], welcome["peer_id"]) == (room_id, token, name)
        if holder is not None:
            del self.members[holder]
        self.members[connection] = Member(room_id, name, f"resume-{self.serial}")

    @rule(connection=connections)
    def leave(self, connection: int) -> None:
        """Includes connections that never registered, or whose peer id another one has by now."""
        self.registry.leave(connection)
        self.members.pop(connection, None)

    @rule(room_id=room_ids, reason=st.sampled_from(list(RoomEnd)))
    def end_room(self, room_id: str, reason: str) -> None:
        effects = self.registry.end_room(room_id, reason)
        gone = [c for c, member in self.members.items() if member.room_id == room_id]
        told = {e.connection: json.loads(e.text) for e in effects if isinstance(e, Deliver)}
        closed = {e.connection: e.code for e in effects if isinstance(e, Close)}
        assert told == {c: {"type": "room_closed", "reason": reason} for c in gone}
        assert closed == dict.fromkeys(gone, CloseCode.ROOM_ENDED)
        for connection in gone:
            del self.members[connection]
        if room_id in ROOM_IDS:
            self.ended.add(room_id)

    @rule(room_id=st.sampled_from(ROOM_IDS))
    def renew(self, room_id: str) -> None:
        if self.is_over(room_id):
            with pytest.raises(RoomNotFoundError):
                self.registry.owned_room(room_id, "creator", self.now)
            return
        room = self.registry.owned_room(room_id, "creator", self.now)
        room.deadline = self.deadlines[room_id] = self.now + TTL

    @rule(seconds=st.sampled_from([0.5, 3, 20]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(connection=connections, sender=names, to=names)
    def send(self, connection: int, sender: str, to: str) -> None:
        outcome = self.outcome(connection, PeerMessage(sender, to, {}))
        if connection not in self.members:
            assert outcome == "NOT_IN_ROOM"
            return
        me = self.members[connection]
        if self.is_over(me.room_id):
            assert outcome == "ROOM_EXPIRED"
        elif sender != me.name:
            assert outcome == "IDENTITY_MISMATCH"
        elif (receiver := self.holder(me.room_id, to)) is None:
            assert outcome == "PEER_NOT_IN_ROOM"
        else:
            assert outcome == Deliver(receiver, "the text", sender=connection)

    def outcome(self, connection: int, message: Any) -> Any:
        try:
            return answer(self.registry.peer_on(connection), message, "the text", now=self.now)
        except SleapRTCError as error:
            return error.code

    @rule(at_least=st.none() | st.integers(-6, 6))
    def discover(self, at_least: int | None) -> None:
        """Uses more filters than a peer remembers results for."""
        filters = {} if at_least is None else {"properties": {"x": {"$gte": at_least}}}
        self.everybody_finds(filters, lambda x: at_least is None or (x is not None and x >= at_least))

    @invariant()
    def changes_are_found(self) -> None:
        self.everybody_finds({"properties": {"x": 2}}, lambda x: x == 2)

    def everybody_finds(self, filters: dict[str, Any], fits: Callable[[int | None], bool]) -> None:
        for connection, me in self.members.items():
            if self.is_over(me.room_id):
                continue
            effect = self.outcome(connection, DiscoverPeers(me.name, filters))
            found = json.loads(effect.text)
            expected = [
                m.name
                for c, m in self.members.items()
                if m.room_id == me.room_id and c != connection and fits(m.value)
            ]
            assert effect.connection == connection
            assert found["count"] == len(found["peers"])
            assert sorted(peer["peer_id"] for peer in found["peers"]) == sorted(expected)

    @rule(connection=connections, value=st.none() | st.integers(0, 3))
    def update(self, connection: int, value: int | None) -> None:
        if connection not in self.members or self.is_over(self.members[connection].room_id):
            return
        me = self.members[connection]
        effect = self.outcome(connection, UpdateMetadata(me.name, Metadata(properties={"x": value})))
        metadata = json.loads(effect.text)["metadata"]
        assert metadata == {"properties": {} if value is None else {"x": value}}
        me.value = value

    @invariant()
    def everybody_is_where_the_model_says(self) -> None:
        registered = {(p.connection, p.room.room_id, p.peer_id) for p in self.registry.peers}
        assert registered == {(c, m.room_id, m.name) for c, m in self.members.items()}
        for room in self.registry.rooms:
            assert {(p.connection, room.room_id, name) for name, p in room.peers.items()} == {
                entry for entry in registered if entry[1] == room.room_id
            }


RoomsAgainstAModel.TestCase.settings = settings(
    max_examples=settings.default.max_examples * 3 // 5, stateful_step_count=40
)
TestRoomsAgainstAModel = RoomsAgainstAModel.TestCase


def test_what_a_peer_says_of_itself_is_found_as_soon_as_it_says_it() -> None:
    registry: Registry[int] = Registry(max_peers_per_room=MAX_PEERS)
    registry.add_room(Room("one", "token", "creator", TTL, TTL))
    for connection, name in enumerate(("ann", "bob")):
        request = Register(name, "one", "token", "id")
        registry.register(connection, request, account=name, resume_token=name, now=0.0, connected_at=0.0)

    def found(status: str, **more: str) -> int:
        message = DiscoverPeers("ann", {"properties": {"status": status}, **more})
        effect = answer(registry.peer_on(0), message, "", now=0.0)
        count: int = json.loads(effect.text)["count"]
        return count

    for status, other in (("busy", "available"), ("available", "busy"), ("busy", "available")):
        update = UpdateMetadata("bob", Metadata(properties={"status": status}))
        answer(registry.peer_on(1), update, "", now=0.0)
        assert [found(status), found(other), found(status)] == [1, 0, 1]
        long = "x" * MAX_REMEMBERED_CHARS  # results for longer filters aren't remembered
        assert [found(status, comment=long), found(other, comment=long)] == [1, 0]


def test_metadata_are_counted_in_bytes() -> None:
    crabs = Metadata(properties={"note": "\N{CRAB}" * (MAX_METADATA_BYTES // 4)})
    with pytest.raises(TooLargeError):
        check_encoded_size(encode_metadata(crabs))
