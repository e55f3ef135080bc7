"""The table of the returned models' measurements, with the paths of their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ...base.printable import printable
from ..events.model import ModelReport
from .words import loss_text

SPLIT_NAMES: Final = {"val": "validation", "train": "training"}


def show_report(console: Console, reports: Sequence[ModelReport]) -> None:
    """Prints the table and the paths, unless both are empty."""
    measured = [report for report in reports if report.best_epoch is not None or report.split is not None]
    if measured:
        console.print(report_table(measured))
    for report in reports:
        for path in report.pictures:
            console.print(f"Picture: {printable(path)}", soft_wrap=True)
        for problem in report.problems:
            console.print(f"{printable(report.model)}: {printable(problem)}", soft_wrap=True)


def report_table(reports: Sequence[ModelReport]) -> Table:
    """Lays out one column for each model, which fits any terminal, without empty rows."""
    rows = {
        "best epoch": [_of(report.best_epoch, report.epochs) for report in reports],
        "validation loss": [_number(report.best_val_loss, ".3g") for report in reports],
        "measured on": [_measured_on(report) for report in reports],
        "median error": [_number(report.error_px_median, ".1f", " px") for report in reports],
        "95 % of errors": [_number(report.error_px_p95, ".1f", " px", "< ") for report in reports],
        "OKS mAP": [_number(report.oks_map, ".2f") for report in reports],
        "PCK": [_number(report.pck_mean, ".2f") for report in reports],
        "precision": [_number(report.precision, ".2f") for report in reports],
        "recall": [_number(report.recall, ".2f") for report in reports],
    }
    table = Table("", *(printable(report.model) for report in reports), box=SIMPLE_HEAD)
    for name, cells in rows.items():
        if any(cells):
            table.add_row(name, *cells)
    return table


def _measured_on(report: ModelReport) -> str:
    """Returns on how many frames a model was measured, and whether it was trained on them."""
    if report.split not in SPLIT_NAMES:
        return ""
    count = report.val_frames if report.split == "val" else report.train_frames
    name = f"{SPLIT_NAMES[report.split]} frame{'' if count == 1 else 's'}"
    return name if count is None else f"{count} {name}"


def _of(best_epoch: int | None, epochs: int | None) -> str:
    return "" if best_epoch is None else f"{best_epoch} of {epochs}"


def _number(value: float | None, form: str, unit: str = "", sign: str = "") -> str:
    if value is None:
        return ""
    # a stranger's number may be as long as it likes
    return f"{sign}{value:{form}}{unit}" if abs(value) < 1e6 else loss_text(value)
