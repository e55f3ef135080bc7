"""One job of a worker, from the assignment to the model's delivery."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import trio

from ..errors import SleapRTCError, StorageError, TransferError
from ..exception_groups import single_error
from ..protocol.jobs import JobComplete, JobError, JobFailed, JobMessage, JobRequest, JobStatus
from ..transfer.archive import pack_folders
from .cache import DatasetCache
from .connection import ClientConnection
from .inputs import receive_inputs
from .journal import COMPLETED, DELIVERED, FAILED, TRAINING, JournalEntry
from .notes import JobNotes
from .reporter import StatusReporter
from .reports import completion, failure, report_training
from .trainers.base import Trainer, TrainingEvent, TrainingJob, TrainingOutcome

RESULT_WAIT_SEC: Final = 15 * 60.0
"""How long a finished job waits for its client before it lies down in the journal, to be attached to."""

PACKING_PATIENCE_SEC: Final = 30 * 60.0
PACKING_RETRY_SEC: Final = 15.0

LAST_WORD_SEC: Final = 4.0
"""How long a worker that has handed over its model tries to say what it is like, without the server; the
client waits a second longer."""

_log = logging.getLogger(__name__)

OnTrained = Callable[[TrainingOutcome | None], None]


class Job:
    """A job that this worker has taken on.

    Args:
        request: What the client asked for.
        job_dir: A folder of the job's own.
        connection: The data channel to the client, whoever that is at the time.
        cache: Datasets of earlier jobs, or None where none are kept.
        max_dataset_bytes: The largest dataset that the owner takes.
        notes: The job's page in the journal.
        deliver: Takes a job message to a client, whenever that is possible.
        try_send: The same, but drops the message where the client can't be reached just now.

    Attributes:
        client_id: Who gets statuses and last word; a later process of the same client has another name.
    """

    def __init__(
        self,
        *,
        request: JobRequest,
        job_dir: Path,
        connection: ClientConnection,
        cache: DatasetCache | None,
        max_dataset_bytes: float,
        notes: JobNotes,
        deliver: Callable[[str, JobMessage], Awaitable[None]],
        try_send: Callable[[str, JobMessage], Awaitable[None]],
    ) -> None:
        self.request = request
        self.connection = connection
        self.client_id = connection.remote_id
        self._job_dir = job_dir
        self._cache = cache
        self._max_dataset_bytes = max_dataset_bytes
        self._notes = notes
        self._deliver = deliver
        self._try_send = try_send
        self._stop = trio.Event()
        self._scope = trio.CancelScope()
        self._waiting: trio.CancelScope | None = None
        self._is_trained = False
        self._keep = False
        self._ended = trio.Event()

    @property
    def job_id(self) -> str:
        """The client's name for the job."""
        return self.request.job_id

    def stop(self) -> None:
        """Ends training early; the best model so far is kept and sent."""
        self._stop.set()

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to end early."""
        return self._stop.is_set()

    async def cancel(self) -> None:
        """Ends the job and waits until nothing of it is left, running or on disk."""
        self._scope.cancel()
        await self._ended.wait()
        shutil.rmtree(self._job_dir, ignore_errors=True)

    def expect_client(self) -> bool:
        """Waits its full time anew for a client that is about to connect; False if the waiting is over."""
        if self._waiting is None:
            return not self._ended.is_set()
        if self._waiting.cancel_called:
            return False
        self._waiting.deadline = trio.current_time() + RESULT_WAIT_SEC
        return True

    async def wait_ended(self) -> None:
        """Waits until the job needs nothing more of this worker, but for a result that nobody fetched."""
        await self._ended.wait()

    async def run(self, trainer: Trainer, thread_count: int, on_trained: OnTrained) -> None:
        """Does the job. Everything that goes wrong is told to the client; nothing is raised.

        Args:
            trainer: What trains.
            thread_count: CPU threads for training.
            on_trained: Called once, when the job no longer needs its slot: with what came out, or None.
        """

        async def work() -> None:
            finished = await self._train_to_the_end(trainer, thread_count, on_trained)
            if finished is not None:
                await self._hand_over(*finished)

        try:
            await self._serve(work)
        finally:
            self._mark_trained(on_trained, None)

    async def run_delivery(self, entry: JournalEntry) -> None:
        """Hands over the model of a job that was trained before, as :meth:`run` does at its end."""

        async def work() -> None:
            if isinstance(entry.last_word, JobComplete) and entry.archive is not None:
                self._keep = True
                await self._hand_over(entry.last_word, entry.archive)

        await self._serve(work)

    async def _serve(self, work: Callable[[], Awaitable[None]]) -> None:
        """Works with the connection beside it; keeps the job's folder only for a model that waits in it."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.connection.run)
                    await work()
                    nursery.cancel_scope.cancel()
        finally:
            if not self._keep:
                # Synchronous, so that neither cancellation nor shutdown leaves a dataset behind.
                shutil.rmtree(self._job_dir, ignore_errors=True)
            self._ended.set()

    def _mark_trained(self, on_trained: OnTrained, outcome: TrainingOutcome | None) -> None:
        if not self._is_trained:
            self._is_trained = True
            on_trained(outcome)

    # --- training ---------------------------------------------------------------------------

    async def _train_to_the_end(
        self, trainer: Trainer, thread_count: int, on_trained: OnTrained
    ) -> tuple[JobComplete, Path] | None:
        try:
            with single_error():
                outcome, archive = await self._train_and_report(trainer, thread_count)
            complete = completion(self.job_id, outcome, archive)
        except SleapRTCError as error:
            failed = failure(self.job_id, error)
        except OSError as error:
            problem = f"The job's folder can't be used: {error.strerror or error}."
            failed = failure(self.job_id, StorageError(problem))
        except Exception:
            _log.exception("Job %s failed unexpectedly.", self.job_id)
            sentence = "The worker failed unexpectedly; its log says more."
            failed = JobFailed(self.job_id, JobError("INTERNAL", sentence, True))
        else:
            self._keep = True
            await self._notes.change(COMPLETED, last_word=complete, archive=archive)
            self._mark_trained(on_trained, outcome)
            return complete, archive
        await self._notes.keep_log(self._job_dir)
        await self._notes.change(FAILED, last_word=failed)
        self._mark_trained(on_trained, None)
        await self._deliver(self.client_id, failed)
        return None

    async def _train_and_report(self, trainer: Trainer, thread_count: int) -> tuple[TrainingOutcome, Path]:
        """Works with statuses going out beside it; how it ends is known only when the last one is sent."""
        reporter = StatusReporter(self.job_id, self._send_status)
        problem: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reporter.run)
            try:
                outcome, archive = await self._produce_model(trainer, thread_count, reporter)
            except Exception as error:
                problem = error
            reporter.finish()
        if problem is not None:
            raise problem
        return outcome, archive

    async def _send_status(self, status: JobStatus) -> None:
        await self._notes.add_status(status)
        await self._try_send(self.client_id, status)

    async def _produce_model(
        self, trainer: Trainer, thread_count: int, reporter: StatusReporter
    ) -> tuple[TrainingOutcome, Path]:
        reporter.report("starting", message="Waiting for the client's connection.")
        dataset, configs = await receive_inputs(
            self.job_id,
            self._job_dir,
            self.connection.transfers,
            reporter,
            self._cache,
            self._max_dataset_bytes,
        )
        await self._notes.change(TRAINING)
        work_dir = self._job_dir / "training"
        work_dir.mkdir()
        job = TrainingJob(dataset, configs, self.request.config, work_dir, thread_count)
        reporter.report("running", message="Preparing the training.")

        def report(event: TrainingEvent) -> None:
            report_training(reporter, event)

        outcome = await trainer.train(job, report=report, stop=self._stop)
        reporter.report("sending", 1.0, message="Packing the model.")
        archive = self._job_dir / f"{dataset.name.partition('.')[0]}.models.zip"
        await _pack_in_time(outcome.model_dirs, archive, reporter)
        await self._notes.keep_log(self._job_dir)
        await trio.to_thread.run_sync(_remove_all_but, self._job_dir, archive)
        return outcome, archive

    # --- delivery ---------------------------------------------------------------------------

    async def _hand_over(self, complete: JobComplete, archive: Path) -> None:
        """Sends the model, whether or not the server is there to say so."""
        told = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_completed, complete, told)
            nursery.start_soon(self._notes.keep_trying)
            with trio.move_on_after(RESULT_WAIT_SEC) as self._waiting:
                try:
                    await self.connection.transfers.send_file(archive, purpose="model", job_id=self.job_id)
                except (TransferError, StorageError) as error:
                    _log.warning("Job %s: the model wasn't taken: %s", self.job_id, error)
                else:
                    self._keep = False
                    await self._notes.change(DELIVERED)
            if not self._keep:
                with trio.move_on_after(LAST_WORD_SEC):
                    await told.wait()
            # Leaving closes the channel, by which the client sees that we have its last word.
            nursery.cancel_scope.cancel()
        if self._keep:
            await self._notes.keep_trying()  # until then, only this job knows that its model waits
            _log.info("Job %s: the model is kept as %s until it is fetched.", self.job_id, archive)

    async def _tell_completed(self, complete: JobComplete, told: trio.Event) -> None:
        await self._deliver(self.client_id, complete)
        told.set()


async def _pack_in_time(folders: Sequence[Path], archive: Path, reporter: StatusReporter) -> None:
    """Packs a model. A disk that is full just then doesn't cost the training: somebody may make room.

    Raises:
        StorageError: It can't be packed for half an hour.
    """
    deadline = trio.current_time() + PACKING_PATIENCE_SEC
    while True:
        try:
            return await trio.to_thread.run_sync(pack_folders, folders, archive)
        except StorageError as error:
            if trio.current_time() >= deadline:
                raise
            _log.warning("%s Trying again.", error)
            reporter.report("sending", 1.0, message=f"{error} Trying again.")
        await trio.sleep(PACKING_RETRY_SEC)


def _remove_all_but(folder: Path, kept: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path != kept:
            path.unlink(missing_ok=True)
