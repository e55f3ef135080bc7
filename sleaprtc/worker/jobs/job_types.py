"""What a worker does once a job's files are here: train or predict."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
import trio

from ...base.logs import get_logger
from ...base.private_files import make_private_dirs
from ...base.sentences import as_clause, as_sentence
from ...errors import StorageError
from ...protocol.jobs import JobComplete, JobRequest
from ...protocol.vocabulary import JobType, Phase, PredictionFormat, Purpose
from ...transfer.archive import pack_folders
from ...transfer.disk import hash_file
from ...transfer.model_archive import pack_model
from ...transfer.names import MAX_PLAIN_BYTES, shortened
from ...transfer.sending import FAST_DIGEST_ALGORITHM
from ..journal.past_trainings import EpochClock
from ..trainer import (
    EpochEnded,
    PredictionEvent,
    PredictionJob,
    Trainer,
    TrainingEvent,
    TrainingJob,
    TrainingOutcome,
)
from .cache import JobCache
from .inputs import JobInputs
from .messages import completion, prediction_completion, report_prediction, report_training
from .statuses import StatusReporter

PACKING_PATIENCE_SEC: Final = 30 * 60.0
PACKING_RETRY_SEC: Final = 15.0

_log = get_logger(__name__)


@attrs.frozen
class WorkOrder:
    """Everything that the work of a job needs.

    Attributes:
        request: What the client asked for.
        job_dir: The job's folder.
        inputs: The client's files.
        trainer: What trains and predicts.
        thread_count: CPU threads for it.
        stop: Set when the work should end early.
        reporter: Receives statuses.
        cache: Files of earlier jobs, or None if none are kept.
        clock: Times a training's epochs.
        lacks_disk: Whether the job takes disk that others have reserved; called in a thread.
    """

    request: JobRequest
    job_dir: Path
    inputs: JobInputs
    trainer: Trainer
    thread_count: int
    stop: trio.Event
    reporter: StatusReporter
    cache: JobCache | None
    clock: EpochClock
    lacks_disk: Callable[[], bool] = lambda: False

    def make_work_dir(self, name: str) -> Path:
        """Makes sure of a folder inside the job's. Only that of a resumed job has something in it."""
        work_dir = self.job_dir / name
        make_private_dirs(work_dir)
        return work_dir


@attrs.frozen
class Product:
    """What a job delivers.

    Attributes:
        file: The file that goes to the client.
        complete: The worker's last message about the job.
    """

    file: Path
    complete: JobComplete


@attrs.frozen
class KindOfWork:
    """One of the protocol's job types.

    Attributes:
        takes: Purposes of the files that a client sends before the dataset.
        gives: Purpose of the file that goes back.
        do: Does the work, or continues what an earlier process of the worker has done of it.
        salvage: Makes a product of what was done so far of work that isn't resumed, with the reason in a
            sentence; None if there is nothing to make it of.
    """

    takes: tuple[str, ...]
    gives: str
    do: Callable[[WorkOrder], Awaitable[Product]]
    salvage: Callable[[WorkOrder, str], Awaitable[Product | None]]


async def train(order: WorkOrder) -> Product:
    """Trains models and packs them.

    Raises:
        InvalidDatasetError: As with :meth:`.Trainer.train`.
        InvalidTrainingConfigError: Likewise.
        TrainerError: Likewise.
        StorageError: For half an hour, the models couldn't be packed.
    """
    reporter = order.reporter
    job = _training_job(order)
    reporter.report(Phase.RUNNING, reporter.progress, message="Preparing the training.")

    def report(event: TrainingEvent) -> None:
        if isinstance(event, EpochEnded):
            order.clock.take(event)
        report_training(reporter, event)

    outcome = await order.trainer.train(job, report=report, stop=order.stop)
    return await _pack(order, outcome)


async def salvage_training(order: WorkOrder, reason: str) -> Product | None:
    """Packs the best models so far of a training that isn't resumed.

    Raises:
        StorageError: The job's folder can't be read; or for half an hour, the models couldn't be packed.
    """
    try:
        outcome = await order.trainer.salvage(_training_job(order), reason)
    except OSError as error:
        raise StorageError(f"The job's folder can't be used: {as_clause(error)}.") from error
    return None if outcome is None else await _pack(order, outcome)


