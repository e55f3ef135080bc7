"""What a job does differently from its defaults: a request's ``config`` (protocol reference, section 3)."""

from __future__ import annotations

import math
import numbers
import operator
from typing import Final

import attrs

from ....errors import UsageError
from ....jobs.estimate import MODEL_HEADS
from ....protocol.messages import JSONObject
from ....protocol.vocabulary import PredictionFormat
from ...inputs.model_descriptions import ModelDescription

MOST_EPOCHS: Final = 100_000
MOST_AT_ONCE: Final = 4096
"""Frames, or crops, per step."""


def whole_number(name: str, value: object, *, least: int = 1, most: int) -> int:
    """Returns a setting that is a whole number.

    Raises:
        UsageError: It is something else, or out of range.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # NumPy's whole numbers have it, too
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or not least <= number <= most:
        raise UsageError(f"{name} must be a whole number from {least} to {most}, not {value!r}.")
    return number


def number_above_zero(name: str, value: object, *, most: float = math.inf, or_zero: bool = False) -> float:
    """Returns a setting that is a number.

    Raises:
        UsageError: It is something else, or out of range.
    """
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    number = float(value) if isinstance(value, numbers.Real) else math.nan
    is_in_range = (number >= 0 if or_zero else number > 0) and number <= most
    if not is_number or not is_in_range or math.isinf(number):
        limits = f"from 0 to {most:g}" if most != math.inf else "of 0 or more" if or_zero else "above 0"
        raise UsageError(f"{name} must be a number {limits}, not {value!r}.")
    return number


def _epochs(value: object) -> int | None:
    return None if value is None else whole_number("epochs", value, most=MOST_EPOCHS)


def _batch_size(value: object) -> int | None:
    return None if value is None else whole_number("batch_size", value, most=MOST_AT_ONCE)


def _learning_rate(value: object) -> float | None:
    return None if value is None else number_above_zero("learning_rate", value)


def _peak_threshold(value: object) -> float | None:
    return None if value is None else number_above_zero("peak_threshold", value, most=1.0, or_zero=True)


def _frames(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise UsageError(f"frames must be a text such as '0-99,120', not {value!r}.")
    return value


@attrs.frozen
class TrainingSettings:
    """How to train; the worker chooses what is None, to suit the labels.

    Attributes:
        model_type: ``base``, ``centroid``, ``topdown`` or ``bottomup``.
        epochs: The most epochs for each model.
        batch_size: Frames, or crops, per step.
        learning_rate: The optimizer's.
        models: The models that the job's configurations describe, in training order.

    Raises:
        UsageError: A value isn't one of its kind, or is out of range.
    """

    model_type: str | None = None
    epochs: int | None = attrs.field(default=None, converter=_epochs)
    batch_size: int | None = attrs.field(default=None, converter=_batch_size)
    learning_rate: float | None = attrs.field(default=None, converter=_learning_rate)
    models: tuple[ModelDescription, ...] = ()

    def __attrs_post_init__(self) -> None:
        """Checks the model type."""
        if self.model_type is not None and self.model_type not in MODEL_HEADS:
            raise UsageError(f"model_type must be one of {', '.join(MODEL_HEADS)}, not {self.model_type!r}.")

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
        frames: The frames to predict, such as ``0-99,120``; all by default.
        tracking: Whether to follow animals from frame to frame.
        format: In which format to write the predictions; ``.slp`` by default.

    Raises:
        UsageError: A value isn't one of its kind, or is out of range.
    """

    peak_threshold: float | None = attrs.field(default=None, converter=_peak_threshold)
    batch_size: int | None = attrs.field(default=None, converter=_batch_size)
    frames: str | None = attrs.field(default=None, converter=_frames)
    tracking: bool | None = None
    format: PredictionFormat | None = None

    def as_json(self) -> JSONObject:
        """Returns the request's ``config``."""
        return _given(attrs.asdict(self))


def _given(values: JSONObject) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}
