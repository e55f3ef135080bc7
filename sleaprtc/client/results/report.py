"""A model's report: what its worker measured, read from its files, and completed with what was seen here.

Files of a report come from a worker, and so from a stranger: numbers are parsed strictly, and pictures are
passed on to the person without being opened.
"""

from __future__ import annotations

import csv
import itertools
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ...base.json_text import parse_json
from ...base.sentences import as_clause
from ..events.losses import MAX_EPOCH, MAX_EPOCHS, EpochLosses, ModelLosses
from ..events.model import ModelReport
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
"""Bounds to what is read of a worker's report, far above what is in an honest one."""


def report_dir(model: Path) -> Path:
    """Where a model's report is: in its folder, or beside a model that is a single file."""
    return model / "report" if model.is_dir() else model.with_name(f"{model.name}.report")


def complete_report(model: Path, head: str, seen: ModelLosses | None) -> ModelReport:
    """Reads a model's report, and adds the files that are still missing from it.

    Args:
        model: The model's folder, or its only file.
        head: What its worker calls it.
        seen: Its losses as statuses told them, used where the worker sent no table of them.
    """
    folder = report_dir(model)
    problems: list[str] = []
    document = _read_metrics(folder / METRICS_FILE, problems)
    losses = _read_losses(folder / LOSSES_FILE, head, problems) or seen
    if losses is not None:
        _add_files(folder, losses, problems)
    best = None if losses is None else losses.best
    split, metrics = _chosen_split(document)
    told = document.get("problems")
    return ModelReport(
        model=head,
        model_dir=str(model),
        epochs=None if losses is None else losses.epochs[-1].epoch,
        best_epoch=None if best is None else best.epoch,
        best_val_loss=None if best is None else best.val_loss,
        split=split,
        **metrics,
        pictures=_present(folder, (LOSSES_PICTURE, PREDICTIONS_PICTURE)),
        files=_present(folder, (METRICS_FILE, LOSSES_FILE, EVENTS_FILES)),
        problems=(*(_sentences(told) if isinstance(told, list) else ()), *problems),
    )


def complete_reports(
    models: Sequence[Path], names: Sequence[str], seen: Sequence[ModelLosses]
) -> tuple[ModelReport, ...]:
    """Reads the reports of what a job brought home, as :func:`complete_report` does.

    Args:
        models: Where the models are; where they came as single files, the first of these stands for all.
        names: What the worker called them.
        seen: The losses that it told of.
    """
    named = list(zip(models, names, strict=True))
    found = [(model, name) for model, name in named if model.is_dir()] or named[:1]
    losses = _match_losses([name for _, name in found], seen)
    return tuple(complete_report(*model, known) for model, known in zip(found, losses, strict=True))


def _match_losses(names: Sequence[str], seen: Sequence[ModelLosses]) -> list[ModelLosses | None]:
    """Finds each model's losses: by name, or in order where the worker has other names for them."""
    by_name = {losses.model: losses for losses in seen}
    if not set(names) & set(by_name) and len(names) == len(seen):
        return list(seen)
    return [by_name.get(name) for name in names]


def _present(folder: Path, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(path) for name in names for path in sorted(folder.glob(name)) if path.is_file())


def _sentences(told: list[Any]) -> tuple[str, ...]:
    return tuple(text[:MAX_PROBLEM_CHARS] for text in told[:MAX_PROBLEMS] if isinstance(text, str))


def _add_files(folder: Path, losses: ModelLosses, problems: list[str]) -> None:
    """Writes what the worker didn't send: its losses as a table, as curves, and as events."""
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
        # matplotlib and TensorBoard's protobuf can be installed and not work, in more ways than one
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
        raise ValueError("it has other columns")
    epochs = [_epoch(*row) for row in itertools.islice(rows, MAX_EPOCHS)]
    if any(later.epoch <= earlier.epoch for earlier, later in itertools.pairwise(epochs)):
        raise ValueError("its epochs are out of order")
    return epochs


def _epoch(epoch: str, train_loss: str, val_loss: str) -> EpochLosses:
    number = int(epoch)
    if not 0 < number <= MAX_EPOCH:
        raise ValueError(f"{number} is no epoch")
    return EpochLosses(number, _loss(train_loss), _loss(val_loss))


def _loss(cell: str) -> float | None:
    if not cell:
        return None
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError(f"{value} is no loss")
    return value


def _chosen_split(document: dict[str, Any]) -> tuple[str | None, dict[str, float | None]]:
    """Takes what was measured on held-out frames, or on the others where there is nothing else."""
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