def _training_job(order: WorkOrder) -> TrainingJob:
    return TrainingJob(
        order.inputs.dataset,
        order.inputs.configs,
        order.request.config,
        order.make_work_dir("training"),
        order.thread_count,
        order.lacks_disk,
        validation=order.inputs.validation,
    )


async def _pack(order: WorkOrder, outcome: TrainingOutcome) -> Product:
    if outcome.cut is not None:
        order.reporter.report(Phase.SENDING, 1.0, message=outcome.cut)  # so that the job's log says it too
    order.reporter.report(Phase.SENDING, 1.0, message="Packing the model.")
    archive = order.job_dir / _result_name(order.inputs.dataset, ".models.zip")
    await _pack_in_time(outcome.model_dirs, archive, order.reporter)
    if order.cache is not None and not order.cache.keeps_nothing:
        await trio.to_thread.run_sync(_remember_models, order.cache, outcome.model_dirs, order.job_dir)
    return Product(archive, completion(order.request.job_id, outcome, archive))


async def predict(order: WorkOrder) -> Product:
    """Predicts.

    Raises:
        InvalidDatasetError: As with :meth:`.Trainer.predict`.
        InvalidModelError: Likewise.
        TrainerError: Likewise.
        StorageError: The predictions can't be put in their place.
    """
    reporter, inputs = order.reporter, order.inputs
    job = PredictionJob(
        inputs.dataset,
        inputs.models,
        order.request.config,
        order.make_work_dir("inference"),
        order.thread_count,
        order.lacks_disk,
    )
    reporter.report(Phase.RUNNING, message="Preparing the prediction.")

    def report(event: PredictionEvent) -> None:
        report_prediction(reporter, event)

    outcome = await order.trainer.predict(job, report=report, stop=order.stop)
    reporter.report(Phase.SENDING, 1.0, message="Sending the predictions.")
    kinds = (kind.suffix for kind in PredictionFormat if outcome.predictions.name.endswith(kind.suffix))
    suffix = next(kinds, PredictionFormat.SLP.suffix)
    file = order.job_dir / _result_name(inputs.dataset, f".predictions{suffix}")
    outcome.predictions.rename(file)
    return Product(file, prediction_completion(order.request.job_id, outcome, file))


async def salvage_nothing(order: WorkOrder, reason: str) -> Product | None:
    """Predictions that were cut short start over: they are written when all frames are done."""
    return None


WORK: Final[Mapping[str, KindOfWork]] = {
    JobType.TRAINING: KindOfWork(
        (Purpose.CONFIG, Purpose.VALIDATION), Purpose.MODEL, train, salvage_training
    ),
    JobType.INFERENCE: KindOfWork((Purpose.MODEL,), Purpose.PREDICTIONS, predict, salvage_nothing),
}
"""By job type."""


def _result_name(dataset: Path, ending: str) -> str:
    """Names a result after its dataset, whose name may be as long as a name can be, or be hidden."""
    return shortened(dataset.name.lstrip(".").partition(".")[0] or "result", MAX_PLAIN_BYTES) + ending


async def _pack_in_time(folders: Sequence[Path], archive: Path, reporter: StatusReporter) -> None:
    """Packs models. A full disk doesn't cost the training at once: somebody may make room.

    Raises:
        StorageError: For half an hour, they couldn't be packed.
    """
    deadline = trio.current_time() + PACKING_PATIENCE_SEC
    while True:
        try:
            return await trio.to_thread.run_sync(pack_folders, folders, archive)
        except StorageError as error:
            if trio.current_time() >= deadline:
                raise
            _log.warning(f"{as_sentence(error)} Trying again.")
            reporter.report(Phase.SENDING, 1.0, message=f"{as_sentence(error)} Trying again.")
        await trio.sleep(PACKING_RETRY_SEC)


def _remember_models(cache: JobCache, model_dirs: Sequence[Path], scratch_dir: Path) -> None:
    """Caches models the way clients pack them, so that none has to be sent back to predict with."""
    for folder in model_dirs:
        try:
            with tempfile.TemporaryDirectory(dir=scratch_dir) as temporary:
                archive = Path(temporary) / "model.zip"
                pack_model(folder, archive)
                cache.add(f"{FAST_DIGEST_ALGORITHM}:{hash_file(archive, FAST_DIGEST_ALGORITHM)}", archive)
        except (OSError, StorageError) as error:  # a convenience, which costs no training
            _log.warning("The model isn't kept for predictions.", error=str(error))
