"""A room's lifetime of two hours, on a clock that the test moves. Everything but the sockets is real."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from trio_websocket import wrap_client_stream

from sleaprtc.identity.issuer import TokenIssuer
from sleaprtc.rooms.registry import Registry
from sleaprtc.server.capacity import Capacity
from sleaprtc.server.hub import HOUSEKEEPING_INTERVAL_SEC, Hub, open_hub
from sleaprtc.server.settings import ServerSettings
from sleaprtc.server.sockets import PeerStream
from sleaprtc.server.websocket import serve_connection
from sleaprtc.storage.sqlite import open_sqlite_storage

from .trio_peer import TrioPeer, to

HOUR_SEC = 3600
HOUSEKEEPING_ROUNDS = 40


class MemoryStream(PeerStream):
    """A connection in memory on which every write waits."""

    def __init__(self, pair):
        self._pair = pair

    def send_now(self, data):
        return 0

    def close(self):
        self._pair.send_stream.close()
        self._pair.receive_stream.close()

    async def send_all(self, data):
        await self._pair.send_all(data)

    async def wait_send_all_might_not_block(self):
        await self._pair.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes=None):
        return bytes(await self._pair.receive_some(max_bytes))

    async def send_eof(self):
        await self._pair.send_eof()

    async def aclose(self):
        await self._pair.aclose()


@attrs.define
class World:
    """A hub with a wall clock that the test controls, too."""

    hub: Hub
    settings: ServerSettings
    nursery: trio.Nursery
    issuer: TokenIssuer
    account: str
    wall_offset_sec: float

    def wall_clock(self) -> float:
        return time.time() + self.wall_offset_sec

    async def room(self) -> dict[str, Any]:
        room = await self.hub.create_room(self.account)
        return {"room_id": room.room_id, "token": room.token, "expires_at": room.expires_at}

    async def peer(self, room: dict[str, Any], peer_id: str | None = None) -> TrioPeer:
        ours, theirs = trio.testing.memory_stream_pair()

        place = Capacity(max_connections=1, max_per_address=1).take_place("", lambda: None)
        assert place is not None

        async def serve() -> None:
            await serve_connection(MemoryStream(theirs), place, hub=self.hub, settings=self.settings)

        self.nursery.start_soon(serve)
        websocket = await wrap_client_stream(self.nursery, ours, "localhost", "/")
        id_token, _ = self.issuer.issue(now=self.wall_clock())
        peer = TrioPeer(websocket, room, id_token)
        if peer_id is not None:
            await peer.register(peer_id)
        return peer


@asynccontextmanager
async def open_world(state_dir: Path) -> AsyncIterator[World]:
    issuer = TokenIssuer.from_state_dir(state_dir)
    settings = ServerSettings(state_dir=state_dir)
    async with open_sqlite_storage(state_dir) as storage, trio.open_nursery() as nursery:
        world = World(None, settings, nursery, issuer, "creator", 0.0)  # type: ignore[arg-type]
        async with open_hub(
            storage=storage, verifier=issuer.verifier(), settings=settings, wall_clock=world.wall_clock
        ) as world.hub:
            yield world
            nursery.cancel_scope.cancel()


@pytest.fixture
async def world(tmp_path: Path, mock_clock: trio.testing.MockClock) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


async def is_open(peer: TrioPeer) -> bool:
    return await peer.ask(to("me", "me")) == to("me", "me")


async def is_expired(peer: TrioPeer) -> bool:
    told = await peer.receive()
    return told == {"type": "room_closed", "reason": "expired"} and await peer.close_code() == 4004


async def test_a_room_lives_two_hours(world: World, mock_clock: trio.testing.MockClock) -> None:
    before = time.time()
    room = await world.room()
    assert before + 2 * HOUR_SEC <= room["expires_at"] <= time.time() + 2 * HOUR_SEC
    peer = await world.peer(room, "me")
    mock_clock.jump(2 * HOUR_SEC - 1)
    assert await is_open(peer)
    await world.peer(room, "late")
    mock_clock.jump(1)
    assert await is_expired(peer)
    assert world.hub.metrics().active_rooms == 0


async def test_renewal_gives_two_hours_from_then(world: World, mock_clock: trio.testing.MockClock) -> None:
    room = await world.room()
    peer = await world.peer(room, "me")
    mock_clock.jump(1.5 * HOUR_SEC)
    await world.hub.renew_room(world.account, room["room_id"])
    mock_clock.jump(2 * HOUR_SEC - 1)
    assert await is_open(peer)
    mock_clock.jump(1)
    assert await is_expired(peer)


async def test_a_room_ends_alone(world: World, mock_clock: trio.testing.MockClock) -> None:
    first, second = await world.room(), None
    ending = await world.peer(first, "me")
    mock_clock.jump(HOUR_SEC)
    second = await world.room()
    staying = await world.peer(second, "me")
    mock_clock.jump(HOUR_SEC)
    assert await is_expired(ending)
    assert await is_open(staying)


async def test_nobody_joins_after_the_end(world: World, mock_clock: trio.testing.MockClock) -> None:
    room = await world.room()
    mock_clock.jump(2 * HOUR_SEC)
    late = await world.peer(room)
    answer = await late.attempt("late")
    assert (answer["code"], await late.close_code()) == ("ROOM_EXPIRED", 4004)


@pytest.mark.parametrize("offset_sec", [-24 * HOUR_SEC, 12 * HOUR_SEC])
async def test_a_wall_clock_that_jumps_moves_no_room(
    world: World, mock_clock: trio.testing.MockClock, offset_sec: float
) -> None:
    room = await world.room()
    peer = await world.peer(room, "me")
    world.wall_offset_sec = offset_sec
    mock_clock.jump(2 * HOUR_SEC - 1)
    assert await is_open(peer)
    await world.peer(room, "late")
    mock_clock.jump(1)
    assert await is_expired(peer)


async def test_an_ended_room_is_remembered_for_a_day(
    world: World, mock_clock: trio.testing.MockClock
) -> None:
    room = await world.room()

    async def refusal() -> tuple[str, int | None]:
        late = await world.peer(room)
        answer = await late.attempt("late")
        return answer["code"], await late.close_code()

    mock_clock.jump(25 * HOUR_SEC)
    assert await refusal() == ("ROOM_EXPIRED", 4004)
    mock_clock.jump(3 * HOUR_SEC)
    # The round that was under way when the clock jumped sees the time it began at: the next one forgets.
    for _ in range(HOUSEKEEPING_ROUNDS):
        mock_clock.jump(HOUSEKEEPING_INTERVAL_SEC)
        await trio.testing.wait_all_tasks_blocked()
        if (answer := await refusal()) != ("ROOM_EXPIRED", 4004):
            break
        await trio.to_thread.run_sync(time.sleep, 0.05)  # for the thread that a round writes in
    assert answer == ("ROOM_NOT_FOUND", 4003)


async def test_registration_has_ten_seconds(world: World, mock_clock: trio.testing.MockClock) -> None:
    room = await world.room()
    silent, registered = await world.peer(room), await world.peer(room, "me")
    mock_clock.jump(9)
    assert (await silent.ask({"type": "nonsense"}))["type"] == "error"
    mock_clock.jump(1)
    assert await silent.close_code() == 4008
    assert await is_open(registered)


async def test_rooms_end_on_time_after_a_restart(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    async with open_world(tmp_path) as world:
        rooms = [await world.room() for _ in range(3)]
        await world.hub.delete_room(world.account, rooms[2]["room_id"])
    async with open_world(tmp_path) as world:
        peer = await world.peer(rooms[0], "me")
        await world.hub.renew_room(world.account, rooms[1]["room_id"])
        gone = await world.peer(rooms[2])
        assert (await gone.attempt("me"))["code"] == "ROOM_EXPIRED"
        mock_clock.jump(2 * HOUR_SEC)
        assert await is_expired(peer)


@pytest.mark.logs_error("RuntimeError: a bug")
async def test_a_room_that_cannot_be_opened_costs_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = await world.peer(await world.room(), "me")

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as broken:
        broken.setattr(Registry, "add_room", fail)
        with pytest.raises(RuntimeError):
            await world.room()
    assert await is_open(peer)
    assert await is_open(await world.peer(await world.room(), "me"))
