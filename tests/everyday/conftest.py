"""The client's commands as processes, beside a real server and real workers in the test's own."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import attrs
import pytest
import trio

from ..support import prepared
from ..support.lab import ScriptedTrainer, make_labels
from ..support.waiting import until

TIMEOUT_SEC = 120
ROOT = Path(__file__).parents[2]


@attrs.frozen
class Ended:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def objects(self):
        return [json.loads(line) for line in self.stdout.splitlines()]


@attrs.define
class Running:
    """A command that runs: what it has printed so far, and how to wait for more of it."""

    process: prepared.AsyncProcess
    out: str = ""
    err: str = ""
    ended: trio.Event = attrs.field(factory=trio.Event)
    reading: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    @property
    def objects(self):
        return [json.loads(line) for line in self.out.splitlines(keepends=True) if line.endswith("\n")]

    async def until(self, text):
        """Waits until the command has printed this."""

        def is_printed():
            has_ended = self.ended.is_set()  # before what it has printed is looked at
            is_there = text in self.out + self.err
            assert is_there or not has_ended, self.out + self.err
            return is_there

        await until(is_printed, patience_sec=TIMEOUT_SEC)

    def stop_reading(self):
        """Closes what the command prints to, as `head` does."""
        self.reading.cancel()

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    async def end(self):
        with trio.fail_after(TIMEOUT_SEC):
            await self.ended.wait()
        return Ended(self.process.returncode, self.out, self.err)


@attrs.frozen
class Client:
    """Runs ``sleap-rtc client`` in a room."""

    lab: object
    folder: object
    nursery: trio.Nursery

    def environment(self):
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SLEAP_RTC_")}
        own = {
            "SLEAP_RTC_SIGNALING_WS": self.lab.endpoints.ws_url,
            "SLEAP_RTC_SIGNALING_HTTP": self.lab.endpoints.http_url,
            "SLEAP_RTC_ROOM_ID": self.lab.room.room_id,
            "SLEAP_RTC_TOKEN": self.lab.room.token,
            "SLEAP_RTC_STATE_DIR": os.environ["SLEAP_RTC_STATE_DIR"],
        }
        return {**kept, **own}

    async def run(self, *words):
        """Runs a command to its end."""
        return await (await self.start(*words)).end()

    async def start(self, *words):
        """Starts a command, which is ended with the test."""
        process = await prepared.start("sleaprtc.client", *words, env=self.environment(), cwd=self.folder)
        running = Running(process)
        self.nursery.start_soon(self._read, running)
        return running

    async def _read(self, running):
        async def read(stream, name, scope):
            with scope:
                async with stream:
                    async for block in stream:
                        setattr(running, name, getattr(running, name) + block.decode())

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read, running.process.stdout, "out", running.reading)
                nursery.start_soon(read, running.process.stderr, "err", trio.CancelScope())
            await running.process.wait()
            running.ended.set()
        finally:
            if running.process.returncode is None:
                running.process.send_signal(signal.SIGKILL)
                with trio.CancelScope(shield=True):
                    await running.process.wait()

    async def train(self, labels, *words):
        """Starts a training that goes on without a terminal; returns its job's id."""
        ended = await self.run("train", labels, "--ice-loopback", "--detach", "--json", *words)
        assert ended.status == 0, ended
        return ended.objects[-1]["job_id"]


@pytest.fixture
async def client(lab, tmp_path, nursery):
    return Client(lab, tmp_path, nursery)


@pytest.fixture
def labels(tmp_path):
    return make_labels(tmp_path / "flies.pkg.slp", padding_bytes=50_000)


@pytest.fixture
def trainer():
    """Trains until it is let go."""
    return ScriptedTrainer(hold=True, epochs=4)
