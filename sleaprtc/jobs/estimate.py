"""Estimates how long a job takes from comparable models that this worker has trained.

A model's time is its epochs times what one takes, and an epoch's time grows with the frames and their pixels.
It also depends on what a request doesn't say, such as the least number of steps in an epoch, so that only
models count that are near in all that is known; where there is none, what comes out is a rough guess.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Final

import attrs

from ..protocol.jobs import JobRequest
from ..protocol.limits import MAX_DURATION_SEC
from ..protocol.vocabulary import JobType

OVERHEAD_SEC: Final = 30.0
"""Starting the interpreter and evaluating at the end: measured at 15 to 40 s with sleap-nn 0.3 on a CPU.
No measured epoch has any of it."""

GPU_SEC_PER_FRAME_EPOCH: Final = 0.01
CPU_SEC_PER_FRAME_EPOCH: Final = 0.1
"""Guesses where nothing comparable was measured: on CPUs 0.04 to 0.3 s were, on frames of up to 512x512."""

GPU_SEC_PER_PREDICTED_FRAME: Final = 0.01
CPU_SEC_PER_PREDICTED_FRAME: Final = 0.05
"""First guesses for predictions; 0.02 s on one core of a CPU for 160x160 frames with two animals."""

MODEL_HEADS: Final[Mapping[str, tuple[str, ...]]] = {
    "base": ("single_instance",),
    "centroid": ("centroid",),
    "topdown": ("centroid", "centered_instance"),
    "bottomup": ("bottomup",),
}
"""The heads that each model type of the protocol trains, in order."""

MAX_EPOCHS: Final = {True: 100, False: 30}
"""Epochs that our workers train if neither the request nor a configuration says, with and without a GPU."""

DEFAULT_FRAMES: Final = 200
DEFAULT_BATCH_SIZE: Final = 4
MOST_APART: Final = 4.0
"""By which factor a comparable model may have more or fewer frames, or pixels, or a larger batch."""

NEAREST_COUNTED: Final = 5


@attrs.frozen
class PastModel:
    """A past training of one model.

    Attributes:
        model: The model's head.
        frame_count: Labelled frames, as the request said.
        epochs: Those that were timed.
        duration_sec: What they took.
        megapixels: Of one image as the network gets it, None where that isn't known.
        filters: Of the network's first block, None where the worker chose.
        batch_size: None where it isn't known.
    """

    model: str
    frame_count: int
    epochs: int
    duration_sec: float
    megapixels: float | None = None
    filters: int | None = None
    batch_size: int | None = None


@attrs.frozen
class ModelWork:
    """One model that a request asks for; as :class:`PastModel`, with the most ``epochs`` it may run."""

    model: str | None
    frame_count: int
    epochs: int
    megapixels: float | None
    filters: int | None
    batch_size: int


def _number(value: object, most: float) -> float | None:
    """Returns a stranger's number, bounded, if it is a positive one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return min(value, most) if value > 0 else None


def _whole(value: object, default: int, most: int) -> int:
    number = _number(value, most)
    return default if number is None or number < 1 else int(number)


def models_of(request: JobRequest, *, has_gpu: bool) -> tuple[ModelWork, ...]:
    """Returns which models a training would train, as far as its request tells."""
    config = request.config
    model_type = config.get("model_type")
    heads = MODEL_HEADS.get(model_type, ()) if isinstance(model_type, str) else ()
    described = dict(_described(config.get("models")))
    wanted = tuple(head for head in described if head in heads or not heads) or heads or (None,)
    return tuple(_work_of(request, head, described.get(head, {}), has_gpu) for head in wanted)


def _described(listed: object) -> Iterator[tuple[str | None, Mapping[str, object]]]:
    known = {head for heads in MODEL_HEADS.values() for head in heads}
    for entry in listed if isinstance(listed, list) else ():
        head = entry.get("model") if isinstance(entry, dict) else None
        if isinstance(head, str) and head in known:
            yield head, entry


