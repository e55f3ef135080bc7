"""One job on a terminal: a figure of losses for each model, and a line with a bar."""

from __future__ import annotations

import itertools
import statistics
from collections import deque
from typing import Final

import attrs
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...base.printable import printable
from ..events.job import StatusChanged
from ..events.losses import LossHistory, ModelLosses
from .curves import MIN_HEIGHT, MIN_WIDTH, Curve, draw_curves
from .words import duration_text, loss_text, status_sentence

TRAIN_STYLE: Final = "cyan"
VAL_STYLE: Final = "yellow"

MAX_FIGURE_HEIGHT: Final = 14
SIDE_BY_SIDE_WIDTH: Final = 100
"""From this width on, two models' figures fit side by side."""

BAR_WIDTH: Final = 20
WORDS_WIDTH: Final = 66
"""What words, rate and time left take; a bar gets what is beyond that."""

BARS_WIDTH: Final = 72
PACE_WIDTH: Final = 54
"""Below the first there is no bar, and below the second neither rate nor time."""

RATE_EPOCHS: Final = 8
"""The rate is the median over this many epochs."""

LEAST_EPOCH_SEC: Final = 0.1
"""Epochs that follow each other more quickly say nothing about the rate: after attaching, those that were
missed come all at once."""


class JobView:
    """What is known of a job from its statuses, and how it is shown.

    Args:
        name: What tells it from other jobs, if there are any.
    """

    def __init__(self, name: str = "") -> None:
        self._name = name
        self._status: StatusChanged | None = None
        self._losses = LossHistory()
        self._device: str | None = None
        self._epoch_times: deque[tuple[int, float]] = deque(maxlen=RATE_EPOCHS + 1)
        self._ends_at_sec: float | None = None

    def see(self, status: StatusChanged, now_sec: float) -> None:
        """Records a status with its time on a monotonic clock."""
        before, self._status = self._status, status
        if before is not None and attrs.evolve(before, seq=status.seq) == status:
            return  # said again as a sign of life: what it says of the time left is old
        if before is None or before.model != status.model:
            self._epoch_times.clear()
        self._device = status.device or self._device
        if self._losses.see(status) and status.current_epoch is not None:
            self._epoch_times.append((status.current_epoch, now_sec))
        remaining = status.estimated_remaining_minutes
        self._ends_at_sec = None if remaining is None else now_sec + remaining * 60

    def line(self, width: int, now_sec: float) -> Table:
        """Returns the current state: words, a bar, the rate and the time left, as far as there is room."""
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.width = width
        grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        status = self._status
        if status is None:
            return grid
        cells: list[RenderableType] = [Text(self._doing(status))]
        if width >= BARS_WIDTH:
            bar_width = min(width - WORDS_WIDTH, BAR_WIDTH)
            cells.append(ProgressBar(total=1.0, completed=status.progress, width=bar_width))
        if width >= PACE_WIDTH:
            cells += [f"{status.progress * 100:.0f} %", self._pace(status, now_sec)]
        for _ in cells[1:]:
            grid.add_column(no_wrap=True)
        grid.add_row(*cells)
        return grid

    def _doing(self, status: StatusChanged) -> str:
        """Returns the state in words, the most important first, since the end is cut if there is no room."""
        name = f"{printable(self._name)}, " if self._name else ""
        device = f" ({printable(self._device)})" if self._device else ""
        where = f"{name}{printable(status.worker)}{device}"
        if status.frames_done is not None:
            return f"Frame {status.frames_done} of {status.total_frames or '?'}: {where}"
        if status.current_epoch is None:
            return f"{status_sentence(status)}, {where}"
        model = f"{printable(status.model)}, " if status.model else ""
        return f"Epoch {status.current_epoch} of {status.total_epochs or '?'}: {model}{where}"

    def _pace(self, status: StatusChanged, now_sec: float) -> str:
        """Returns the rate and the time left, if known."""
        parts = []
        if status.frames_done is not None:
            rate = status.frames_per_sec
            parts += [] if rate is None else [f"{rate:.3g} frames/s"]
        elif status.current_epoch is not None and (rate := self._sec_per_epoch()) is not None:
            parts.append(f"{rate:.2g} s/epoch" if rate < 100 else f"{rate:.0f} s/epoch")
        if self._ends_at_sec is not None:
            parts.append(f"{duration_text(max(self._ends_at_sec - now_sec, 0.0) / 60)} left")
        return ", ".join(parts)

    def _sec_per_epoch(self) -> float | None:
        times = list(self._epoch_times)
        steps = [
            (later - earlier) / (epoch - before)
            for (before, earlier), (epoch, later) in itertools.pairwise(times)
            if epoch > before and (later - earlier) / (epoch - before) >= LEAST_EPOCH_SEC
        ]
        return statistics.median(steps) if steps else None

    def figures(self, width: int, height: int) -> RenderableType | None:
        """The curves of the models, those that fit; a headline for each of the others.

        Args:
            width: In characters.
            height: In lines.
        """
        models = self._losses.models
        if not models or width < MIN_WIDTH or height < 1:
            return None
        if len(models) > 1 and width >= SIDE_BY_SIDE_WIDTH:
            beside = Table.grid(padding=(0, 2))
            half = (width - 2) // 2
            pair = [_figure(model, half, min(height, MAX_FIGURE_HEIGHT)) for model in models[-2:]]
            beside.add_row(*(Group(*lines) for lines in pair))
            return beside
        headlines = [_headline(model, width) for model in models[:-1]][: max(height - MIN_HEIGHT - 2, 0)]
        rest = min(height - len(headlines), MAX_FIGURE_HEIGHT)
        return Group(*headlines, *_figure(models[-1], width, rest))


def _figure(model: ModelLosses, width: int, height: int) -> list[Text]:
    """A headline and, where there is room, the curves."""
    lines = [_headline(model, width)]
    if height - 1 < MIN_HEIGHT:
        return lines
    curves = [
        Curve(
            "train", TRAIN_STYLE, [(e.epoch, e.train_loss) for e in model.epochs if e.train_loss is not None]
        ),
        Curve("val", VAL_STYLE, [(e.epoch, e.val_loss) for e in model.epochs if e.val_loss is not None]),
    ]
    best = model.best
    mark = None if best is None or best.chosen_loss is None else (best.epoch, best.chosen_loss)
    return [*lines, *draw_curves(curves, width=width, height=height - 1, mark=mark)]


def _headline(model: ModelLosses, width: int) -> Text:
    """Returns name, last losses and best epoch; without room for all, the training loss is left out."""
    last, best = model.epochs[-1], model.best
    name = Text(no_wrap=True).append(printable(model.model) or "model", "bold")
    losses = [
        Text(f"  {kind} ").append(loss_text(loss), style)
        for kind, loss, style in (("train", last.train_loss, TRAIN_STYLE), ("val", last.val_loss, VAL_STYLE))
        if loss is not None
    ]
    if best is not None:
        losses.append(
            Text("  best ").append(loss_text(best.chosen_loss), "bold").append(f" in epoch {best.epoch}")
        )
    while len(losses) > 1 and name.cell_len + sum(part.cell_len for part in losses) > width:
        del losses[0]
    for part in losses:
        name.append_text(part)
    name.truncate(width, overflow="ellipsis")
    return name
