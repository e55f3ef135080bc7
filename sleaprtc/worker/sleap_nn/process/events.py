"""What the runner's process reports, as values.

The runner writes one JSON object per line, whose ``event`` names it (``runner/parent.py``). It runs in an
environment of its own, so its words are checked like any others: what can't be read counts as not said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import attrs

from ....protocol.vocabulary import ErrorCode
from ...trainer import FramesPredicted, StageStarted


@attrs.frozen
class Installed:
    """Versions of the packages that the trainer's Python has, by their names."""

    versions: Mapping[str, str]


@attrs.frozen
class DeviceFound:
    """What the installed torch can compute on, and for which CUDA it is built."""

    device: str | None
    torch_cuda: str | None


@attrs.frozen
class Converted:
    """Configurations of sleap-nn, each made from one of SLEAP's old profiles."""

    configs: tuple[Mapping[str, object], ...]


@attrs.frozen
class EpochReported:
    """One epoch of one model is over. A loss is None where it is no finite number."""

    model: str
    epoch: int
    total_epochs: int
    train_loss: float | None
    val_loss: float | None
    device: str
    elapsed_sec: float


@attrs.frozen
class ModelTrained:
    """A model as its training left it; ``best_loss`` is None where it is no finite number."""

    head: str
    best_loss: float | None
    epochs: int
    device: str


@attrs.frozen
class TrainingDone:
    """The runner's last word on a training."""

    models: tuple[ModelTrained, ...]
    duration_sec: float


@attrs.frozen
class PredictionDone:
    """The runner's last word on a prediction."""

    frame_count: int
    duration_sec: float
    device: str


@attrs.frozen
class RunnerFailed:
    """The runner's last word where something went wrong; ``message`` is a sentence."""

    code: str
    message: str


RunnerEvent: TypeAlias = (
    Installed
    | DeviceFound
    | Converted
    | StageStarted
    | EpochReported
    | FramesPredicted
    | TrainingDone
    | PredictionDone
    | RunnerFailed
)


def read_event(said: Mapping[str, object]) -> RunnerEvent | None:
    """Reads one event; None for one that is unknown or lacks something."""
    read = _READERS.get(str(said.get("event")))
    try:
        return None if read is None else read(_Fields(said))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


@attrs.frozen
class _Fields:
    """The fields of a JSON object; reading one raises what :func:`read_event` catches."""

    said: Mapping[str, object]

    def text(self, name: str) -> str:
        value = self.said[name]
        if not isinstance(value, str):
            raise TypeError(name)
        return value

    def text_or_none(self, name: str) -> str | None:
        return None if self.said.get(name) is None else self.text(name)

    def number(self, name: str) -> float:
        value = self.said[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(name)
        return value

    def number_or_none(self, name: str) -> float | None:
        return None if self.said.get(name) is None else self.number(name)

    def count(self, name: str) -> int:
        return int(self.number(name))

    def objects(self, name: str) -> tuple[Mapping[str, object], ...]:
        values = self.said[name]
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise TypeError(name)
        return tuple(values)


def _installed(fields: _Fields) -> Installed:
    versions = fields.said["versions"]
    if not isinstance(versions, dict):
        raise TypeError("versions")
    return Installed({str(name): str(version) for name, version in versions.items()})


def _epoch(fields: _Fields) -> EpochReported:
    return EpochReported(
        model=fields.text("model"),
        epoch=fields.count("epoch"),
        total_epochs=fields.count("total_epochs"),
        train_loss=fields.number_or_none("train_loss"),
        val_loss=fields.number_or_none("val_loss"),
        device=fields.text("device"),
        elapsed_sec=fields.number("elapsed_sec"),
    )


def _frames(fields: _Fields) -> FramesPredicted:
    return FramesPredicted(
        frames_done=fields.count("frames_done"),
        total_frames=fields.count("total_frames"),
        frames_per_sec=fields.number("frames_per_sec"),
        device=fields.text("device"),
    )


def _stage(fields: _Fields) -> StageStarted:
    return StageStarted(
        fields.text("stage"),
        fields.text("message"),
        fields.text_or_none("model"),
        fields.text_or_none("device"),
    )


def _done(fields: _Fields) -> TrainingDone | PredictionDone:
    duration_sec = fields.number("duration_sec")
    if "models" not in fields.said:
        return PredictionDone(fields.count("frame_count"), duration_sec, fields.text("device"))
    return TrainingDone(tuple(_model(_Fields(model)) for model in fields.objects("models")), duration_sec)


def _model(fields: _Fields) -> ModelTrained:
    return ModelTrained(
        head=fields.text("head"),
        best_loss=fields.number_or_none("best_loss"),
        epochs=fields.count("epochs"),
        device=fields.text("device"),
    )


def _failed(fields: _Fields) -> RunnerFailed:
    code, message = fields.said.get("code"), fields.said.get("message")
    return RunnerFailed(str(code or ErrorCode.TRAINING_FAILED), str(message or "Training failed."))


_READERS: Final[Mapping[str, Callable[[_Fields], RunnerEvent]]] = {
    "installed": _installed,
    "device": lambda fields: DeviceFound(fields.text_or_none("device"), fields.text_or_none("torch_cuda")),
    "converted": lambda fields: Converted(fields.objects("configs")),
    "stage": _stage,
    "epoch": _epoch,
    "frames": _frames,
    "done": _done,
    "failed": _failed,
}
