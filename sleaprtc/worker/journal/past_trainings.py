"""The worker's past trainings, one JSON line for each model, from which it estimates later ones."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from ...base.json_text import parse_json
from ...base.logs import get_logger
from ...jobs.estimate import MODEL_HEADS, PastModel, models_of
from ...protocol.jobs import JobRequest
from ..trainer import EpochEnded

MAX_PAST_MODELS: Final = 500

MOST_COUNTED: Final = 10**9
"""Frames, epochs and seconds above this weren't written by a worker."""

_log = get_logger(__name__)


class EpochClock:
    """Times the epochs of a training, without the time before each model's first epoch."""

    def __init__(self) -> None:
        self._first: dict[str, EpochEnded] = {}
        self._last: dict[str, EpochEnded] = {}
        self.count = 0
        """How many epochs have ended."""

    def take(self, event: EpochEnded) -> None:
        """Records an epoch that has ended."""
        self.count += 1
        self._first.setdefault(event.model, event)
        self._last[event.model] = event

    def timed(self) -> dict[str, tuple[int, float]]:
        """Returns how many epochs of each model were timed, and their total seconds.

        The first epoch includes warming up, and in later models also the time between the models. It counts
        only if it is the only epoch of the job's first model.
        """
        timed: dict[str, tuple[int, float]] = {}
        for number, (model, first) in enumerate(self._first.items()):
            last = self._last[model]
            if last.epoch > first.epoch:
                timed[model] = (last.epoch - first.epoch, last.elapsed_sec - first.elapsed_sec)
            elif number == 0:
                timed[model] = (first.epoch, first.elapsed_sec)
        return {model: (epochs, sec) for model, (epochs, sec) in timed.items() if epochs > 0 and sec > 0}


def past_models(request: JobRequest, clock: EpochClock) -> tuple[PastModel, ...]:
    """Returns what a training shows about its models' speed, however it ended."""
    described = {work.model: work for work in models_of(request, has_gpu=False)}
    # of a model that wasn't asked for by name, only what holds for any is known
    unnamed = described.get(None)
    return tuple(
        PastModel(model, work.frame_count, epochs, sec, work.megapixels, work.filters, work.batch_size)
        for model, (epochs, sec) in clock.timed().items()
        if (work := described.get(model, unnamed)) is not None and request.dataset_info.frame_count
    )


class History:
    """A file of past models. Lines that can't be read are skipped.

    Args:
        path: The file, made with the first training.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.models: list[PastModel] = _read(path)

    def add(self, models: Sequence[PastModel]) -> None:
        """Adds models. What can't be written to disk is kept until the worker ends."""
        self.models = [*self.models, *models][-MAX_PAST_MODELS:]
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(attrs.asdict(model)) + "\n" for model in models)
        except OSError as error:
            _log.warning("The history of trainings can't be written.", error=str(error))


def _read(path: Path) -> list[PastModel]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    models: list[PastModel] = []
    for line in lines[-MAX_PAST_MODELS:]:
        try:
            models.extend(_models_of_line(parse_json(line)))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            continue
    return models[-MAX_PAST_MODELS:]


def _models_of_line(record: Mapping[str, Any]) -> list[PastModel]:
    model = PastModel(
        model=str(record.get("model", "")),
        frame_count=int(record["frame_count"]),
        epochs=int(record["epochs"]),
        duration_sec=float(record["duration_sec"]),
        megapixels=_or_none(record, "megapixels"),
        filters=None if record.get("filters") is None else int(record["filters"]),
        batch_size=None if record.get("batch_size") is None else int(record["batch_size"]),
    )
    counts = (model.frame_count, model.epochs)
    if min(counts) < 1 or max(counts) > MOST_COUNTED or not 0 < model.duration_sec < MOST_COUNTED:
        return []
    if "model" in record:
        return [model]
    # In older files a line was a job: of the epochs of each of its models, with the time of all.
    heads = MODEL_HEADS.get(str(record["model_type"]), ())
    share_sec = model.duration_sec / max(len(heads), 1)
    return [attrs.evolve(model, model=head, duration_sec=share_sec) for head in heads]


def _or_none(record: Mapping[str, Any], name: str) -> float | None:
    value = record.get(name)
    if value is None:
        return None
    number = float(value)
    if not 0 < number < math.inf:
        raise ValueError(name)
    return number
