"""Several datasets, each a job of its own, on as many workers at a time as are free."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import attrs
import trio

from ...access.place import PeerOptions
from ...base.nurseries import contained
from ...errors import JobCancelledError, JobFailedError, NobodyReadsError, SleapRTCError
from ...protocol.vocabulary import ErrorCode
from ..events.job import (
    Completed,
    Connected,
    Detached,
    Emit,
    Event,
    Failed,
    JobBegun,
    StatusChanged,
    Transferred,
)
from .order.control import JobControl
from .order.filters import WhichWorker
from .order.persistence import Persistence, Turn
from .order.settings import TrainingSettings
from .train import train_on_a_worker

FREED_WORKER_SEC: Final = 15.0
"""How long a worker may take to appear free after its job has ended."""


@attrs.define
class Outcome:
    """What became of one dataset: either ``result`` or ``error`` is set."""

    dataset: Path
    out_dir: Path
    job_id: str | None = None
    worker: str | None = None
    result: Completed | Detached | None = None
    error: SleapRTCError | None = None


class Display(Protocol):
    """Shows several jobs at a time."""

    def for_job(self, dataset: Path) -> Emit:
        """Returns the ``emit`` for one of them."""


class _Counter:
    """Counts those of these jobs that have a worker."""

    def __init__(self) -> None:
        self._running = 0
        self._ended_at = float("-inf")

    def begin(self) -> None:
        self._running += 1

    def end(self) -> None:
        self._running -= 1
        self._ended_at = time.monotonic()

    def will_free_a_worker(self) -> bool:
        return self._running > 0 or time.monotonic() - self._ended_at < FREED_WORKER_SEC


class _OwnTurn(Turn):
    """Lets one job at a time ask the workers, so that no two hold slots that the other waits for."""

    def __init__(self, asking: trio.Semaphore, counter: _Counter) -> None:
        self._asking = asking
        self._counter = counter
        self._is_mine = False
        self._has_worker = False

    async def take(self) -> None:
        """Waits until no other job asks."""
        self.free_worker()
        if not self._is_mine:
            await self._asking.acquire()
            self._is_mine = True

    def give_back(self) -> None:
        """Lets the next one ask."""
        if self._is_mine:
            self._is_mine = False
            self._asking.release()

    def note_worker(self) -> None:
        """Notes that a worker has the job: the next job may ask."""
        if not self._has_worker:
            self._has_worker = True
            self._counter.begin()
        self.give_back()

    def free_worker(self) -> None:
        """Notes that the worker no longer has the job."""
        if self._has_worker:
            self._has_worker = False
            self._counter.end()


def folders_for(datasets: Sequence[Path], out_dir: Path) -> list[Path]:
    """Returns a folder below ``out_dir`` for each dataset: the dataset's name, with a number if needed."""
    folders: list[Path] = []
    for dataset in datasets:
        name = dataset.name.partition(".")[0] or dataset.name
        number, folder = 1, out_dir / name
        while folder in folders:
            number += 1
            folder = out_dir / f"{name}-{number}"
        folders.append(folder)
    return folders


async def train_several(
    datasets: Sequence[Path],
    *,
    out_dir: Path,
    options: PeerOptions,
    configs: Sequence[Path],
    validation: Path | None,
    settings: TrainingSettings,
    which: WhichWorker,
    persistence: Persistence,
    display: Display,
    control: JobControl | None = None,
) -> list[Outcome]:
    """Trains on each dataset, and saves its models in a folder of its own below ``out_dir``.

    Cancelling this call leaves the jobs that run to their workers, unless ``control`` says otherwise, and
    cancels the others. A failure of one job, programming errors included, is recorded in
    its outcome and isn't raised.

    Args:
        datasets: Each becomes a job.
        out_dir: Made if needed.
        options: Server, room and connection.
        configs: Model configurations, the same for each job.
        validation: Labels to validate on, the same for each job.
        settings: What not to leave to the worker, the same for each job.
        which: Which workers get the jobs.
        persistence: How much to do for each. A job also waits for workers that are busy with the others.
        display: Shows what happens.
        control: What a person wants of the jobs.
    """
    asking, counter = trio.Semaphore(1), _Counter()
    outcomes = [Outcome(*pair) for pair in zip(datasets, folders_for(datasets, out_dir), strict=True)]

    async def train_one(outcome: Outcome, turn: _OwnTurn) -> None:
        note = _noting(outcome, turn, display.for_job(outcome.dataset))
        own = attrs.evolve(persistence, turn=turn, is_worth_waiting=counter.will_free_a_worker)
        try:
            with contained("A job failed unexpectedly.", let_through=(SleapRTCError,)) as containment:
                outcome.result = await train_on_a_worker(
                    outcome.dataset,
                    out_dir=outcome.out_dir,
                    options=options,
                    configs=configs,
                    validation=validation,
                    settings=settings,
                    which=which,
                    persistence=own,
                    emit=note,
                    control=control,
                )
            if containment.failure is not None:
                raise JobFailedError(
                    "The job failed unexpectedly; the log says more.", error_code=ErrorCode.INTERNAL
                )
        except JobCancelledError:
            raise
        except NobodyReadsError as error:
            outcome.error = error  # the other jobs notice it themselves
        except SleapRTCError as error:
            outcome.error = error
            note(Failed(outcome.job_id, error.code, str(error), error.exit_status))
        finally:
            turn.free_worker()
            turn.give_back()

    # A job's failure is its outcome, see train_one(). Only a cancellation ends them all.
    async with trio.open_nursery() as nursery:
        for outcome in outcomes:
            turn = _OwnTurn(asking, counter)
            await turn.take()
            nursery.start_soon(train_one, outcome, turn)
    return outcomes


def _noting(outcome: Outcome, turn: _OwnTurn, show: Callable[[Event], None]) -> Emit:
    def note(event: Event) -> None:
        if isinstance(event, JobBegun):
            outcome.job_id = event.job_id
        elif isinstance(event, Connected | Transferred | StatusChanged):
            turn.note_worker()
        if isinstance(event, Connected | Completed | Detached):
            outcome.worker = event.worker
        show(event)

    return note


def failure_of(outcomes: Sequence[Outcome]) -> SleapRTCError | None:
    """Returns one error for several jobs: of the same kind, if all of theirs are."""
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if not errors:
        return None
    sentence = f"{len(errors)} of {len(outcomes)} jobs failed."
    same = len({error.exit_status for error in errors}) == 1
    kind = type(errors[0]) if same else JobFailedError
    return kind(sentence)
