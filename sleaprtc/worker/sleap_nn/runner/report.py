"""A finished model's report: losses, metrics and pictures, in the folder ``report`` beside the model.

A report is made for the reader's pleasure: what goes wrong with it is said, and costs the model nothing.
"""

import csv
import json
import math
import pathlib
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .parent import reason_of
from .pictures import Losses, choose_frames, draw_losses, draw_predictions
from .validation import TRAINED_ON

FOLDER = "report"
LOSSES_FILE, METRICS_FILE = "losses.csv", "metrics.json"
LOSSES_PICTURE, PREDICTIONS_PICTURE = "losses.png", "predictions.png"
VERSION = 1  # of metrics.json, documented in docs/reference/report.md

PICTURES_SEC = 60.0  # matplotlib's first import may look through all fonts of the machine

SPLIT_NAMES = {"val": "validation", "train": "training"}

NO_METRICS = (
    "There are no metrics: on the frames that it is measured on, the model found no animal yet, or sleap-nn "
    "evaluated none. Train longer."
)

METRIC_NAMES = {
    "distance_px": {
        "mean": ("distance_metrics", "avg"),
        **{name: ("distance_metrics", name) for name in ("p50", "p75", "p90", "p95", "p99")},
    },
    "oks": {
        "mean": ("mOKS", "mOKS"),
        "map": ("voc_metrics", "oks_voc.mAP"),
        "mar": ("voc_metrics", "oks_voc.mAR"),
    },
    "pck": {
        "mean": ("pck_metrics", "mPCK"),
        "at_5_px": ("pck_metrics", "PCK@5"),
        "at_10_px": ("pck_metrics", "PCK@10"),
        "map": ("voc_metrics", "pck_voc.mAP"),
    },
    "visibility": {name: ("visibility_metrics", name) for name in ("precision", "recall")},
    "detection": {name: ("detection_metrics", name) for name in ("precision", "recall", "f1")},
}
"""Section and name in a report, and where sleap-nn has the value."""


def make_report(
    directory: pathlib.Path,
    head: str,
    losses: Sequence[Losses],
    best_epoch: int | None,
    videos: Sequence[Any],
    *,
    settings: Mapping[str, Any] | None = None,
    validation: Mapping[str, Any] | None = None,
    warning: str | None = None,
) -> list[str]:
    """Writes a model's report.

    Args:
        directory: The model's folder, with what sleap-nn's evaluation left in it.
        head: The model's name.
        losses: Epoch, training loss and validation loss, in order.
        best_epoch: The epoch whose model was kept.
        videos: The images that the labels are on.
        settings: How its settings came about, see :mod:`.settings`.
        validation: What it was validated on, see :mod:`.validation`; None if that isn't known.
        warning: A sentence on why its numbers say little.

    Returns:
        What is missing or says little, a sentence each; nothing is raised.
    """
    folder = directory / FOLDER
    problems: list[str] = [] if warning is None else [warning]
    measured = ("train",) if validation and validation["source"] == TRAINED_ON else ("val", "train")
    splits: dict[str, Any] = {}

    def draw_curves() -> None:
        draw_losses(folder / LOSSES_PICTURE, head, losses, best_epoch)

    def draw_frames() -> None:
        split, frames = predicted_frames(directory, videos, measured)
        draw_predictions(folder / PREDICTIONS_PICTURE, head, split, frames)

    def draw() -> None:
        _attempt("There is no picture of the losses", draw_curves, problems)
        _attempt("There is no picture of predictions", draw_frames, problems)

    def read() -> None:
        splits.update(read_metrics(directory))
        if "val" not in measured:
            splits.pop("val", None)  # the same frames as those of "train"

    def summarize() -> None:
        facts = {"validation": validation, "splits": splits, "settings": settings, "problems": problems}
        _summarize(folder, head, losses, best_epoch, facts)

    def write() -> None:
        _write_table(folder, losses)

    _attempt("There is no table of losses", write, problems)
    if any(directory.glob("metrics.*.*")):
        _attempt("There are no metrics", read, problems)
    else:
        problems.append(NO_METRICS)
    drawing = threading.Thread(target=draw, daemon=True)
    drawing.start()
    drawing.join(PICTURES_SEC)
    if drawing.is_alive():
        problems.append(f"Drawing pictures took longer than {PICTURES_SEC:.0f} seconds, and was given up.")
    _attempt("There is no summary", summarize, problems)
    return problems


