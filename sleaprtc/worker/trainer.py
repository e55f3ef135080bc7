"""The interface between the worker and whatever framework does the training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeAlias

import attrs
import trio

from ..protocol.messages import JSONObject

LOG_NAME: Final = "trainer.log"
"""What a trainer prints is in this file of its work folder."""


@attrs.frozen
class TrainerCapabilities:
    """What is installed, as found by a probe.

    Attributes:
        supported_models: Of ``base centroid topdown bottomup``; empty where training isn't possible.
        supported_job_types: Of ``training inference``.
        sleap_version: Version of what trains, or None where there is nothing.
        torch_device: ``"cuda"``, ``"mps"`` or ``"cpu"``: what the installed torch can use.
        torch_version: Such as ``"2.13.0+cpu"``.
        torch_cuda: For which CUDA the installed torch is built; None for a build without.
        python: The interpreter that this is about.
        problem: One sentence on why nothing can be trained, else None.
    """

    supported_models: tuple[str, ...] = ()
    supported_job_types: tuple[str, ...] = ()
    sleap_version: str | None = None
    torch_device: str | None = None
    problem: str | None = None
    torch_version: str | None = None
    torch_cuda: str | None = None
    python: str | None = None


@attrs.frozen
class TrainingJob:
    """The inputs of a training.

    Attributes:
        dataset: The received ``.slp``, ``.pkg.slp`` or training job package (``.zip``).
        configs: Received model configurations, sleap-nn YAML or SLEAP JSON, in training order.
        requested: The request's ``config`` object, from a stranger: ``model_type``, ``epochs``,
            ``batch_size``, ``learning_rate``; everything else in it is ignored.
        work_dir: A folder of this job's own, for runs and temporary files. It is empty, or has what an
            earlier process of this job left there.
        thread_count: CPU threads that this job may use.
        lacks_disk: Whether the job takes disk that others have reserved. Blocks; called in a thread.
        validation: Received labels to validate on: none, or a single ``.slp`` or ``.pkg.slp``.
    """

    dataset: Path
    configs: tuple[Path, ...]
    requested: JSONObject
    work_dir: Path
    thread_count: int = 1
    lacks_disk: Callable[[], bool] = attrs.field(default=lambda: False, eq=False)
    validation: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files and folders that count against the job's disk limit."""
        return (self.work_dir, self.dataset, *self.validation)


@attrs.frozen
class PredictionJob:
    """The inputs of a prediction.

    Attributes:
        dataset: The received ``.slp`` with its images, or video.
        models: Received archives of model folders.
        requested: The request's ``config`` object, from a stranger: ``batch_size``, ``peak_threshold``,
            ``frames``, ``tracking``; everything else in it is ignored.
        work_dir: A folder of this job's own, for models and temporary files. What an earlier process of this
            job left there is deleted.
        thread_count: CPU threads that this job may use.
        lacks_disk: Whether the job takes disk that others have reserved. Blocks; called in a thread.
    """

    dataset: Path
    models: tuple[Path, ...]
    requested: JSONObject
    work_dir: Path
    thread_count: int = 1
    lacks_disk: Callable[[], bool] = attrs.field(default=lambda: False, eq=False)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files and folders that count against the job's disk limit."""
        return (self.work_dir, self.dataset, *self.models)


class Stage(StrEnum):
    """The stages of a trainer's work; a newer runner may have others."""

    PREPARING = "preparing"
    TRAINING = "training"
    """Of one model."""

    PREDICTING = "predicting"
    FINALIZING = "finalizing"


@attrs.frozen
class StageStarted:
    """Work enters a :class:`Stage`.

    ``device`` is what the model's weights are on, as soon as it is known.
    """

    stage: str
    message: str
    model: str | None = None
    device: str | None = None


@attrs.frozen
class EpochEnded:
    """One epoch of one model is over.

    Attributes:
        model: Head in training, such as ``centroid``.
        epoch: 1 for the first.
        total_epochs: The most that this model may take; early stopping can end it sooner.
        progress: Of the whole job, all its models together, 0.0 to 1.0.
        train_loss: Mean over the epoch.
        val_loss: Mean over the validation frames, where there are any.
        device: What the model's weights really are on, such as ``cuda:0`` or ``cpu``.
        elapsed_sec: Since training of this job started.
    """

    model: str
    epoch: int
    total_epochs: int
    progress: float
    train_loss: float
    val_loss: float | None
    device: str
    elapsed_sec: float


@attrs.frozen
class FramesPredicted:
    """More frames are done.

    Attributes:
        frames_done: Of ``total_frames``.
        frames_per_sec: Since the first of them.
        device: What the models really are on.
    """

    frames_done: int
    total_frames: int
    frames_per_sec: float
    device: str


TrainingEvent: TypeAlias = StageStarted | EpochEnded
PredictionEvent: TypeAlias = StageStarted | FramesPredicted


@attrs.frozen
class TrainingOutcome:
    """A finished training.

    Attributes:
        model_dirs: One folder a model, named for its head, with ``best.ckpt`` and
            ``training_config.yaml`` in it; these are what goes back to the client.
        final_loss: Best validation loss of the last model, or its training loss without validation.
        total_epochs: Epochs really trained, all models together.
        duration_sec: From the start of the first model to the end of the last.
        device: What was really used.
        cut: Why less was trained than was asked for, as a sentence; None if nothing is missing.
    """

    model_dirs: tuple[Path, ...]
    final_loss: float
    total_epochs: int
    duration_sec: float
    device: str
    cut: str | None = None


@attrs.frozen
class PredictionOutcome:
    """Finished predictions.

    Attributes:
        predictions: The ``.slp``.
        frame_count: Frames that were predicted on.
        duration_sec: Without loading libraries and models.
        device: What was really used.
    """

    predictions: Path
    frame_count: int
    duration_sec: float
    device: str


class Trainer(ABC):
    """Trains and predicts in processes of its own."""

    @abstractmethod
    async def probe(self) -> TrainerCapabilities:
        """Finds out what is installed. What is missing is reported, not raised."""

    @abstractmethod
    async def train(
        self, job: TrainingJob, *, report: Callable[[TrainingEvent], None], stop: trio.Event
    ) -> TrainingOutcome:
        """Trains until done, or until ``stop`` is set, which keeps the best model so far.

        A training that was cut short resumes from what its process left in the job's folder; at most the
        epoch that was under way is trained again. Cancelling this call ends every process of the training
        before it returns.

        Raises:
            InvalidDatasetError: The dataset can't be read, or holds nothing to train on.
            InvalidTrainingConfigError: A configuration asks for something that isn't allowed or can't work.
            TrainerError: Training ended without a usable model.
        """

    async def salvage(self, job: TrainingJob, reason: str) -> TrainingOutcome | None:
        """Returns the best models so far of a training that was cut short and isn't resumed.

        Args:
            job: The training; of its inputs nothing is needed but ``work_dir``.
            reason: Why it isn't resumed, as a sentence.

        Returns:
            None if it left no usable model.

        Raises:
            OSError: The job's folder can't be used.
        """
        return None

    async def predict(
        self, job: PredictionJob, *, report: Callable[[PredictionEvent], None], stop: trio.Event
    ) -> PredictionOutcome:
        """Predicts on all frames, or until ``stop`` is set, which keeps the predictions so far.

        Cancelling this call ends all of its processes before it returns. A trainer that can't predict
        doesn't list inference among its capabilities.

        Raises:
            InvalidDatasetError: The dataset can't be read, or has no frames.
            InvalidModelError: A model can't be read, or may not be loaded.
            TrainerError: It ended without predictions.
        """
        raise NotImplementedError
