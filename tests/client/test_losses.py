"""Losses as they are gathered from what a worker says."""

from __future__ import annotations

import math

import pytest

from sleaprtc.client.events.job import StatusChanged
from sleaprtc.client.events.losses import LossHistory


def status(
    epoch: int | None, train: float | None, val: float | None = None, model: str | None = "a"
) -> StatusChanged:
    return StatusChanged("w", "running", 0.5, epoch, 9, current_loss=train, val_loss=val, model=model)


def history(*statuses: StatusChanged) -> LossHistory:
    made = LossHistory()
    for one in statuses:
        made.see(one)
    return made


def test_a_status_that_is_repeated_counts_once() -> None:
    gathered = LossHistory()
    assert gathered.see(status(1, 0.5))
    assert not gathered.see(status(1, 0.5))
    assert not gathered.see(status(None, None))
    assert gathered.see(status(2, 0.4))
    assert not gathered.see(status(2, 0.4))
    (model,) = gathered.models
    assert [(epoch.epoch, epoch.train_loss) for epoch in model.epochs] == [(1, 0.5), (2, 0.4)]


def test_the_best_epoch_is_chosen_by_validation() -> None:
    (model,) = history(status(1, 0.5, 0.6), status(2, 0.4, 0.7), status(3, 0.3, None)).models
    assert model.best is not None
    assert model.best.epoch == 1
    (without,) = history(status(1, 0.5), status(2, 0.4)).models
    assert without.best is not None
    assert without.best.epoch == 2


def test_two_models_one_after_the_other() -> None:
    named = history(status(1, 0.5, model="centroid"), status(1, 0.5, model="centered_instance"))
    assert [model.model for model in named.models] == ["centroid", "centered_instance"]
    unnamed = history(status(1, 0.5, model=None), status(2, 0.5, model=None), status(1, 0.4, model=None))
    assert [len(model.epochs) for model in unnamed.models] == [2, 1]


def test_a_model_that_begins_anew_forgets_what_was() -> None:
    (model,) = history(status(1, 0.5), status(2, 0.4), status(1, 0.9)).models
    assert [epoch.train_loss for epoch in model.epochs] == [0.9]


@pytest.mark.parametrize(
    "odd", [status(0, 0.5), status(-3, 0.5), status(10**30, 0.5), status(1, math.nan, math.inf)]
)
def test_what_is_no_epoch_is_left_out(odd: StatusChanged) -> None:
    assert history(odd).models == ()


def test_a_worker_cannot_name_models_without_end() -> None:
    assert len(history(*(status(1, 0.5, model=f"m{number}") for number in range(1000))).models) < 100
