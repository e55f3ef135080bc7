"""One job that is to be done: what it works on, how, for whom, and where its result goes."""

from __future__ import annotations

from pathlib import Path

import attrs

from ....protocol.messages import JSONObject
from ....protocol.vocabulary import JobType, Purpose
from ...inputs.dataset import Dataset
from ...inputs.files import OutgoingFile
from ...inputs.scratch import Scratch
from ...results.delivery import Destination
from .filters import WhichWorker
from .settings import PredictionSettings, TrainingSettings


@attrs.frozen
class JobOrder:
    """A job to be done.

    Attributes:
        dataset: What :func:`sleaprtc.client.inputs.packing.read_with_images` found.
        settings: What isn't left to the worker.
        destination: Where the result goes.
        which: Which worker gets the job.
        job_type: ``training`` or ``inference``.
        configs: Model configurations to send, in training order.
        validation: Labels to validate on, if they are a file of their own.
        models: Packed models to send, for an inference.
        model_dirs: The folders that they were packed from.
        model_info: What the request says of them.
        sleap_version: The client's own version of sleap-nn, if it has one.
        scratch: Where temporary files are, including some that are sent.
    """

    dataset: Dataset
    settings: TrainingSettings | PredictionSettings
    destination: Destination
    which: WhichWorker = attrs.field(factory=WhichWorker)
    job_type: str = JobType.TRAINING
    configs: tuple[Path, ...] = ()
    validation: Dataset | None = None
    models: tuple[Path, ...] = ()
    model_dirs: tuple[Path, ...] = ()
    model_info: JSONObject | None = None
    sleap_version: str | None = None
    scratch: Scratch = attrs.field(factory=Scratch)

    @property
    def inputs(self) -> tuple[OutgoingFile, ...]:
        """The files to send, in order: the dataset is last."""
        return (
            *(OutgoingFile(path, Purpose.CONFIG) for path in self.configs),
            *(() if self.validation is None else [OutgoingFile(self.validation.path, Purpose.VALIDATION)]),
            *(OutgoingFile(path, Purpose.MODEL) for path in self.models),
            OutgoingFile(self.dataset.path, Purpose.DATASET),
        )
