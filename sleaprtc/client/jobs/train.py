"""Training on a worker, as one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import trio

from ...access.place import PeerOptions
from ...errors import InvalidDatasetError, InvalidTrainingConfigError
from ...formats.reading import shown
from ...formats.sleap_nn.configuration import named_val_labels
from ...jobs.estimate import MODEL_HEADS
from ...protocol.vocabulary import DatasetFormat
from ..events.job import Completed, Detached, Emit, Notice
from ..inputs.dataset import Dataset
from ..inputs.model_descriptions import described_models, model_type_of_configs
from ..inputs.packing import read_with_images
from ..inputs.scratch import Scratch
from ..inputs.training_configs import TrainingConfig, check_training, read_training_configs
from ..results.delivery import ModelFolders
from ..room import installed_sleap_version
from .order.control import JobControl
from .order.filters import WhichWorker
from .order.job_order import JobOrder
from .order.persistence import ONE_ATTEMPT, Persistence
from .order.settings import TrainingSettings
from .submission.retry import carry_out


def _check_model_type(model_type: str | None, heads: Sequence[str], *, is_package: bool) -> None:
    """Checks that the model type that was asked for is what is going to be trained.

    Args:
        model_type: What was asked for, if anything.
        heads: The models of the configurations.
        is_package: Whether they came in a training job package, of which one model may be picked.

    Raises:
        InvalidTrainingConfigError: It isn't.
    """
    repeated = [head for head in heads if heads.count(head) > 1]
    if repeated and not is_package:
        raise InvalidTrainingConfigError(f"Two configurations train the same model: {repeated[0]}.")
    wanted = MODEL_HEADS.get(model_type or "", ())
    if not wanted or not heads or set(wanted) == set(heads) or (is_package and set(wanted) <= set(heads)):
        return
    raise InvalidTrainingConfigError(
        f"The model type {model_type} is {' and '.join(wanted)}, and the "
        f"{'package trains' if is_package else 'configurations train'} {' and '.join(heads)}. Give a "
        "configuration for each model, or leave the model type out."
    )


def _named_validation(paths: Sequence[Path], configs: Sequence[TrainingConfig]) -> Path | None:
    """Returns the validation labels that configurations name, which lie beside them or at a path from here.

    Raises:
        InvalidTrainingConfigError: They aren't there, or the configurations name different ones.
    """
    found: set[Path] = set()
    for path, config in zip(paths, configs, strict=True):
        named = named_val_labels(config.document, path.name)
        if named is None:
            continue
        places = [place for place in (path.parent / named, Path(named)) if place.is_file()]
        if not places:
            raise InvalidTrainingConfigError(
                f"{path.name} names the validation labels {shown(named)}, which aren't there: "
                "name the file with --val."
            )
        found.add(places[0].absolute())
    if len(found) > 1:
        raise InvalidTrainingConfigError(
            "The configurations name different validation labels, and a job takes one file: "
            "name it with --val."
        )
    return next(iter(found), None)


async def read_validation(labels: Path, scratch: Scratch, emit: Emit) -> Dataset:
    """Reads labels to validate on; those that point to videos are packed first.

    Raises:
        InvalidDatasetError: They can't be read, or aren't labels.
    """
    described = await read_with_images(labels, Scratch(scratch, "validation"), embed="user", emit=emit)
    if described.info.format != DatasetFormat.SLP:
        raise InvalidDatasetError(f"{labels.name} isn't labels (.slp), which validation needs.")
    return described


def _completed(
    settings: TrainingSettings, dataset: Dataset, configs: Sequence[TrainingConfig]
) -> TrainingSettings:
    """Adds what dataset and configurations train, unless the settings say otherwise."""
    used = configs or dataset.trains
    _check_model_type(settings.model_type, [config.head for config in used], is_package=not configs)
    documents = [config.document for config in used]
    return attrs.evolve(
        settings,
        model_type=settings.model_type or model_type_of_configs(documents),
        models=described_models(documents),
    )


async def training_order(
    dataset: Path,
    *,
    out_dir: Path,
    configs: Sequence[Path] = (),
    validation: Path | None = None,
    settings: TrainingSettings | None = None,
    which: WhichWorker | None = None,
    emit: Emit = lambda _: None,
) -> JobOrder:
    """Reads what to train on, and makes the order for it.

    Args:
        dataset: Labels, or a training job package. Labels that point to videos are packed first.
        out_dir: Where the models go: made if needed; models in it are kept.
        configs: Model configurations, in training order.
        validation: Labels to validate on; by default those that the configurations name, if any.
        settings: What not to leave to the worker.
        which: Which worker gets the job; any by default.
        emit: Called with what happens meanwhile.

    Raises:
        UsageError: A file can't be read as what it should be.
    """
    settings = settings or TrainingSettings()
    trains = await trio.to_thread.run_sync(read_training_configs, configs)
    scratch = Scratch()
    try:
        described = await read_with_images(dataset, scratch, embed="user", emit=emit)
        check_training(trains or described.trains, settings.model_type, described.labelled)
        chosen = _completed(settings, described, trains)
        val_labels = validation
        if val_labels is None and (val_labels := _named_validation(configs, trains)) is not None:
            emit(Notice(f"Validating on {val_labels}, as the configuration says."))
        val_dataset = None if val_labels is None else await read_validation(val_labels, scratch, emit)
        if val_dataset is not None:
            used = trains or described.trains
            check_training(used, settings.model_type, described.labelled, val_dataset.labelled)
    except BaseException:
        scratch.remove()
        raise
    return JobOrder(
        dataset=described,
        settings=chosen,
        destination=ModelFolders(out_dir),
        which=which or WhichWorker(),
        configs=tuple(configs),
        validation=val_dataset,
        sleap_version=installed_sleap_version(),
        scratch=scratch,
    )


async def train_on_a_worker(
    dataset: Path,
    *,
    out_dir: Path,
    options: PeerOptions,
    configs: Sequence[Path] = (),
    validation: Path | None = None,
    settings: TrainingSettings | None = None,
    which: WhichWorker | None = None,
    persistence: Persistence = ONE_ATTEMPT,
    emit: Emit = lambda _: None,
    control: JobControl | None = None,
) -> Completed | Detached:
    """Finds a worker in the room, trains on it, and saves the models, or leaves the job there.

    Cancelling this call leaves a job whose work has begun to its worker, unless ``control`` says otherwise.

    Args:
        dataset: As for :func:`training_order`, as are ``out_dir``, ``configs``, ``settings`` and ``which``.
        out_dir: Where the models go.
        options: Server, room and connection.
        configs: Model configurations.
        validation: Labels to validate on.
        settings: What not to leave to the worker.
        which: Which worker gets the job.
        persistence: How long to wait for a worker, how often to retry, and how far to follow the job.
        emit: Called with what happens, see :mod:`sleaprtc.client.events.job`.
        control: What a person wants of the job.

    Raises:
        UsageError: A file or an option isn't valid.
        NoWorkerError: No worker fits or accepts.
        JobFailedError: The job failed on the worker, or the worker was lost.
        TransferError: A file couldn't be sent or received.
        NetworkError: The server can't be reached.
        RefusedError: The server refuses the client.
    """
    order = await training_order(
        dataset,
        out_dir=out_dir,
        configs=configs,
        validation=validation,
        settings=settings,
        which=which,
        emit=emit,
    )
    return await carry_out(order, options, persistence, emit, control)
