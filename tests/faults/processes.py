"""Runs server, workers and clients as separate processes, with their output in files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import h5py
import numpy as np
import trio

from sleaprtc.client.records.files import JobRecord, load_all

from ..support.waiting import until
from ..worker.sleap_nn.slp_files import write_slp
from .stand_in_runner import model_bytes

HOST = "127.0.0.1"
START_SEC = 120
EXIT_SEC = 60
ROOT = Path(__file__).parents[2]


def make_dataset(path: Path, padding_bytes: int, seed: int) -> Path:
    """Makes a labels file that client and worker can read, different from all others."""
    write_slp(path)
    with h5py.File(path, "a") as file:
        file["frames"] = np.zeros(3, dtype=[("frame_id", "u8")])
        del file["metadata"].attrs["json"]
        skeleton = {
            "graph": {"name": "fly"},
            "nodes": [{"id": 0}, {"id": 1}],
            "links": [{"source": 0, "target": 1}],
        }
        described = {"nodes": [{"name": "head"}, {"name": "tail"}], "skeletons": [skeleton]}
        file["metadata"].attrs["json"] = json.dumps(described)
        file["padding"] = np.random.default_rng(seed).integers(0, 255, padding_bytes, dtype="u1")
    return path


def is_model_of(dataset: Path, model_dirs: list[str]) -> bool:
    """Whether these folders are exactly the model that training on the dataset gives."""
    wanted = model_bytes(dataset)
    checkpoints = [Path(folder) / "best.ckpt" for folder in model_dirs]
    return bool(checkpoints) and all(path.is_file() and path.read_bytes() == wanted for path in checkpoints)


@attrs.frozen
class Ended:
    """How a client ended.

    Attributes:
        status: Its exit status, negative for a signal.
        last: The last event that it wrote, if any.
        stderr: What it printed for the user.
    """

    status: int
    last: dict[str, Any]
    stderr: str


@attrs.frozen
class Programs:
    """How to start each of the programs.

    Attributes:
        folder: The folder that contains everything.
        ws_port: The server's WebSocket port.
        http_port: The server's HTTP port.
        ws_path_port: The port over which workers and clients reach ``ws_port``, perhaps a proxy's.
        http_path_port: The same for ``http_port``.
        room: Environment variables that tell workers and clients their room.
        host: The server's address.
        ice_loopback: Whether data channels go over 127.0.0.1.
        inside: For a program's log name, the words before its command that choose where it runs.
    """

    folder: Path
    ws_port: int
    http_port: int
    ws_path_port: int
    http_path_port: int
    room: dict[str, str] = attrs.field(factory=dict)
    host: str = HOST
    ice_loopback: bool = True
    inside: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)

    @property
    def ws_url(self) -> str:
        return f"ws://{self.host}:{self.ws_path_port}/"

    @property
    def http_url(self) -> str:
        return f"http://{self.host}:{self.http_path_port}"

    def environment(self, state_dir: Path | None = None) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SLEAP_RTC_")}
        own = {
            "SLEAP_RTC_SIGNALING_WS": self.ws_url,
            "SLEAP_RTC_SIGNALING_HTTP": self.http_url,
            "SLEAP_RTC_ICE_LOOPBACK": str(int(self.ice_loopback)),
            "SLEAP_RTC_STATE_DIR": str(state_dir or self.folder / "state"),
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
        }
        return {**kept, **own, **self.room}

    async def start(
        self, log_name: str, *words: str, state_dir: Path | None = None, place: str | None = None
    ) -> trio.Process:
        """Starts ``python -m WORDS``; its output is appended to ``LOG_NAME.out`` and ``LOG_NAME.err``.

        ``place`` is its key in ``inside``, by default ``log_name``.
        """
        with (
            (self.folder / f"{log_name}.out").open("ab") as out,
            (self.folder / f"{log_name}.err").open("ab") as err,
        ):
            return await trio.lowlevel.open_process(
                [*self.inside.get(place or log_name, ()), sys.executable, "-m", *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=ROOT,
                env=self.environment(state_dir),
            )

    async def start_server(self, *options: str) -> trio.Process:
        """Starts the server on its ports and waits until both accept."""
        ports = ("--host", self.host, "--ws-port", str(self.ws_port), "--http-port", str(self.http_port))
        state = ("--state-dir", str(self.folder / "server"))
        output = self.folder / "server.out"
        said_before = output.stat().st_size if output.exists() else 0
        process = await self.start("server", "sleaprtc.server", *ports, *state, *options)

        def accepts() -> bool:
            assert process.poll() is None, "the server ended by itself"
            return b"ready ws=" in output.read_bytes()[said_before:]

        await until(accepts, patience_sec=START_SEC)
        return process

    async def start_worker(self, name: str, *options: str) -> trio.Process:
        """Starts a worker; it may take a few seconds until it's in the room."""
        words = ("--name", name, "--work-dir", str(self.work_dir(name)), "--threads", "1", *options)
        return await self.start(name, "tests.faults.worker", *words)

    def work_dir(self, name: str) -> Path:
        return self.folder / f"{name}.work"

    async def start_client(
        self, log_name: str, *words: str, state_dir: Path, place: str | None = None
    ) -> trio.Process:
        words = ("sleaprtc.client", *words, "--json")
        return await self.start(log_name, *words, state_dir=state_dir, place=place)

    def ended(self, log_name: str, process: trio.Process) -> Ended:
        """Returns how a client ended."""
        assert process.returncode is not None
        lines = (self.folder / f"{log_name}.out").read_text().splitlines()
        last = {}
        with suppress(IndexError, ValueError):  # a killed process may leave half a line
            last = json.loads(lines[-1])
        return Ended(process.returncode, last, (self.folder / f"{log_name}.err").read_text())

    def said(self, log_name: str) -> str:
        return (self.folder / f"{log_name}.out").read_text() + (self.folder / f"{log_name}.err").read_text()

    def events(self, log_name: str) -> list[dict[str, Any]]:
        events = []
        for line in (self.folder / f"{log_name}.out").read_text().splitlines():
            with suppress(ValueError):
                events.append(json.loads(line))
        return events


async def end(process: trio.Process, number: signal.Signals = signal.SIGTERM) -> int:
    """Ends a process, with SIGKILL if it doesn't end in time, and returns its exit status."""
    with trio.CancelScope(shield=True):
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
        with trio.move_on_after(EXIT_SEC):
            return await process.wait()
        process.kill()
        return await process.wait()


@asynccontextmanager
async def ending(process: trio.Process):
    """Ends a process at the end of the block."""
    try:
        yield process
    finally:
        await end(process)


def record_of(state_dir: Path) -> JobRecord | None:
    """Returns the client's record of its only job, or None if there isn't one yet."""
    before = os.environ.get("SLEAP_RTC_STATE_DIR")
    os.environ["SLEAP_RTC_STATE_DIR"] = str(state_dir)
    try:
        records = load_all()
    finally:
        if before is None:
            del os.environ["SLEAP_RTC_STATE_DIR"]
        else:
            os.environ["SLEAP_RTC_STATE_DIR"] = before
    return records[0] if records else None


def processes_below(folder: Path) -> list[int]:
    """Returns the pids of trainings: processes with a working directory in ``folder`` (Linux, proc(5))."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                if (entry / "cwd").readlink().is_relative_to(folder):
                    found.append(int(entry.name))
    return found
