"""Many jobs while everything around them is killed, frozen and cut by a seeded random choice.

Held in the end: every job completed with the right bytes, or failed with a reason; and nothing is left,
neither processes nor files that nobody can make use of.
"""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import attrs
import trio

from sleaprtc.client.records import JobRecord
from sleaprtc.signaling.http import open_http
from sleaprtc.worker.journal import COMPLETED, Journal

from .processes import (
    Ended,
    Programs,
    end,
    free_port,
    is_model_of,
    make_dataset,
    processes_below,
    record_of,
)
from .proxy import Proxy

JOB_SEC = 240
"""A job that hasn't ended after this time is lost: longer than any wait that worker and client have."""

LONGEST_EPOCHS = 25
LARGEST_PADDING_BYTES = 4_000_000
FREEZE_SEC = (0.5, 8.0)
DOWN_SEC = (0.0, 2.0)
SETTLE_SEC = 90
"""How long workers may take to be done with jobs whose clients have given up (CONNECT_WAIT_SEC is 60)."""


@attrs.define
class Tally:
    """What came of a soak.

    Attributes:
        faults: How many of each kind.
        completed: Jobs whose model is here, with the right bytes.
        failed: How many jobs ended with each reason.
        losses: What must not be: a sentence for each.
    """

    seed: int
    jobs: int = 0
    completed: int = 0
    faults: Counter[str] = attrs.field(factory=Counter)
    failed: Counter[str] = attrs.field(factory=Counter)
    losses: list[str] = attrs.field(factory=list)


