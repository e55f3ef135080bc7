"""One job of a worker, from the assignment to the model's delivery."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import trio

from ..errors import (
    ChannelClosedError,
    JobFailedError,
    SleapRTCError,
    StorageError,
    TransferAbortedError,
    TransferError,
)
from ..exception_groups import single_error
from ..protocol.jobs import (
    JobComplete,
    JobError,
    JobFailed,
    JobMessage,
    JobRequest,
    JobResult,
    StatusDetails,
)
from ..protocol.limits import MIB
from ..transfer.archive import pack_folders
from ..transfer.stream import IncomingFile, TransferProgress
from .connection import ClientConnection
from .reporter import StatusReporter
from .trainers.base import (
    EpochEnded,
    StageStarted,
    Trainer,
    TrainingEvent,
    TrainingJob,
    TrainingOutcome,
)

CONNECT_WAIT_SEC: Final = 60.0
"""How long a job waits for its client to connect, at first and after each lost connection."""

INPUT_IDLE_SEC: Final = 120.0
"""How long a connected client may take to offer the next file of its job."""

RESULT_WAIT_SEC: Final = 15 * 60.0
"""How long a finished job tries to hand its model over before it only keeps it on disk."""

PROGRESS_INTERVAL_SEC: Final = 0.5

_log = logging.getLogger(__name__)


class Job:
    """A job that this worker has taken on.

    Args:
        request: What the client asked for.
        client_id: Who gets statuses and model.
        job_dir: A new folder of the job's own.
        connection: The data channel to the client.
        trainer: What trains.
        thread_count: CPU threads for training.
        deliver: Takes a job message to the client, whenever that is possible.
        try_send: The same, but drops the message where the client can't be reached just now.
    """

    def __init__(
        self,
        *,
        request: JobRequest,
        client_id: str,
        job_dir: Path,
        connection: ClientConnection,
        trainer: Trainer,
        thread_count: int,
        deliver: Callable[[JobMessage], Awaitable[None]],
        try_send: Callable[[JobMessage], Awaitable[None]],
    ) -> None:
        self.request = request
        self.client_id = client_id
        self.connection = connection
        self._job_dir = job_dir
        self._trainer = trainer
        self._thread_count = thread_count
        self._deliver = deliver
        self._try_send = try_send
        self._stop = trio.Event()
        self._scope = trio.CancelScope()
        self._trained = trio.Event()
        self._ended = trio.Event()

    @property
    def job_id(self) -> str:
        """The client's name for the job."""
        return self.request.job_id

    def stop(self) -> None:
        """Ends training early; the best model so far is kept and sent."""
        self._stop.set()

    async def cancel(self) -> None:
        """Ends the job and waits until nothing of it is left, running or on disk."""
        self._scope.cancel()
        await self._ended.wait()

    async def wait_ended(self) -> None:
        """Waits until nothing of the job is left, but for a result that nobody fetched."""
        await self._ended.wait()

    async def run(self, on_trained: Callable[[TrainingOutcome | None], None]) -> None:
        """Does the job. Everything that goes wrong is told to the client; nothing is raised.

        Args:
            on_trained: Called once, when the job no longer needs its slot: with what came out, or None.
        """
        keep = False
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.connection.run)
                    keep = await self._run(on_trained)
                    nursery.cancel_scope.cancel()
        finally:
            self._mark_trained(on_trained, None)
            if not keep:
                # Synchronous, so that neither cancellation nor shutdown leaves a dataset behind.
                shutil.rmtree(self._job_dir, ignore_errors=True)
            self._ended.set()

    async def _run(self, on_trained: Callable[[TrainingOutcome | None], None]) -> bool:
        """Returns whether a result that nobody fetched is to be kept."""
        try:
            with single_error():
                outcome, archive = await self._train_and_report()
        except SleapRTCError as error:
            self._mark_trained(on_trained, None)
            await self._deliver(JobFailed(self.job_id, _job_error(error)))
            return False
        except Exception:
            _log.exception("Job %s failed unexpectedly.", self.job_id)
            self._mark_trained(on_trained, None)
            failure = JobError("INTERNAL", "The worker failed unexpectedly; its log says more.", True)
            await self._deliver(JobFailed(self.job_id, failure))
            return False
        self._mark_trained(on_trained, outcome)
        await self._deliver(_completion(self.job_id, outcome, archive))
        return not await self._send_model(archive)

    def _mark_trained(
        self,
        on_trained: Callable[[TrainingOutcome | None], None],
        outcome: TrainingOutcome | None,
    ) -> None:
        if not self._trained.is_set():
            self._trained.set()
            on_trained(outcome)

    async def _train_and_report(self) -> tuple[TrainingOutcome, Path]:
        """Works with statuses going out beside it; how it ends is known only when the last one is sent."""
        reporter = StatusReporter(self.job_id, self._try_send)
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reporter.run)
            try:
                outcome, archive = await self._produce_model(reporter)
            except Exception as error:
                failure = error
            reporter.finish()
        if failure is not None:
            raise failure
        return outcome, archive

    async def _produce_model(self, reporter: StatusReporter) -> tuple[TrainingOutcome, Path]:
        reporter.report("starting", message="Waiting for the client's connection.")
        dataset, configs = await self._receive_inputs(reporter)
        outcome = await self._train(dataset, configs, reporter)
        reporter.report("sending", 1.0, message="Packing the model.")
        archive = self._job_dir / f"{dataset.name.partition('.')[0]}.models.zip"
        await trio.to_thread.run_sync(pack_folders, outcome.model_dirs, archive)
        return outcome, archive

    # --- the client's files -----------------------------------------------------------------

    async def _receive_inputs(self, reporter: StatusReporter) -> tuple[Path, tuple[Path, ...]]:
        """Takes configurations until the dataset comes, which is always last."""
        configs: dict[str, Path] = {}
        while True:
            incoming = await self._next_offer()
            offer = incoming.offer
            if offer.purpose not in ("dataset", "config") or (offer.job_id or self.job_id) != self.job_id:
                await incoming.refuse("UNEXPECTED_FILE", "This job takes a dataset and configurations.")
                continue
            directory = self._job_dir / offer.purpose
            directory.mkdir(parents=True, exist_ok=True)
            try:
                path = await incoming.accept(directory, progress=_receiving(reporter))
            except (ChannelClosedError, TransferAbortedError) as error:
                _log.info("Job %s: %s Waiting for the client.", self.job_id, error)
                continue
            if offer.purpose == "dataset":
                return path, tuple(configs.values())
            configs[path.name] = path

    async def _next_offer(self) -> IncomingFile:
        transfers = self.connection.transfers
        while True:
            with trio.move_on_after(CONNECT_WAIT_SEC):
                await transfers.wait_connected()
            if not transfers.is_connected:
                raise JobFailedError(
                    "The client made no data channel to this worker.",
                    error_code="CLIENT_LOST",
                    recoverable=True,
                )
            with trio.move_on_after(INPUT_IDLE_SEC):
                return await transfers.next_offer()
            if transfers.is_connected:
                raise TransferError("The client is connected but sent no dataset.")

    # --- training ---------------------------------------------------------------------------

    async def _train(
        self, dataset: Path, configs: tuple[Path, ...], reporter: StatusReporter
    ) -> TrainingOutcome:
        work_dir = self._job_dir / "training"
        work_dir.mkdir()
        job = TrainingJob(dataset, configs, self.request.config, work_dir, self._thread_count)
        reporter.report("running", message="Preparing the training.")

        def report(event: TrainingEvent) -> None:
            _report_training(reporter, event)

        return await self._trainer.train(job, report=report, stop=self._stop)

    async def _send_model(self, archive: Path) -> bool:
        transfers = self.connection.transfers
        with trio.move_on_after(RESULT_WAIT_SEC):
            try:
                await transfers.send_file(archive, purpose="model", job_id=self.job_id)
            except (TransferError, StorageError) as error:
                _log.warning("Job %s: the model wasn't taken: %s", self.job_id, error)
                return False
            return True  # leaving closes the channel, which tells the client that we have its last word
        _log.warning("Job %s: nobody fetched the model; it is kept as %s.", self.job_id, archive)
        return False


