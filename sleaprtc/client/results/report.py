"""Reads the report that a worker sent with a model, and adds what is missing from it.

The worker isn't trusted: numbers are parsed strictly, and pictures are passed on to the user without being
opened.
"""

from __future__ import annotations

import csv
import itertools
import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from ...base.json_text import parse_json
from ...base.sentences import as_clause
from ...formats.documents import MAX_WHOLE_NUMBER
from ..events.losses import MAX_EPOCH, MAX_EPOCHS, EpochLosses, ModelLosses
from ..events.model import ChangedSetting, ChosenSetting, ModelReport, Value
from .report_files import (
    EVENTS_FILES,
    LOSSES_COLUMNS,
    LOSSES_FILE,
    LOSSES_PICTURE,
    METRICS_FILE,
    PREDICTIONS_PICTURE,
    draw_losses,
    write_losses,
    write_tensorboard,
)

_log = logging.getLogger(__name__)

MAX_METRICS_BYTES: Final = 256 * 1024
MAX_LOSSES_BYTES: Final = 16 * 2**20
MAX_PROBLEMS: Final = 10
MAX_PROBLEM_CHARS: Final = 300
MAX_SETTINGS: Final = 500
MAX_SETTING_CHARS: Final = 200
MAX_FRAMES: Final = 10**9
"""Limits for what is read of a worker's report, far above what an honest one contains."""


def report_dir(model: Path) -> Path:
    """Returns the folder of a model's report: inside the model's folder, or beside a model in one file."""
    return model / "report" if model.is_dir() else model.with_name(f"{model.name}.report")


def complete_report(model: Path, head: str, seen: ModelLosses | None) -> ModelReport:
    """Reads a model's report, and adds the files that are missing from it.

    Args:
        model: The model's folder, or its only file.
        head: The worker's name for it.
        seen: Its losses as reported by statuses, used if the worker sent no table of losses.
    """
    folder = report_dir(model)
    problems: list[str] = []
    document = _read_metrics(folder / METRICS_FILE, problems)
    losses = _read_losses(folder / LOSSES_FILE, head, problems) or seen
    if losses is not None:
        _add_files(folder, losses, problems)
    best = None if losses is None else _stated_best(document, losses) or losses.best
    split, metrics = _chosen_split(document)
    told = document.get("problems")
    validation, settings = _section(document, "validation"), _section(document, "settings")
    return ModelReport(
        model=head,
        model_dir=str(model),
        epochs=None if losses is None else losses.epochs[-1].epoch,
        best_epoch=None if best is None else best.epoch,
        best_val_loss=None if best is None else best.val_loss,
        validation=_short_text(validation.get("source")),
        val_frames=_frame_count(validation.get("frames")),
        train_frames=_frame_count(validation.get("train_frames")),
        split=split,
        **metrics,
        pictures=_present(folder, (LOSSES_PICTURE, PREDICTIONS_PICTURE)),
        files=_present(folder, (METRICS_FILE, LOSSES_FILE, EVENTS_FILES)),
        problems=(*(_sentences(told) if isinstance(told, list) else ()), *problems),
        configuration=_short_text(settings.get("configuration")),
        changed=tuple(_changed(*entry) for entry in _entries(settings.get("changed"))),
        chosen=tuple(
            ChosenSetting(key, _value(entry.get("used"))) for key, entry in _entries(settings.get("chosen"))
        ),
    )


def _stated_best(document: dict[str, Any], losses: ModelLosses) -> EpochLosses | None:
    """The epoch that the worker says it kept: of losses without validation, only it knows."""
    stated = document.get("best_epoch")
    return next((epoch for epoch in losses.epochs if type(stated) is int and epoch.epoch == stated), None)


def complete_reports(
    models: Sequence[Path], names: Sequence[str], seen: Sequence[ModelLosses]
) -> tuple[ModelReport, ...]:
    """Completes the report of each model of a job, as :func:`complete_report` does.

    Args:
        models: The models' paths. Folders get a report; if there are none, the first file gets one.
        names: The worker's names for them.
        seen: The losses that the worker's statuses reported.
    """
    named = list(zip(models, names, strict=True))
    found = [(model, name) for model, name in named if model.is_dir()] or named[:1]
    losses = _match_losses([name for _, name in found], seen)
    return tuple(complete_report(*model, known) for model, known in zip(found, losses, strict=True))


def _match_losses(names: Sequence[str], seen: Sequence[ModelLosses]) -> list[ModelLosses | None]:
    """Finds each model's losses: by name, or in order if the worker uses other names for them."""
    by_name = {losses.model: losses for losses in seen}
    if not set(names) & set(by_name) and len(names) == len(seen):
        return list(seen)
    return [by_name.get(name) for name in names]


def _present(folder: Path, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(path) for name in names for path in sorted(folder.glob(name)) if path.is_file())


def _sentences(told: list[Any]) -> tuple[str, ...]:
    return tuple(text[:MAX_PROBLEM_CHARS] for text in told[:MAX_PROBLEMS] if isinstance(text, str))