class Soak:
    """One server behind proxies, some workers, and some clients that each do one job after the other.

    Args:
        folder: An empty folder, where all logs are afterwards.
        seed: Decides about faults, datasets and trainings; not about who wins a race.
        minutes: How long new jobs are begun.
        workers: How many.
        clients: How many jobs are under way at a time.
        fault_interval_sec: Between two faults, at least and at most.
        say: Told what happens.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        minutes: float,
        workers: int = 2,
        clients: int = 2,
        fault_interval_sec: tuple[float, float] = (1.0, 5.0),
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._folder = folder
        self._rng = random.Random(seed)
        self._minutes = minutes
        self._names = [f"worker-{number}" for number in range(1, workers + 1)]
        self._client_count = clients
        self._fault_interval_sec = fault_interval_sec
        self._say = say
        self._ws = Proxy(free_port())
        self._http = Proxy(free_port())
        self._server: trio.Process | None = None
        self._workers: dict[str, trio.Process] = {}
        self._clients: dict[int, trio.Process] = {}
        self._killed: set[int] = set()
        self._over = False
        self._started_at = 0.0
        self.tally = Tally(seed)

    async def run(self) -> Tally:
        """Does everything, and leaves no process."""
        self._started_at = trio.current_time()
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._ws.run)
                await nursery.start(self._http.run)
                await self._start()
                async with trio.open_nursery() as faults:
                    faults.start_soon(self._break_things)
                    async with trio.open_nursery() as jobs:
                        for number in range(self._client_count):
                            jobs.start_soon(self._do_jobs, number)
                    self._over = True
                await self._settle()
                nursery.cancel_scope.cancel()
        finally:
            for process in (*self._clients.values(), *self._workers.values(), self._server):
                if process is not None:
                    await end(process)
        await self._look_for_remains()
        return self.tally

    async def _start(self) -> None:
        ports = (self._ws.target_port, self._http.target_port, self._ws.port, self._http.port)
        self._programs = Programs(self._folder, *ports)
        self._server = await self._programs.start_server()
        async with open_http(self._programs.http_url) as http:
            room = await http.create_room(await http.sign_in())
        credentials = {"SLEAP_RTC_ROOM_ID": room.room_id, "SLEAP_RTC_TOKEN": room.token}
        self._programs = attrs.evolve(self._programs, room=credentials)
        for name in self._names:
            await self._start_worker(name)

    async def _start_worker(self, name: str) -> None:
        self._workers[name] = await self._programs.start_worker(name, "--max-jobs", "2")

    def _note(self, sentence: str) -> None:
        self._say(f"{trio.current_time() - self._started_at:6.1f} s  {sentence}")

    # --- jobs -------------------------------------------------------------------------------

    async def _do_jobs(self, client: int) -> None:
        while trio.current_time() - self._started_at < self._minutes * 60:
            self.tally.jobs += 1
            number = self.tally.jobs
            folder = self._folder / f"job-{number}"
            folder.mkdir()
            padding_bytes = int(LARGEST_PADDING_BYTES * self._rng.random() ** 2)
            seed = self._rng.getrandbits(32)
            epochs = self._rng.randint(1, LONGEST_EPOCHS)
            dataset = await trio.to_thread.run_sync(
                make_dataset, folder / "flies.pkg.slp", padding_bytes, seed
            )
            with trio.move_on_after(JOB_SEC):
                verdict = await self._see_through(client, number, dataset, epochs)
                self._note(f"job {number}: {verdict}")
                continue
            await end(self._clients[client], signal.SIGKILL)
            self._lose(f"job {number} didn't end in {JOB_SEC} s")

    def _lose(self, sentence: str) -> None:
        self._note(f"LOSS: {sentence}")
        self.tally.losses.append(sentence)

    async def _see_through(self, client: int, number: int, dataset: Path, epochs: int) -> str:
        """Does as a person would: begins anew what never began, and attaches to what goes on."""
        folder = dataset.parent
        train = ("train", str(dataset), "--out", str(folder / "models"), "--epochs", str(epochs))
        attempt = 0
        while True:
            attempt += 1
            record = record_of(folder)
            words = ("attach", record.job_id) if _goes_on(record) else train
            log_name = f"job-{number}.{attempt}-{words[0]}"
            process = await self._programs.start_client(log_name, *words, state_dir=folder)
            self._clients[client] = process
            await process.wait()
            ended = self._programs.ended(log_name, process)
            if process.pid in self._killed:
                continue
            verdict = self._judge(number, dataset, ended)
            if verdict is not None:
                return verdict
            await trio.sleep(1)

    def _judge(self, number: int, dataset: Path, ended: Ended) -> str | None:
        """What came of the job; None where a person would try again."""
        code, sentence = ended.last.get("code"), str(ended.last.get("message", ""))
        if ended.status == 0:
            if is_model_of(dataset, ended.last.get("model_dirs", [])):
                self.tally.completed += 1
                return "completed"
            self._lose(f"job {number} completed with another model: {ended.last}")
            return "wrong model"
        if code in ("NO_WORKER", "WORKER_LOST") or ended.status == 5:
            return None
        if code is None or not sentence or "Traceback" in ended.stderr:
            self._lose(f"job {number} ended with status {ended.status} and no reason")
            return "no reason"
        if "fetched before" in sentence or "doesn't know" in sentence:
            self._lose(f"job {number}: {sentence}")
        reason = sentence if code == "JOB_FAILED" else f"{code}: {sentence}"
        self.tally.failed[_without_names(reason)] += 1
        return f"failed: {reason}"

    # --- faults -----------------------------------------------------------------------------

    async def _break_things(self) -> None:
        faults = (
            self._kill_server,
            self._kill_a_worker,
            self._kill_a_worker,
            self._restart_a_worker,
            self._freeze_a_worker,
            self._kill_a_client,
            self._kill_a_client,
            self._kill_a_client,
            self._freeze_a_client,
            self._cut_paths,
            self._freeze_paths,
            self._slow_paths,
        )
        while True:
            await trio.sleep(self._rng.uniform(*self._fault_interval_sec))
            if self._over:
                return
            fault = self._rng.choice(faults)
            kind = fault.__name__.strip("_").replace("_", " ")
            self.tally.faults[kind] += 1
            self._note(kind)
            await fault()

    def _draw_sec(self, limits: tuple[float, float]) -> float:
        return self._rng.uniform(*limits)

    async def _kill_server(self) -> None:
        assert self._server is not None
        await end(self._server, signal.SIGKILL)
        await trio.sleep(self._draw_sec(DOWN_SEC))
        self._server = await self._programs.start_server()

    async def _kill_a_worker(self) -> None:
        await self._end_a_worker(signal.SIGKILL)

    async def _restart_a_worker(self) -> None:
        await self._end_a_worker(signal.SIGTERM)

    async def _end_a_worker(self, number: signal.Signals) -> None:
        name = self._rng.choice(self._names)
        if self._workers[name].returncode is not None:
            self._lose(f"{name} ended by itself with status {self._workers[name].returncode}")
        await end(self._workers[name], number)
        await trio.sleep(self._draw_sec(DOWN_SEC))
        await self._start_worker(name)

    async def _freeze_a_worker(self) -> None:
        await self._freeze(self._workers[self._rng.choice(self._names)])

    async def _freeze_a_client(self) -> None:
        if self._clients:
            await self._freeze(self._rng.choice(list(self._clients.values())))

    async def _freeze(self, process: trio.Process) -> None:
        """As a laptop's lid, or a path that's gone for a while, does."""
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGSTOP)
            await trio.sleep(self._draw_sec(FREEZE_SEC))
            process.send_signal(signal.SIGCONT)

    async def _kill_a_client(self) -> None:
        running = [process for process in self._clients.values() if process.returncode is None]
        if running:
            process = self._rng.choice(running)
            self._killed.add(process.pid)
            process.kill()

    async def _cut_paths(self) -> None:
        self._ws.cut()
        self._http.cut()

    async def _freeze_paths(self) -> None:
        """Half-open connections: both ends believe in them until they are cut."""
        self._ws.freeze()
        await trio.sleep(self._draw_sec(FREEZE_SEC))
        self._ws.cut()

    async def _slow_paths(self) -> None:
        self._ws.delay_sec = 0.3
        await trio.sleep(self._draw_sec(FREEZE_SEC))
        self._ws.delay_sec = 0.0

    # --- what is left -----------------------------------------------------------------------

    async def _settle(self) -> None:
        """Waits until no worker has anything to do."""
        with trio.move_on_after(SETTLE_SEC):
            while processes_below(self._folder):
                await trio.sleep(0.5)
            for name in self._names:
                while self._unfinished(name):
                    await trio.sleep(0.5)
        for name in self._names:
            if self._workers[name].returncode is not None:
                self._lose(f"{name} ended by itself with status {self._workers[name].returncode}")
            for job_id in self._unfinished(name):
                self._lose(f"{name} still works on {job_id}, for which nobody waits")

    def _unfinished(self, name: str) -> list[str]:
        with closing(Journal(self._programs.work_dir(name) / "journal.sqlite3")) as journal:
            return [entry.job_id for entry in journal.entries() if entry.is_unfinished]

    async def _look_for_remains(self) -> None:
        for pid in processes_below(self._folder):
            self._lose(f"process {pid} runs on")
        for name in self._names:
            work_dir = self._programs.work_dir(name)
            with closing(Journal(work_dir / "journal.sqlite3")) as journal:
                kept = {
                    entry.directory: entry.archive for entry in journal.entries() if entry.state == COMPLETED
                }
            for folder in (work_dir / "jobs").iterdir():
                if folder not in kept:
                    self._lose(f"{name} left {folder.name}")
                elif list(folder.iterdir()) != [kept[folder]]:
                    self._lose(f"{name} keeps more than the model in {folder.name}")
            if "Traceback" in self._programs.said(name):
                self._lose(f"{name} wrote a traceback")
        if "Traceback" in self._programs.said("server"):
            self._lose("the server wrote a traceback")
        # A client that was killed leaves its empty folder, which its next one clears away after a week.
        for path in self._folder.glob("job-*/models/.incoming-*/*"):
            self._lose(f"{path.relative_to(self._folder)} is left, which nobody will go on with")


def _goes_on(record: JobRecord | None) -> bool:
    """Whether a job was assigned, so that its worker may have it."""
    return record is not None and record.state in ("running", "lost")


def _without_names(sentence: str) -> str:
    """So that the same reasons are counted together."""
    for number in range(1, 10):
        sentence = sentence.replace(f"worker-{number}", "the worker")
    return sentence
