"""Writes the files of a report that the client makes, from a worker's table of losses or its statuses."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from typing import Final

from ..events.losses import ModelLosses

METRICS_FILE: Final = "metrics.json"
LOSSES_FILE: Final = "losses.csv"
LOSSES_PICTURE: Final = "losses.png"
PREDICTIONS_PICTURE: Final = "predictions.png"
EVENTS_FILES: Final = "events.out.tfevents.*"
"""The file names that TensorBoard looks for."""

LOSSES_COLUMNS: Final = ("epoch", "train_loss", "val_loss")

TRAIN_TAG: Final = "loss/train"
VAL_TAG: Final = "loss/val"


def write_losses(path: Path, losses: ModelLosses) -> None:
    """Writes a CSV table with one row for each epoch; an unknown loss is an empty cell.

    Raises:
        OSError: The table can't be written.
    """
    with path.open("w", newline="", encoding="ascii") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(LOSSES_COLUMNS)
        for epoch in losses.epochs:
            cells = ("" if loss is None else loss for loss in (epoch.train_loss, epoch.val_loss))
            table.writerow((epoch.epoch, *cells))


def write_tensorboard(folder: Path, losses: ModelLosses) -> None:
    """Writes the losses as scalars for ``tensorboard --logdir``, where each model is a run.

    Raises:
        OSError: They can't be written.
    """
    import tensorboardX

    with tensorboardX.SummaryWriter(logdir=str(folder)) as writer:
        for epoch in losses.epochs:
            for tag, loss in ((TRAIN_TAG, epoch.train_loss), (VAL_TAG, epoch.val_loss)):
                if loss is not None:
                    writer.add_scalar(tag, loss, epoch.epoch)


def draw_losses(path: Path, losses: ModelLosses) -> bool:
    """Draws the loss curves if matplotlib is installed; returns whether it is.

    Raises:
        OSError: The picture can't be written.
    """
    if importlib.util.find_spec("matplotlib") is None:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axis = figure.add_subplot()
    train = [(epoch.epoch, epoch.train_loss) for epoch in losses.epochs if epoch.train_loss is not None]
    val = [(epoch.epoch, epoch.val_loss) for epoch in losses.epochs if epoch.val_loss is not None]
    for name, points in (("training", train), ("validation", val)):
        if points:
            axis.plot(*zip(*points, strict=True), label=name)
    if all(loss > 0 for _, loss in (*train, *val)):
        axis.set_yscale("log")
    axis.set(xlabel="epoch", ylabel="loss")
    axis.legend()
    figure.savefig(path, format="png")
    return True
