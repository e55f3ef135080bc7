"""Clients that do one job after another, as a user would: by invite, and by attaching to running jobs."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import attrs
import trio

from sleaprtc.client.records.files import JobRecord

from ..processes import end, is_model_of, make_dataset, record_of
from .measuring import Census
from .outcomes import Outcome, Verdict, judge, kind_of
from .recovery import Progress, worker_of
from .summary import Tally
from .world import SERVER, World, engines

JOB_SEC = 240
"""A job that hasn't ended after this time is lost: longer than any wait that worker and client have."""

MOST_ATTEMPTS = 25
RETRY_SEC = 1.0
BEFORE_SEC = 60.0
"""A fault that ended up to this long before a job began may still explain its outcome: for example, a slot is
held for CONNECT_SEC for a client that doesn't connect."""

LONGEST_EPOCHS = 25
LARGEST_PADDING_BYTES = 4_000_000
NAMED_WORKER_SHARE = 0.4
"""The share of jobs that name a worker; the others accept any worker."""


@attrs.define
class Scene:
    """The state that all parts of a soak share.

    Attributes:
        wanted_worker: The worker for the next job, if a fault waits to see that worker work again.
        is_over: Whether no more jobs should be started.
    """

    seed: int
    world: World
    tally: Tally
    progress: Progress
    census: Census
    say: Callable[[str], None]
    started_at: float
    wanted_worker: str | None = None
    is_over: bool = False

    def now(self) -> float:
        """Seconds since the soak began."""
        return trio.current_time() - self.started_at

    def note(self, sentence: str) -> None:
        """Reports what happens to whoever runs the soak."""
        self.say(f"{self.now():6.1f} s  {sentence}")

    def lose(self, sentence: str) -> None:
        """Records a loss."""
        self.note(f"LOSS: {sentence}")
        self.tally.losses.append(f"at {self.now():.0f} s: {sentence}")


@attrs.frozen
class Order:
    """One job, as it was drawn."""

    number: int
    folder: Path
    dataset: Path
    epochs: int
    engine: str
    worker: str | None

    @property
    def train(self) -> tuple[str, ...]:
        """Returns the client's arguments, without the invite."""
        out = ("--out", str(self.folder / "models"), "--epochs", str(self.epochs))
        named = () if self.worker is None else ("--worker", self.worker)
        return ("train", str(self.dataset), *out, "--engine", self.engine, *named)