def add_problem(directory: pathlib.Path, problem: str) -> None:
    """Adds a sentence to an existing report. If that fails, nothing else does."""
    path = directory / FOLDER / METRICS_FILE
    try:
        summary = json.loads(path.read_text())
        summary["problems"].append(problem)
        path.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n")
    except Exception:
        traceback.print_exc()


def _attempt(missing: str, action: Callable[[], None], problems: list[str]) -> None:
    try:
        action()
    except Exception as error:
        traceback.print_exc()
        problems.append(f"{missing} ({reason_of(error)}).")


def make_unmeasured_report(
    directory: pathlib.Path,
    head: str,
    losses: Sequence[Losses],
    best_epoch: int,
    *,
    settings: Mapping[str, Any] | None,
    validation: Mapping[str, Any] | None,
    problem: str,
) -> None:
    """Writes the report of a model that was never evaluated: its losses, and ``problem``, which says why.

    Whatever goes wrong with it is printed, and costs the model nothing.
    """
    folder = directory / FOLDER
    facts = {"validation": validation, "splits": {}, "settings": settings, "problems": [problem]}
    for action in (
        lambda: _write_table(folder, losses),
        lambda: _summarize(folder, head, losses, best_epoch, facts),
    ):
        _attempt("A part of the report is missing", action, [])


def _write_table(folder: pathlib.Path, losses: Sequence[Losses]) -> None:
    folder.mkdir(exist_ok=True)
    write_losses(folder / LOSSES_FILE, losses)


def _summarize(
    folder: pathlib.Path,
    head: str,
    losses: Sequence[Losses],
    best_epoch: int | None,
    facts: Mapping[str, Any],
) -> None:
    counts = {"version": VERSION, "model": head, "epochs": len(losses), "best_epoch": best_epoch}
    text = json.dumps({**counts, **facts}, indent=1, allow_nan=False)
    (folder / METRICS_FILE).write_text(text + "\n")


def write_losses(path: pathlib.Path, losses: Sequence[Losses]) -> None:
    """Writes one line for each epoch. A missing or infinite loss is an empty cell."""
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("epoch", "train_loss", "val_loss"))
        for epoch, *values in losses:
            table.writerow((epoch, *("" if v is None or not math.isfinite(v) else v for v in values)))


def read_metrics(directory: pathlib.Path) -> dict[str, dict[str, dict[str, float]]]:
    """Takes single numbers from what sleap-nn measured, by split: ``train``, ``val``, and ``test`` if any."""
    splits: dict[str, dict[str, dict[str, float]]] = {}
    for path in sorted(directory.glob("metrics.*.*")):
        split = path.name.split(".")[1]
        if split not in splits and path.suffix in (".json", ".npz"):
            splits[split] = name_metrics(_read_document(path))
    if not splits:
        raise FileNotFoundError("sleap-nn's evaluation left none")
    return splits


def _read_document(path: pathlib.Path) -> Mapping[str, Any]:
    """Reads a metrics file, which sleap-nn has just written: older releases write pickled ones only."""
    if path.suffix == ".json":
        document: Mapping[str, Any] = json.loads(path.read_text())
        return document
    import numpy as np

    with np.load(path, allow_pickle=True) as arrays:
        found: Mapping[str, Any] = arrays["metrics"].item()
    return found


def name_metrics(document: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Names the numbers of one of sleap-nn's metrics files; what it doesn't have is left out."""
    named: dict[str, dict[str, float]] = {}
    for section, names in METRIC_NAMES.items():
        for name, (their_section, their_name) in names.items():
            value = (document.get(their_section) or {}).get(their_name)
            if isinstance(value, int | float) and math.isfinite(value):
                named.setdefault(section, {})[name] = float(value)
    return named


def predicted_frames(
    directory: pathlib.Path, videos: Sequence[Any], measured: Sequence[str]
) -> tuple[str, Any]:
    """Finds frames with predictions, in the first of these splits that has some."""
    import sleap_io

    for split in measured:
        files = [directory / f"labels_{kind}.{split}.0.slp" for kind in ("gt", "pr")]
        if all(file.is_file() for file in files):
            # the paths of videos in these files are a stranger's: the images come from what is open already
            true, predicted = (sleap_io.load_slp(str(file), open_videos=False) for file in files)
            frames = choose_frames(true, predicted, videos)
            if frames:
                return SPLIT_NAMES[split], frames
    raise FileNotFoundError("sleap-nn's evaluation left no predictions")
