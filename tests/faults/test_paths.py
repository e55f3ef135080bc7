"""Paths that are cut or half open, rooms that end, and servers whose disk fails or whose clock jumps."""

import sqlite3
import time
from contextlib import closing
from urllib.parse import urlsplit

import attrs
import pytest
import trio

from sleaprtc.errors import RoomExpiredError, StorageError
from sleaprtc.protocol.jobs import JobStop
from sleaprtc.protocol.messages import Metadata, PeerMessage
from sleaprtc.signaling.http import Endpoints, open_http
from sleaprtc.signaling.link import Membership, open_link
from sleaprtc.storage.sqlite import DATABASE_FILE_NAME, open_sqlite_storage

from ..support.lab import ScriptedTrainer, make_labels, open_lab
from ..support.waiting import until
from .proxy import Proxy

YEAR_SEC = 365 * 86_400.0


@pytest.fixture
def labels(tmp_path):
    return make_labels(tmp_path / "flies.pkg.slp", padding_bytes=10_000)


@pytest.fixture
async def path(server, nursery):
    """A path to the server's WebSocket port that can be broken."""
    proxy = Proxy(urlsplit(server.ws_url).port)
    await nursery.start(proxy.run)
    return proxy


@pytest.fixture
async def lab(server, path, tmp_path):
    """A lab whose peers reach the server over the path."""
    lab = await open_lab(server, tmp_path)
    return attrs.evolve(lab, endpoints=Endpoints(f"ws://127.0.0.1:{path.port}/", server.http_url))


# --- paths ----------------------------------------------------------------------------------


async def test_a_cut_path_costs_no_model(lab, path, labels):
    """Messages that were lost on it are requested again."""
    trainer, done = ScriptedTrainer(hold=True), []

    async def train():
        done.append(await lab.train(labels))

    async with lab.worker("gpu-1", trainer), trio.open_nursery() as nursery:
        nursery.start_soon(train)
        await trainer.started.wait()
        path.cut()
        trainer.go_on.set()
    assert len(done[0].model_dirs) == 1


async def test_a_half_open_path_is_noticed_and_left(lab, path, monkeypatch):
    """Nothing arrives and nothing is refused; the server takes the old connection for alive."""
    monkeypatch.setattr("sleaprtc.signaling.session.PING_INTERVAL_SEC", 0.2)
    said = []
    membership = Membership(lab.endpoints, lab.room, "me", "client", Metadata())
    async with open_link(membership, lab.account, on_change=said.append) as link:
        with monkeypatch.context() as hasty:
            hasty.setattr("sleaprtc.signaling.session.PONG_TIMEOUT_SEC", 0.2)
            path.freeze()
            await until(lambda: "Back in the room." in said)
        await link.deliver_job_message("me", JobStop("job"))
        message = await link.receive()
        assert isinstance(message, PeerMessage)
        assert message.payload["job_id"] == "job"


async def test_the_old_connections_end_harms_the_new_one_not(lab, path):
    """Both have the same peer id; the old one is cut after the server has given its id to the new one."""
    membership = Membership(lab.endpoints, lab.room, "me", "client", Metadata())
    async with lab.peer("watcher") as watcher, open_link(membership, lab.account) as first:
        resumed = attrs.evolve(membership, resume_token=first.resume_token)
        async with open_link(resumed, lab.account) as second:
            await trio.sleep(0.2)
            assert [peer.peer_id for peer in await watcher.discover({})] == ["me"]
            assert second.is_connected


# --- rooms ----------------------------------------------------------------------------------


async def test_a_room_that_ends_during_training_costs_no_model(lab, labels):
    trainer, done = ScriptedTrainer(hold=True), []

    async def train():
        done.append(await lab.train(labels))

    async def serve_until_the_room_ends(nursery):
        async with lab.worker("gpu-1", trainer):
            nursery.start_soon(train)
            await trainer.started.wait()
            async with open_http(lab.endpoints.http_url) as http:
                await http.delete_room(lab.account, lab.room.room_id)
            await trio.sleep(0.2)
            trainer.go_on.set()
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        with pytest.raises(RoomExpiredError):
            await serve_until_the_room_ends(nursery)
    assert len(done[0].model_dirs) == 1


# --- the server's disk and clock ------------------------------------------------------------


async def test_a_locked_room_database_stops_no_messages(start_server, tmp_path, labels, monkeypatch):
    monkeypatch.setattr("sleaprtc.storage.sqlite.BUSY_TIMEOUT_SEC", 0.05)
    server = await start_server()
    lab = await open_lab(server, tmp_path)
    with closing(sqlite3.connect(server.state_dir / DATABASE_FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        async with lab.worker("gpu-1"):
            assert len((await lab.train(labels)).model_dirs) == 1
        other.execute("ROLLBACK")
    assert await open_lab(server, tmp_path)  # and rooms can be made again


async def test_a_locked_room_database_at_the_start_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("sleaprtc.storage.sqlite.BUSY_TIMEOUT_SEC", 0.05)
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError, match="can't be used: database is locked"):
            async with open_sqlite_storage(tmp_path):
                pass
        other.execute("ROLLBACK")


@pytest.mark.parametrize("jump_sec", [10 * YEAR_SEC, -10 * YEAR_SEC])
async def test_a_clock_that_is_set_ends_no_room(start_server, tmp_path, labels, monkeypatch, jump_sec):
    lab = await open_lab(await start_server(), tmp_path)
    trainer, done = ScriptedTrainer(hold=True), []

    async def train():
        done.append(await lab.train(labels))

    wall = time.time
    async with lab.worker("gpu-1", trainer), trio.open_nursery() as nursery:
        nursery.start_soon(train)
        await trainer.started.wait()
        monkeypatch.setattr("time.time", lambda: wall() + jump_sec)
        async with open_http(lab.endpoints.http_url) as http:
            account = await http.sign_in()
        late = Membership(lab.endpoints, lab.room, "late", "client", Metadata())
        async with open_link(late, account) as link:
            assert len(await link.discover({})) == 2
        trainer.go_on.set()
    assert len(done[0].model_dirs) == 1
