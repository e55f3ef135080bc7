"""Gathers what a job trains from: labels that the runner can reach, and parsed configurations."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import attrs
import trio

from ...errors import InvalidDatasetError, InvalidTrainingConfigError
from ...formats.documents import MAX_CONFIG_BYTES
from ...formats.sleap_nn.configuration import parse_config
from ...formats.training_package import is_package, is_plain_name, unpack
from ..trainer import TrainingJob
from .intake.dataset import inspect_dataset
from .intake.dataset_summary import DatasetSummary
from .plan.training import ModelSource, ReceivedConfig

DEFAULT_LABELS_NAME: Final = "labels.pkg.slp"
DEFAULT_VAL_LABELS_NAME: Final = "validation.pkg.slp"


@attrs.frozen
class _Files:
    """Labels by their names in the job's folder, and the configuration that goes with them."""

    labels: str
    val_labels: str | None = None
    config: ReceivedConfig | None = None


async def gather_sources(job: TrainingJob) -> tuple[ModelSource, ...]:
    """Puts a job's labels into its folder, and reads what is in them and in its configurations.

    Returns:
        One source for each configuration, in training order, or one without any.

    Raises:
        InvalidDatasetError: The labels or the package can't be used.
        InvalidTrainingConfigError: A configuration can't be read.
        OSError: The folder can't be written to.
    """
    files = await trio.to_thread.run_sync(_gather_files, job)
    if job.validation:
        val_labels = await trio.to_thread.run_sync(_link_val_labels, job, {entry.labels for entry in files})
        files = [attrs.evolve(entry, val_labels=val_labels) for entry in files]
    names = {entry.labels for entry in files} | {entry.val_labels for entry in files if entry.val_labels}
    summaries: dict[str, DatasetSummary] = {}
    for name in sorted(names):
        summaries[name] = await inspect_dataset(job.work_dir / name)
    return tuple(
        ModelSource(
            entry.labels,
            summaries[entry.labels].together_with(summaries.get(entry.val_labels or "")),
            entry.val_labels,
            entry.config,
            val_dataset=None if entry.val_labels is None else summaries[entry.val_labels],
        )
        for entry in files
    )


def _gather_files(job: TrainingJob) -> Sequence[_Files]:
    configs = [_read_config(path) for path in job.configs]
    if not is_package(job.dataset):
        labels = _link_labels(job.dataset, job.work_dir)
        return [_Files(labels, None, config) for config in configs] or [_Files(labels)]
    models = unpack(job.dataset, job.work_dir)
    if configs:
        # configurations that were sent beside a package replace those inside of it
        return [_Files(models[0].labels, models[0].val_labels, config) for config in configs]
    return [
        _Files(
            model.labels,
            model.val_labels,
            ReceivedConfig(model.config_name, parse_config(model.config, model.config_name)),
        )
        for model in models
    ]


def _link_labels(dataset: Path, folder: Path, default_name: str = DEFAULT_LABELS_NAME) -> str:
    """Links the labels into the runner's folder by a plain name, so that no path of this machine leaks."""
    name = dataset.name if is_plain_name(dataset.name) and dataset.suffix == ".slp" else default_name
    link = folder / name
    if link != dataset:
        link.symlink_to(dataset.absolute())
    return name


def _link_val_labels(job: TrainingJob, taken: Collection[str]) -> str:
    """Links validation labels that came as a file of their own, by a name that the others don't have."""
    if len(job.validation) > 1:
        raise InvalidDatasetError("A training takes one file of validation labels.")
    (labels,) = job.validation
    if labels.name not in taken:
        return _link_labels(labels, job.work_dir, DEFAULT_VAL_LABELS_NAME)
    name = f"validation-{labels.name}"
    (job.work_dir / name).symlink_to(labels.absolute())
    return name


def _read_config(path: Path) -> ReceivedConfig:
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise InvalidTrainingConfigError(f"{path.name} is too large for a training configuration.")
    return ReceivedConfig(path.name, parse_config(path.read_bytes(), path.name))