def _section(document: dict[str, Any], name: str) -> dict[str, Any]:
    section = document.get(name)
    return section if isinstance(section, dict) else {}


def _short_text(value: object) -> str | None:
    return value[:MAX_SETTING_CHARS] if isinstance(value, str) else None


def _frame_count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_FRAMES else None


def _entries(listed: object) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the settings of a list by their keys; what isn't one is left out."""
    for entry in itertools.islice(listed if isinstance(listed, list) else (), MAX_SETTINGS):
        key = _short_text(entry.get("key")) if isinstance(entry, dict) else None
        if key is not None:
            yield key, entry


def _changed(key: str, entry: dict[str, Any]) -> ChangedSetting:
    asked, used = (_value(entry.get(name)) for name in ("asked", "used"))
    return ChangedSetting(key, asked, used, given=entry.get("given") is True)


def _value(value: object) -> Value:
    """Returns a setting's value: a flag, a text, a number of ordinary size, or None."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if abs(value) <= MAX_WHOLE_NUMBER else None
    return _short_text(value)


def _add_files(folder: Path, losses: ModelLosses, problems: list[str]) -> None:
    """Writes the files that the worker didn't send: the losses as a table, as curves and as events."""
    try:
        folder.mkdir(exist_ok=True)
        if not (folder / LOSSES_FILE).exists():
            write_losses(folder / LOSSES_FILE, losses)
        if not (folder / LOSSES_PICTURE).exists():
            draw_losses(folder / LOSSES_PICTURE, losses)
        if not any(folder.glob(EVENTS_FILES)):
            write_tensorboard(folder, losses)
    except OSError as error:
        problems.append(f"The report can't be written to {folder}: {as_clause(error)}.")
    except Exception as error:
        # matplotlib and TensorBoard's protobuf may be installed and still fail, in several ways
        _log.debug("A part of the report failed.", exc_info=True)
        problems.append(f"A part of the report can't be made ({type(error).__name__}: {as_clause(error)}).")


def _read_text(path: Path, max_bytes: int) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"more than {max_bytes} bytes")
    return content.decode("ascii")


def _read_metrics(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        text = _read_text(path, MAX_METRICS_BYTES)
        document = {} if text is None else parse_json(text)
    except (ValueError, RecursionError, OSError) as error:
        problems.append(f"The worker's {METRICS_FILE} can't be read ({as_clause(error)}).")
        return {}
    return document if isinstance(document, dict) else {}


def _read_losses(path: Path, head: str, problems: list[str]) -> ModelLosses | None:
    try:
        text = _read_text(path, MAX_LOSSES_BYTES)
        epochs = [] if text is None else _parse_losses(text)
    except (ValueError, TypeError, csv.Error, OSError) as error:
        problems.append(f"The worker's {LOSSES_FILE} can't be read ({as_clause(error)}).")
        return None
    return ModelLosses(head, None, epochs) if epochs else None


def _parse_losses(text: str) -> list[EpochLosses]:
    rows = csv.reader(text.splitlines(), strict=True)
    if tuple(next(rows, ())) != LOSSES_COLUMNS:
        raise ValueError("it has unexpected columns")
    epochs = [_epoch(*row) for row in itertools.islice(rows, MAX_EPOCHS)]
    if any(later.epoch <= earlier.epoch for earlier, later in itertools.pairwise(epochs)):
        raise ValueError("its epochs are out of order")
    return epochs


def _epoch(epoch: str, train_loss: str, val_loss: str) -> EpochLosses:
    number = int(epoch)
    if not 0 < number <= MAX_EPOCH:
        raise ValueError(f"{number} isn't a valid epoch")
    return EpochLosses(number, _loss(train_loss), _loss(val_loss))


def _loss(cell: str) -> float | None:
    if not cell:
        return None
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError(f"{value} isn't a valid loss")
    return value


def _chosen_split(document: dict[str, Any]) -> tuple[str | None, dict[str, float | None]]:
    """Returns the metrics for the validation frames, or for the training frames if there are no others.

    Returns:
        The split's name, None if there are no metrics, and the metrics under ``ModelReport``'s field names.
    """
    splits = document.get("splits")
    for name in ("val", "train"):
        split = splits.get(name) if isinstance(splits, dict) else None
        if isinstance(split, dict) and split:
            found = {
                "error_px_mean": _metric(split, "distance_px", "mean"),
                "error_px_median": _metric(split, "distance_px", "p50"),
                "error_px_p95": _metric(split, "distance_px", "p95"),
                "oks_map": _metric(split, "oks", "map"),
                "pck_mean": _metric(split, "pck", "mean"),
            }
            for kind in ("precision", "recall"):
                animals, points = _metric(split, "detection", kind), _metric(split, "visibility", kind)
                found[kind] = points if animals is None else animals
            return name, found
    return None, {}


def _metric(split: dict[str, Any], section: str, name: str) -> float | None:
    values = split.get(section)
    value = values.get(name) if isinstance(values, dict) else None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
