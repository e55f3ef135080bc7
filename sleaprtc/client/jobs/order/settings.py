"""What a job does differently from its defaults: a request's ``config`` (protocol reference, section 3)."""

from __future__ import annotations

import attrs

from ....protocol.messages import JSONObject
from ...inputs.model_descriptions import ModelDescription


@attrs.frozen
class TrainingSettings:
    """How to train; the worker chooses what is None, to suit the labels.

    Attributes:
        model_type: ``base``, ``centroid``, ``topdown`` or ``bottomup``.
        epochs: The most epochs for each model.
        batch_size: Frames, or crops, per step.
        learning_rate: The optimizer's.
        models: The models that the job's configurations describe, in training order.
    """

    model_type: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    models: tuple[ModelDescription, ...] = ()

    def as_json(self) -> JSONObject:
        """Returns the request's ``config``."""
        models = [model.as_json() for model in self.models]
        own = {name: value for name, value in attrs.asdict(self, recurse=False).items() if name != "models"}
        return _given(own) | ({"models": models} if models else {})


@attrs.frozen
class PredictionSettings:
    """How to predict; the worker chooses what is None.

    Attributes:
        peak_threshold: The least confidence of a node, 0.0 to 1.0.
        batch_size: Frames per step.
        frames: The frames to look at, such as ``0-99,120``; all by default.
        tracking: Whether to follow animals from frame to frame.
    """

    peak_threshold: float | None = None
    batch_size: int | None = None
    frames: str | None = None
    tracking: bool | None = None

    def as_json(self) -> JSONObject:
        """Returns the request's ``config``."""
        return _given(attrs.asdict(self))


def _given(values: JSONObject) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}
