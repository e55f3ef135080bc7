"""Kills each program at each stage of a job, then restarts it or starts the user's next process."""

import json
import signal

import attrs
import pytest
import trio

from sleaprtc.signaling.http import open_http

from ..support.ports import free_port
from ..support.waiting import until
from .processes import (
    Programs,
    end,
    ending,
    is_model_of,
    make_dataset,
    processes_below,
)
from .processes import record_of as record_in

pytestmark = pytest.mark.soak

PATIENCE_SEC = 120
EPOCHS = 15
DATASET_BYTES = 30_000_000


@attrs.define
class World:
    """A server, a worker, and one job on it."""

    programs: Programs
    server: trio.Process
    worker: trio.Process
    dataset: object
    clients: int = 0

    @property
    def state_dir(self):
        return self.programs.folder / "client"

    async def start_client(self, *words):
        self.clients += 1
        return await self.programs.start_client(f"client-{self.clients}", *words, state_dir=self.state_dir)

    async def train(self):
        out = self.programs.folder / "models"
        return await self.start_client("train", str(self.dataset), "--out", str(out), "--epochs", str(EPOCHS))

    async def attach(self):
        return await self.start_client("attach", record_in(self.state_dir).job_id)

    async def until(self, stage):
        """Waits until the last client has seen this."""
        reached = STAGES[stage]
        await until(lambda: any(reached(event) for event in self.programs.events(f"client-{self.clients}")))

    async def result(self, client):
        """Waits until a client ends; returns how it ended, which must be without a traceback."""
        with trio.fail_after(PATIENCE_SEC):
            await client.wait()
        ended = self.programs.ended(f"client-{self.clients}", client)
        assert "Traceback" not in ended.stderr
        return ended

    async def assert_model_comes(self, client):
        ended = await self.result(client)
        assert ended.status == 0, ended
        assert is_model_of(self.dataset, ended.last["model_dirs"])
        names = [path.name for path in (self.programs.folder / "models").iterdir()]
        assert names == [ended.last["model_dirs"][0].rpartition("/")[2]]
        await self.assert_nothing_is_left()

    async def assert_nothing_is_left(self):
        jobs = self.programs.work_dir("worker-1") / "jobs"
        await until(lambda: not (processes_below(self.programs.folder) or list(jobs.iterdir())))

    async def restart_server(self):
        await end(self.server, signal.SIGKILL)
        self.server = await self.programs.start_server()

    async def restart_worker(self):
        await end(self.worker, signal.SIGKILL)
        self.worker = await self.programs.start_worker("worker-1")


def _is_transfer(direction):
    return lambda event: (
        event["event"] == "transfer" and event["direction"] == direction and event["received_bytes"] > 0
    )


STAGES = {
    "negotiation": lambda event: event["event"] == "answers",
    "upload": _is_transfer("send"),
    "training": lambda event: event.get("current_epoch") == 3,
    "download": _is_transfer("receive"),
}


@pytest.fixture
async def world(tmp_path):
    """A world in which a training takes three seconds, and sending the dataset takes a moment."""
    ws_port, http_port = free_port(), free_port()
    programs = Programs(tmp_path, ws_port, http_port, ws_port, http_port)
    server = await programs.start_server()
    async with open_http(programs.http_url) as http:
        room = await http.create_room(await http.sign_in())
    programs = attrs.evolve(programs, room={"SLEAP_RTC_ROOM_ID": room.room_id, "SLEAP_RTC_TOKEN": room.token})
    dataset = await trio.to_thread.run_sync(make_dataset, tmp_path / "flies.pkg.slp", DATASET_BYTES, 1)
    world = World(programs, server, await programs.start_worker("worker-1"), dataset)
    try:
        await until(lambda: "waits for jobs" in programs.said("worker-1"))
        yield world
    finally:
        await end(world.worker)
        await end(world.server)
    assert processes_below(tmp_path) == []
    assert "Traceback" not in programs.said("worker-1") + programs.said("server")


@pytest.mark.parametrize("stage", ["upload", "training", "download"])
async def test_the_server_is_killed(world, stage):
    async with ending(await world.train()) as client:
        await world.until(stage)
        await world.restart_server()
        await world.assert_model_comes(client)


@pytest.mark.parametrize("stage", ["upload", "training", "download"])
async def test_the_client_is_killed(world, stage):
    async with ending(await world.train()) as client:
        await world.until(stage)
        await end(client, signal.SIGKILL)
    async with ending(await world.attach()) as client:
        await world.assert_model_comes(client)


async def test_the_client_is_killed_while_it_assigns_the_job(world):
    async with ending(await world.train()) as client:
        await world.until("negotiation")
        await end(client, signal.SIGKILL)
    if record_in(world.state_dir) is None:  # it hadn't chosen a worker yet
        return
    async with ending(await world.attach()) as client:
        ended = await world.result(client)
    # On a busy machine the worker may have given up a client that never connected to it.
    known = ("doesn't know this job", "made no data channel")
    assert ended.status == 0 or any(words in ended.last["message"] for words in known)
    await world.assert_nothing_is_left()


async def test_the_worker_is_killed_while_it_trains(world):
    """Once it's back, it goes on with the job by itself."""
    async with ending(await world.train()) as client:
        await world.until("training")
        await world.restart_worker()
        await world.result(client)  # it may have waited for the worker, or not
    if record_in(world.state_dir).state != "completed":
        async with ending(await world.attach()) as client:
            await world.assert_model_comes(client)
    await world.assert_nothing_is_left()


async def test_the_worker_is_killed_before_it_trains(world):
    """Once it's back, it reports that, and is ready for the next job."""
    async with ending(await world.train()) as client:
        await world.until("upload")
        await world.restart_worker()
        ended = await world.result(client)
        assert ended.status != 0
        assert ended.last["message"]
    async with ending(await world.attach()) as client:
        ended = await world.result(client)
    assert ended.last["message"] == "The worker was restarted while it had this job."
    await world.assert_nothing_is_left()
    async with ending(await world.train()) as client:
        await world.assert_model_comes(client)


async def test_the_worker_is_killed_when_it_has_trained(world):
    """Once it's back, it delivers the result that it kept."""
    async with ending(await world.train()) as client:
        await world.until("training")
        await end(client, signal.SIGKILL)
    jobs = world.programs.work_dir("worker-1") / "jobs"
    with trio.fail_after(PATIENCE_SEC):
        await until(lambda: list(jobs.glob("*/*.zip")) and not processes_below(world.programs.folder))
        await trio.sleep(0.5)
    await world.restart_worker()
    async with ending(await world.attach()) as client:
        await world.assert_model_comes(client)


async def test_everything_is_killed_but_the_worker(world):
    async with ending(await world.train()) as client:
        await world.until("training")
        await end(client, signal.SIGKILL)
    await world.restart_server()
    async with ending(await world.attach()) as client:
        await world.assert_model_comes(client)
    record = record_in(world.state_dir)
    assert record.state == "completed", json.dumps(record.message)