def _receiving(reporter: StatusReporter) -> Callable[[TransferProgress], None]:
    last_sec = -PROGRESS_INTERVAL_SEC

    def report(progress: TransferProgress) -> None:
        nonlocal last_sec
        now = trio.current_time()
        if now - last_sec >= PROGRESS_INTERVAL_SEC:
            last_sec = now
            done = progress.received_bytes / progress.size_bytes if progress.size_bytes else 1.0
            reporter.report("receiving", done, message=f"Receiving {progress.name}.")

    return report


def _report_training(reporter: StatusReporter, event: TrainingEvent) -> None:
    if isinstance(event, StageStarted):
        reporter.report(
            "running",
            reporter.progress if event.stage != "preparing" else 0.0,
            details=StatusDetails(model=event.model),
            message=event.message,
        )
    else:
        reporter.report("running", event.progress, details=_epoch_details(event))


def _epoch_details(event: EpochEnded) -> StatusDetails:
    remaining_sec = event.elapsed_sec * (1 / event.progress - 1) if event.progress > 0 else None
    return StatusDetails(
        current_epoch=event.epoch,
        total_epochs=event.total_epochs,
        current_loss=event.train_loss,
        val_loss=event.val_loss,
        estimated_remaining_minutes=None if remaining_sec is None else round(remaining_sec / 60, 2),
        model=event.model,
        device=event.device,
    )


def _job_error(error: SleapRTCError) -> JobError:
    code = getattr(error, "error_code", error.code)
    return JobError(code, str(error), bool(getattr(error, "recoverable", False)))


def _completion(job_id: str, outcome: TrainingOutcome, archive: Path) -> JobComplete:
    return JobComplete(
        job_id,
        result=JobResult(
            model_size_mb=round(archive.stat().st_size / MIB, 3),
            final_loss=outcome.final_loss,
            training_duration_minutes=round(outcome.duration_sec / 60, 3),
            total_epochs=outcome.total_epochs,
            file_count=1,
            device=outcome.device,
        ),
    )
