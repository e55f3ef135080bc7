"""What a training that isn't resumed has left: its best models so far, as its result.

Reads only what the runner wrote into the job's own folder (``runner/keeping.py``). It needs no sleap-nn,
which may be the reason why the training isn't resumed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from ...base.sentences import as_clause
from ...protocol.messages import JSONObject
from ..trainer import TrainingOutcome
from .plan.training import RUNS_FOLDER, ModelPlan
from .runner.keeping import BEST, LAST, PREMISES_SUFFIX, STATE_FOLDER
from .runner.report import make_unmeasured_report
from .runner.validation import TRAINED_ON

NOT_EVALUATED: Final = "The training was cut before the model was evaluated."

_NEEDED = (BEST, "training_config.yaml")


@attrs.frozen
class _Epoch:
    number: int
    total: int
    loss: float
    """By which the best model is chosen."""
    train_loss: float
    val_loss: float | None
    device: str
    elapsed_sec: float


@attrs.frozen
class _Left:
    """What is left of one model's training."""

    head: str
    folder: Path
    epochs: tuple[_Epoch, ...]
    is_finished: bool
    premises: JSONObject

    @property
    def best_loss(self) -> float:
        return min((epoch.loss for epoch in self.epochs), default=math.inf)

    @property
    def is_usable(self) -> bool:
        return math.isfinite(self.best_loss) and all((self.folder / name).is_file() for name in _NEEDED)


def salvage(plans: Sequence[ModelPlan], work_dir: Path, reason: str) -> TrainingOutcome | None:
    """Returns the models that a training has left, which then can't be resumed.

    Args:
        plans: What was to be trained, in order.
        work_dir: The job's folder.
        reason: Why the training isn't resumed, as a sentence.

    Returns:
        None if there is no usable model.
    """
    found = [_look(plan.head, work_dir) for plan in plans]
    usable = [left for left in found if left.is_usable]
    if not usable:
        return None
    cut = _in_words(found, reason)
    for left in usable:
        (left.folder / LAST).unlink(missing_ok=True)
        if not left.is_finished:
            _report(left)
    last = usable[-1]
    return TrainingOutcome(
        model_dirs=tuple(left.folder for left in usable),
        final_loss=last.best_loss,
        total_epochs=sum(len(left.epochs) for left in usable),
        duration_sec=last.epochs[-1].elapsed_sec,
        device=last.epochs[-1].device,
        cut=cut,
    )


def spent_sec(work_dir: Path) -> float:
    """Returns how long earlier processes have trained in a job's folder."""
    logs = (work_dir / STATE_FOLDER).glob("*.jsonl")
    return max((epochs[-1].elapsed_sec for log in logs if (epochs := _epochs(log))), default=0.0)


def _in_words(found: Sequence[_Left], reason: str) -> str:
    parts = []
    for left in found:
        if not left.is_usable:
            parts.append(f"the {left.head} model wasn't trained")
        elif not left.is_finished:
            epoch = left.epochs[-1]
            parts.append(f"the {left.head} model is the best of {epoch.number} of {epoch.total} epochs")
    missing = " and ".join(parts) or "the models weren't evaluated"
    return f"The training was cut short: {missing}. {as_clause(reason)[:1].upper()}{as_clause(reason)[1:]}."


def _look(head: str, work_dir: Path) -> _Left:
    state, folder = work_dir / STATE_FOLDER, work_dir / RUNS_FOLDER / head
    aside = state / f"{head}.{BEST}"
    if aside.is_file() and folder.is_dir() and not (folder / BEST).exists():
        aside.replace(folder / BEST)
    return _Left(
        head,
        folder,
        _epochs(state / f"{head}.jsonl"),
        (state / f"{head}.json").is_file(),
        _read_premises(state / f"{head}{PREMISES_SUFFIX}"),
    )


def _read_premises(path: Path) -> JSONObject:
    try:
        premises = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return premises if isinstance(premises, dict) else {}


def _report(left: _Left) -> None:
    """Writes the report that the runner didn't come to: the client would have only the epochs that it saw."""
    validation = left.premises.get("validation")
    is_validated = not validation or validation["source"] != TRAINED_ON
    best = min(left.epochs, key=lambda epoch: epoch.loss)
    make_unmeasured_report(
        left.folder,
        left.head,
        [(epoch.number, epoch.train_loss, epoch.val_loss if is_validated else None) for epoch in left.epochs],
        best.number,
        settings=left.premises.get("settings"),
        validation=validation,
        problem=NOT_EVALUATED,
    )


def _epochs(log: Path) -> tuple[_Epoch, ...]:
    try:
        lines = log.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return ()
    epochs: list[_Epoch] = []
    for line in lines:
        try:
            epoch = _read_epoch(line)
        except (KeyError, TypeError, ValueError, OverflowError):
            break  # a kill cut the last line off
        del epochs[epoch.number - 1 :]  # it was trained twice
        epochs.append(epoch)
    return tuple(epochs)


def _read_epoch(line: str) -> _Epoch:
    row = json.loads(line)  # the runner's own, in which a loss may be NaN
    loss = float(row["train_loss"] if row["val_loss"] is None else row["val_loss"])
    return _Epoch(
        number=int(row["epoch"]),
        total=int(row["total_epochs"]),
        loss=loss if math.isfinite(loss) else math.inf,
        train_loss=float(row["train_loss"]),
        val_loss=None if row["val_loss"] is None else float(row["val_loss"]),
        device=str(row["device"]),
        elapsed_sec=float(row["elapsed_sec"]),
    )
