"""Stops each program at each stage of a job (SIGSTOP), for longer than others wait, and lets it go on.

A closed lid, a paused machine and Ctrl-Z do the same. Nothing is lost: no job ends that one can still ask
about, none is begun twice, and the model comes home by itself.
"""

from __future__ import annotations

import signal
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

from sleaprtc.rtc.secret import RoomSecret
from sleaprtc.signaling.http import open_http

from ..support.ports import free_port
from ..support.waiting import until
from .processes import Programs, ending, is_model_of, make_dataset, processes_below, record_of

pytestmark = pytest.mark.soak

PATIENCE_SEC = 400
EPOCHS = 60
"""Twelve seconds: the shortest stop outlasts what is left of it."""
DATASET_BYTES = 30_000_000
PROGRAMS = ("client", "worker", "server")
STARTING = 2
"""How many worlds may start at a time."""

SECRET = RoomSecret(bytes(range(16))).text


def _is_transfer(direction):
    return lambda event: (
        event["event"] == "transfer" and event["direction"] == direction and event["received_bytes"] > 0
    )


STAGES = {
    "assigned": lambda event: event["event"] == "answers",
    "sending inputs": _is_transfer("send"),
    "training": lambda event: (event.get("current_epoch") or 0) >= 3,
    "finalizing": lambda event: event.get("status") == "sending",
    "sending the result": _is_transfer("receive"),
}


@attrs.frozen
class World:
    """A server, a worker and a client that trains there."""

    programs: Programs
    server: trio.Process
    worker: trio.Process
    dataset: Path

    @property
    def state_dir(self):
        return self.programs.folder / "client"

    async def train(self):
        """Starts a client, which would begin again if it took the job for lost."""
        words = ("--out", str(self.programs.folder / "models"), "--epochs", str(EPOCHS), "--retries", "1")
        return await self.programs.start_client(
            "client", "train", str(self.dataset), *words, state_dir=self.state_dir
        )

    def has_seen(self, stage):
        return any(STAGES[stage](event) for event in self.programs.events("client"))

    def has_leftovers(self):
        jobs = self.programs.work_dir("worker") / "jobs"
        return bool(processes_below(self.programs.folder) or list(jobs.iterdir()))


@asynccontextmanager
async def open_world(folder):
    folder.mkdir()
    ports = (free_port(), free_port())
    programs = Programs(folder, *ports, *ports)
    async with ending(await programs.start_server()) as server:
        async with open_http(programs.http_url) as http:
            room = await http.create_room(await http.sign_in())
        access = {
            "SLEAP_RTC_ROOM_ID": room.room_id,
            "SLEAP_RTC_TOKEN": room.token,
            "SLEAP_RTC_SECRET": SECRET,
        }
        programs = attrs.evolve(programs, room=access)
        dataset = await trio.to_thread.run_sync(make_dataset, folder / "flies.pkg.slp", DATASET_BYTES, 1)
        async with ending(await programs.start_worker("worker")) as worker:
            await until(lambda: "waits for jobs" in programs.said("worker"))
            yield World(programs, server, worker, dataset)
    assert processes_below(folder) == []
    assert "Traceback" not in programs.said("worker") + programs.said("server")


async def stop(process, stopped_sec):
    process.send_signal(signal.SIGSTOP)
    await trio.sleep(stopped_sec)
    process.send_signal(signal.SIGCONT)


async def go_through(folder, who, stage, stopped_sec, starting):
    """Trains, with one program stopped meanwhile; raises if anything but the model comes of it."""
    async with AsyncExitStack() as stack:
        async with starting:
            world = await stack.enter_async_context(open_world(folder))
            client = await stack.enter_async_context(ending(await world.train()))
            await until(lambda: world.has_seen(stage))
        await stop({"client": client, "worker": world.worker, "server": world.server}[who], stopped_sec)
        with trio.move_on_after(PATIENCE_SEC):
            await client.wait()
        events = world.programs.events("client")
        assert client.returncode is not None, f"still running: {events[-3:]}"
        ended = world.programs.ended("client", client)
        assert ended.status == 0, ended
        assert "Traceback" not in ended.stderr
        assert is_model_of(world.dataset, ended.last["model_dirs"])
        given_up = [event["event"] for event in events if event["event"] in ("retrying", "worker_lost")]
        assert not given_up or (stage == "assigned" and "retrying" not in given_up)
        record = record_of(world.state_dir)
        assert (record.state, record.job_id) == ("completed", ended.last["job_id"])
        await until(lambda: not world.has_leftovers())


@pytest.mark.parametrize("stopped_sec", [20, 60, 120])
async def test_a_program_that_was_stopped_goes_on(tmp_path, stopped_sec):
    """All of them at once, each in a world of its own: they wait most of the time."""
    wrong, starting = {}, trio.Semaphore(STARTING)

    async def run(who, stage):
        try:
            await go_through(tmp_path / f"{who}-{stage}", who, stage, stopped_sec, starting)
        except (Exception, BaseExceptionGroup) as error:
            wrong[who, stage] = error

    async with trio.open_nursery() as nursery:
        for who in PROGRAMS:
            for stage in STAGES:
                nursery.start_soon(run, who, stage)
    assert wrong == {}