class Client:
    """One user with a laptop. The jobs depend only on the seed and the client's name."""

    def __init__(self, name: str, scene: Scene) -> None:
        self._name = name
        self._scene = scene
        self._rng = random.Random(f"{scene.seed} {name}")

    async def do_jobs(self) -> None:
        """Does one job after another until the soak is over."""
        while not self._scene.is_over:
            order = await self._draw()
            began_at = self._scene.now()
            with trio.move_on_after(JOB_SEC) as limit:
                await self._see_through(order, began_at)
            if limit.cancelled_caught:
                await end(self._scene.world.clients[self._name], signal.SIGKILL)
                self._scene.lose(f"job {order.number} didn't end in {JOB_SEC} s")
            tally = self._scene.tally
            tally.longest_job_sec = max(tally.longest_job_sec, self._scene.now() - began_at)
            await trio.to_thread.run_sync(self._clear_up, order)

    async def _draw(self) -> Order:
        scene = self._scene
        scene.tally.jobs += 1
        number = scene.tally.jobs
        padding_bytes = int(LARGEST_PADDING_BYTES * self._rng.random() ** 2)
        seed, epochs = self._rng.getrandbits(32), self._rng.randint(1, LONGEST_EPOCHS)
        engine = self._rng.choice(engines())
        worker = self._rng.choice(scene.world.worker_names)
        if self._rng.random() > NAMED_WORKER_SHARE:
            worker = None
        if scene.wanted_worker is not None:
            worker, scene.wanted_worker = scene.wanted_worker, None
        datasets = scene.world.folder / "datasets"
        datasets.mkdir(exist_ok=True)
        dataset = datasets / f"job-{number}.pkg.slp"
        await trio.to_thread.run_sync(make_dataset, dataset, padding_bytes, seed)
        scene.tally.engines[engine] += 1
        folder = scene.world.client_dir(self._name) / f"job-{number}"
        return Order(number, folder, dataset, epochs, engine, worker)

    async def _see_through(self, order: Order, began_at: float) -> None:
        tally = self._scene.tally
        for attempt in range(1, MOST_ATTEMPTS + 1):
            tally.most_attempts = max(tally.most_attempts, attempt)
            outcome = await self._attempt(order, attempt, began_at)
            tally.attempts[outcome.kind] += 1
            if outcome.verdict is not Verdict.RETRY:
                self._count(order, outcome)
                return
            tally.retries[outcome.kind] += 1
            self._scene.note(f"job {order.number}: tried again: {outcome.kind}. {outcome.reason}")
            await trio.sleep(RETRY_SEC)
        self._scene.lose(f"job {order.number} wasn't done after {MOST_ATTEMPTS} attempts")

    async def _attempt(self, order: Order, attempt: int, began_at: float) -> Outcome:
        world = self._scene.world
        record = record_of(order.folder)
        words = _command(record, order, world.invite)
        log_name = f"job-{order.number}.{attempt}-{words[0]}"
        process = await world.programs.start_client(
            log_name, *words, state_dir=order.folder, place=self._name
        )
        world.clients[self._name] = process
        async with trio.open_nursery() as nursery:
            output = world.folder / f"{log_name}.out"
            nursery.start_soon(self._scene.progress.read, self._name, output)
            await process.wait()
            nursery.cancel_scope.cancel()
        ended = world.programs.ended(log_name, process)
        if process.pid in world.killed and ended.status == -signal.SIGKILL:
            return Outcome(kind_of(words[0], ended, was_killed=True), Verdict.RETRY)
        model_dirs = ended.last.get("model_dirs") or []
        outcome = judge(
            words[0],
            ended,
            epochs=order.epochs,
            is_right_model=await trio.to_thread.run_sync(is_model_of, order.dataset, model_dirs),
            was_seen_running=record is not None and record.last_seq > 0,
            faults=self._scene.tally.faults_since(began_at - BEFORE_SEC),
        )
        if outcome.verdict is Verdict.DONE:
            worker = worker_of(ended.last)
            self._scene.progress.add(self._name, worker, is_done=True)
            self._scene.census.job_done(SERVER, worker or "", self._name)
        return outcome

    def _count(self, order: Order, outcome: Outcome) -> None:
        tally = self._scene.tally
        if outcome.verdict is Verdict.DONE:
            tally.done += 1
            self._scene.note(f"job {order.number}: done")
        elif outcome.verdict is Verdict.FAILED:
            tally.failed[without_numbers(outcome.reason)] += 1
            self._scene.note(f"job {order.number}: failed: {outcome.reason}")
        else:
            self._scene.lose(f"job {order.number} ({outcome.kind}) {outcome.reason}")

    def _clear_up(self, order: Order) -> None:
        """Checks for leftovers that nothing will resume, then makes room for the next job."""
        for path in (order.folder / "models").glob(".incoming-*/*"):
            self._scene.tally.losses.append(f"job {order.number} left {path.relative_to(order.folder)}")
        shutil.rmtree(order.folder, ignore_errors=True)
        order.dataset.unlink()


def _command(record: JobRecord | None, order: Order, invite: str) -> tuple[str, ...]:
    """Returns the next command: attach if the worker may have the job, fetch if it completed, else train."""
    if record is not None and record.state in ("running", "lost"):
        return ("attach", record.job_id)
    if record is not None and record.state == "completed":
        return ("fetch", record.job_id)
    return (*order.train, "--invite", invite)


def without_numbers(sentence: str) -> str:
    """Removes workers' numbers from a sentence, so that equal reasons are counted together."""
    for number in range(1, 10):
        sentence = sentence.replace(f"worker-{number}", "the worker")
    return sentence
