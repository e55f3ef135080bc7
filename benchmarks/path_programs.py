"""The programs as users start them, over a path: server and workers at its second end, clients at its first.

Only sleap-nn is a stand-in (:mod:`benchmarks.path_runner`). Times come from the events that the client
prints with ``--json``, as they are read.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.faults.processes import ROOT, Programs, make_dataset
from tests.support.ports import free_port

from .emulation import LongPath
from .path_figures import Trace

CLIENT_END, WORKER_END = 0, 1
START_SEC = 120
FIRST_BYTE_SEC = 300
EXIT_SEC = 30
END_SEC = 300
POLL_SEC = 0.02
_INVITE = re.compile(r"--invite '(sleap-rtc://\S+)'")


class ProgramFailedError(Exception):
    """A program ended early, or didn't do in time what it was waited for."""


class Job:
    """A client that trains, and the bytes that have gone either way. Use :meth:`PathPrograms.job`.

    Attributes:
        to_worker: The dataset's way.
        to_client: The model's way.
    """

    def __init__(self, process: subprocess.Popen[str], said: Path) -> None:
        self.to_worker, self.to_client = Trace(), Trace()
        self._process = process
        self._said = said
        assert process.stdout is not None
        self._thread = threading.Thread(target=self._read, args=(process.stdout,))
        self._thread.start()

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            at_sec = time.time()
            event = json.loads(line)
            if event["event"] == "transfer":
                trace = self.to_worker if event["direction"] == "send" else self.to_client
                trace.add(at_sec, event["received_bytes"], event["size_bytes"])

    def wait_for_first_byte(self) -> float:
        """Waits until the dataset's bytes begin to flow; returns when they did."""
        self.wait(lambda: self.to_worker.has_begun, FIRST_BYTE_SEC)
        return self.to_worker.began_sec

    def wait(self, condition: Callable[[], bool], patience_sec: float) -> None:
        """Waits until a condition is true.

        Raises:
            ProgramFailedError: The client ended before, or it took longer than ``patience_sec``.
        """
        deadline = time.monotonic() + patience_sec
        while not condition():
            if self._process.poll() is not None:
                self._thread.join(EXIT_SEC)
                if condition():
                    return
                raise ProgramFailedError(f"The client ended early: {_last_line(self._said)}")
            if time.monotonic() > deadline:
                raise ProgramFailedError(f"The client took longer than {patience_sec:g} s.")
            time.sleep(POLL_SEC)

    def wait_until(self, at_sec: float) -> None:
        """Waits for a time, or for the end of the dataset's way if that comes first."""
        patience_sec = at_sec - time.time() + EXIT_SEC
        self.wait(lambda: time.time() >= at_sec or self.to_worker.is_whole, patience_sec)

    def wait_for_end(self) -> None:
        """Waits for the client's own end.

        Raises:
            ProgramFailedError: Its job failed, or it took too long.
        """
        try:
            status = self._process.wait(END_SEC)
        except subprocess.TimeoutExpired as error:
            raise ProgramFailedError(f"The client didn't end within {END_SEC} s of its model.") from error
        if status:
            raise ProgramFailedError(f"The job failed: {_last_line(self._said)}")

    def close(self) -> None:
        """Ends the client if it still runs."""
        _end(self._process)
        self._thread.join(EXIT_SEC)
        assert self._process.stdout is not None
        self._process.stdout.close()


class PathPrograms:
    """A running server and workers. Use :func:`open_programs`."""

    def __init__(self, path: LongPath, folder: Path, engine: str) -> None:
        self._path = path
        self._folder = folder
        self._engine = engine
        self._job_count = 0
        self._invite: str | None = None
        self._running: list[subprocess.Popen[bytes]] = []
        ports = free_port(), free_port()
        self._programs = Programs(folder, *ports, *ports, host=path.addresses[WORKER_END], ice_loopback=False)

    # --- server and workers -------------------------------------------------------------------

    def start_server(self) -> None:
        """Starts the server and waits until it accepts."""
        programs = self._programs
        ports = ("--ws-port", str(programs.ws_port), "--http-port", str(programs.http_port))
        state = ("--state-dir", str(self._folder / "server"))
        process = self._start("server", "sleaprtc.server", "--host", programs.host, *ports, *state)
        self._wait_until_said("server", "ready ws=", process)

    def start_worker(self, name: str) -> None:
        """Starts a worker and waits until it takes jobs. The first makes the room."""
        room = () if self._invite is None else ("--invite", self._invite)
        options = (
            "--work-dir",
            str(self._folder / f"{name}.work"),
            "--cache-size-mb",
            "0",
            "--keep-data",
            "0",
        )
        words = ("--name", name, "--threads", "1", "--no-qr", "--engine", self._engine, *options, *room)
        process = self._start(name, "benchmarks.path_worker", *words)
        self._wait_until_said(name, "waits for jobs", process)
        if self._invite is None:
            found = _INVITE.search(self._said(name))
            assert found is not None
            self._invite = found[1]

    def _start(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.said").open("ab") as said:
            process = subprocess.Popen(
                [*self._path.at(WORKER_END), sys.executable, "-m", *words],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=ROOT,
                env=self._programs.environment(self._folder / f"{name}.state"),
            )
        self._running.append(process)
        return process

    def close(self) -> None:
        """Ends the workers, and the server last."""
        for process in reversed(self._running):
            _end(process)

    def _said(self, name: str) -> str:
        return (self._folder / f"{name}.said").read_text()

    def _wait_until_said(self, name: str, words: str, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SEC
        while words not in self._said(name):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ProgramFailedError(f"{name} didn't start: {_last_line(self._folder / f'{name}.said')}")
            time.sleep(POLL_SEC)

    # --- jobs ---------------------------------------------------------------------------------

    @contextmanager
    def job(self, dataset: Path, *, worker: str | None = None) -> Iterator[Job]:
        """Starts a client with a dataset, and ends it after the block."""
        assert self._invite is not None
        self._job_count += 1
        folder = self._folder / f"job-{self._job_count}"
        folder.mkdir()
        named = () if worker is None else ("--worker", worker)
        options = ("--out", str(folder / "models"), "--epochs", "1", "--ephemeral", "--invite", self._invite)
        words = ("train", str(dataset), *options, "--engine", self._engine, *named, "--json")
        with (folder / "said").open("ab") as said:
            process = subprocess.Popen(
                [*self._path.at(CLIENT_END), sys.executable, "-m", "sleaprtc.client", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                cwd=ROOT,
                env=self._programs.environment(folder / "state"),
            )
        job = Job(process, folder / "said")
        try:
            yield job
        finally:
            job.close()
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def open_programs(
    path: LongPath, folder: Path, engine: str, *, workers: tuple[str, ...] = ("worker-1",)
) -> Iterator[PathPrograms]:
    """Starts a server and workers; all have ended after the block, and ``folder`` contains their logs.

    Raises:
        ProgramFailedError: One didn't start.
    """
    folder.mkdir()
    programs = PathPrograms(path, folder, engine)
    try:
        programs.start_server()
        for name in workers:
            programs.start_worker(name)
        yield programs
    finally:
        programs.close()


def dataset_of(folder: Path, size_bytes: int) -> Path:
    """Returns labels of about this size, which are made once."""
    path = folder / f"{size_bytes}.pkg.slp"
    return path if path.exists() else make_dataset(path, size_bytes, seed=1)


def _end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(EXIT_SEC)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(said: Path) -> str:
    lines = said.read_text().splitlines()
    return lines[-1] if lines else "it said nothing."