def _work_of(
    request: JobRequest, head: str | None, described: Mapping[str, object], has_gpu: bool
) -> ModelWork:
    config, info = request.config, request.dataset_info
    epochs = _whole(described.get("epochs"), MAX_EPOCHS[has_gpu], 100_000)
    batch_size = _whole(described.get("batch_size"), DEFAULT_BATCH_SIZE, 10_000)
    return ModelWork(
        model=head,
        frame_count=_whole(info.frame_count, DEFAULT_FRAMES, 10_000_000),
        epochs=_whole(config.get("epochs"), epochs, 100_000),
        megapixels=_network_megapixels(head, described, _number(info.frame_megapixels, 1e6)),
        filters=_whole(described.get("filters"), 0, 10_000) or None,
        batch_size=_whole(config.get("batch_size"), batch_size, 10_000),
    )


def _network_megapixels(
    head: str | None, described: Mapping[str, object], frame_megapixels: float | None
) -> float | None:
    scale = _number(described.get("scale"), 100.0) or 1.0
    if head == "centered_instance":
        crop_px = _number(described.get("crop_size"), 1e5)
        # a crop that the worker chooses follows the animals, which grow with the frames
        side_px = None if crop_px is None else crop_px * scale
        return frame_megapixels if side_px is None else side_px * side_px / 1e6
    return None if frame_megapixels is None else frame_megapixels * scale * scale


# --- comparing ------------------------------------------------------------------------------


def _apart(one: float | None, other: float | None) -> float:
    """Returns the logarithm of the ratio of two sizes; 0 if both are unknown, that of 2 if one is."""
    if one is None or other is None:
        return 0.0 if one is other else math.log(2)
    return abs(math.log(one) - math.log(other)) if min(one, other) > 0 else math.inf


def _distance(past: PastModel, work: ModelWork) -> float:
    """Returns how far a past model is from a requested one; infinite if they don't compare."""
    if past.model != work.model or past.filters != work.filters:
        return math.inf
    if past.duration_sec <= 0 or past.epochs < 1:
        return math.inf
    parts = (
        _apart(past.frame_count, work.frame_count),
        _apart(past.megapixels, work.megapixels),
        _apart(past.batch_size, work.batch_size),
    )
    return sum(parts) if max(parts) <= math.log(MOST_APART) + 1e-9 else math.inf


def _epoch_sec(past: PastModel, work: ModelWork) -> float:
    """Returns what an epoch of ``work`` would take at the speed of a past model."""
    factor = work.frame_count / past.frame_count
    if work.megapixels is not None and past.megapixels is not None:
        factor *= work.megapixels / past.megapixels
    return factor * past.duration_sec / past.epochs


def measured_epoch_sec(work: ModelWork, past: Sequence[PastModel]) -> float | None:
    """Estimates an epoch from the nearest comparable models, the latest first; None if there are none."""
    near = [(distance, model) for model in reversed(past) if (distance := _distance(model, work)) < math.inf]
    near.sort(key=lambda pair: pair[0])
    # what is much farther than the nearest would only blur it
    reach = near[0][0] + math.log(1.2) if near else 0.0
    chosen = [model for distance, model in near[:NEAREST_COUNTED] if distance <= reach]
    return median(_epoch_sec(model, work) for model in chosen) if chosen else None


def estimated_duration_minutes(request: JobRequest, past: Sequence[PastModel], *, has_gpu: bool) -> float:
    """Estimates a training as all epochs of all its models; early stopping isn't considered.

    The protocol can't express a missing estimate, so a model that compares to nothing in the past is guessed.
    A prediction is estimated from its frames alone.
    """
    if request.job_type == JobType.INFERENCE:
        return _estimated_prediction_minutes(request, has_gpu)
    guess = GPU_SEC_PER_FRAME_EPOCH if has_gpu else CPU_SEC_PER_FRAME_EPOCH
    seconds = OVERHEAD_SEC
    for work in models_of(request, has_gpu=has_gpu):
        measured = measured_epoch_sec(work, past)
        seconds += work.epochs * (guess * work.frame_count if measured is None else measured)
    return round(min(seconds, MAX_DURATION_SEC) / 60, 2)


def _estimated_prediction_minutes(request: JobRequest, has_gpu: bool) -> float:
    frames = _whole(request.dataset_info.frame_count, DEFAULT_FRAMES, 10_000_000)
    speed = GPU_SEC_PER_PREDICTED_FRAME if has_gpu else CPU_SEC_PER_PREDICTED_FRAME
    return round(min(OVERHEAD_SEC + speed * frames, MAX_DURATION_SEC) / 60, 2)
