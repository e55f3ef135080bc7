"""The losses that a worker has reported, model by model."""

from __future__ import annotations

import math
from typing import Final

import attrs

from .job import StatusChanged

MAX_EPOCH: Final = 10**9
MAX_EPOCHS: Final = 100_000
MAX_MODELS: Final = 16
"""Bounds to what a worker can make its client remember. A job has one or two models."""


@attrs.frozen
class EpochLosses:
    """One epoch, counted from 1. A loss that wasn't reported is None."""

    epoch: int
    train_loss: float | None
    val_loss: float | None

    @property
    def chosen_loss(self) -> float | None:
        """The loss by which the best epoch is chosen."""
        return self.train_loss if self.val_loss is None else self.val_loss


@attrs.frozen
class ModelLosses:
    """One model's training so far.

    Attributes:
        model: Its head, or "" where the worker names none.
        total_epochs: The most that it may take, where that is known.
        epochs: In order.
    """

    model: str
    total_epochs: int | None
    epochs: list[EpochLosses]

    @property
    def best(self) -> EpochLosses | None:
        """The epoch with the least validation loss, or training loss if there is no validation."""
        judged = [epoch for epoch in self.epochs if epoch.val_loss is not None] or self.epochs
        known = [epoch for epoch in judged if epoch.chosen_loss is not None]
        return min(known, key=lambda epoch: epoch.chosen_loss or 0.0, default=None)

    def append(self, epoch: EpochLosses) -> None:
        """Adds an epoch, or replaces the last one by what is newly known of it."""
        if epoch.epoch == self.epochs[-1].epoch:
            self.epochs[-1] = epoch
        elif len(self.epochs) < MAX_EPOCHS:
            self.epochs.append(epoch)


class LossHistory:
    """Gathers losses from a job's statuses, which a worker repeats while nothing changes.

    An epoch that isn't after the last one, of a model whose worker names none, begins the next model.
    """

    def __init__(self) -> None:
        self._models: list[ModelLosses] = []

    @property
    def models(self) -> tuple[ModelLosses, ...]:
        """In the order in which their training began."""
        return tuple(self._models)

    def see(self, status: StatusChanged) -> bool:
        """Records a status; returns whether it has an epoch that wasn't known."""
        if status.current_epoch is None or not 0 < status.current_epoch <= MAX_EPOCH:
            return False
        epoch = EpochLosses(status.current_epoch, _number(status.current_loss), _number(status.val_loss))
        if epoch.chosen_loss is None:
            return False
        started = ModelLosses(status.model or "", status.total_epochs, [epoch])
        number = self._number_of(started.model)
        if number is not None:
            known = self._models[number]
            if epoch == known.epochs[-1]:
                return False
            if epoch.epoch >= known.epochs[-1].epoch:
                known.append(epoch)
                return True
            if known.model:  # the same model again, such as after its worker was restarted
                self._models[number] = started
                return True
        if len(self._models) < MAX_MODELS:
            self._models.append(started)
        return True

    def _number_of(self, model: str) -> int | None:
        for number in reversed(range(len(self._models))):
            if self._models[number].model == model:
                return number
        return None


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
