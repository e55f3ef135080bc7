"""What is known of a finished model."""

from __future__ import annotations

from typing import TypeAlias

import attrs

Value: TypeAlias = str | float | bool | None
"""A setting's value; a list or a section is the text of one."""


@attrs.frozen
class ChangedSetting:
    """A setting that the worker set differently from what was asked for, or from sleap-nn's default.

    Attributes:
        key: The keys of sleap-nn's configuration, joined by dots.
        asked: The value that was asked for.
        used: The value that was trained with.
        given: Whether the configuration itself says what was asked for; otherwise it is a default.
    """

    key: str
    asked: Value
    used: Value
    given: bool


@attrs.frozen
class ChosenSetting:
    """A setting that the worker chose to suit the labels, since there was no configuration."""

    key: str
    used: Value


@attrs.frozen
class ModelReport:
    """What is known of a finished model; None for what isn't known.

    Attributes:
        model: Its head, or what its folder is called.
        model_dir: Where it is.
        epochs: How many it was trained for.
        best_epoch: The one whose weights were kept.
        best_val_loss: The validation loss of that epoch.
        validation: ``held_out`` if some frames of the labels were held out, ``file`` if the validation labels
            were a file of their own, ``trained_on`` if it was validated on what it was trained on.
        val_frames: The frames that were validated on.
        train_frames: The frames that were trained on.
        split: What the numbers below were measured on: ``val``, or ``train`` where nothing was held out.
        error_px_mean: Distance between labels and predictions, in pixels.
        error_px_median: Half of the points are nearer.
        error_px_p95: 95 % of the points are nearer.
        oks_map: Mean average precision by object keypoint similarity, 0.0 to 1.0.
        pck_mean: Mean share of points that are nearer than 1 to 10 pixels, 0.0 to 1.0.
        precision: Of what was found, the share that is there; of animals or, without those, of points.
        recall: Of what is there, the share that was found.
        pictures: Files to look at.
        files: Tables and TensorBoard's events.
        problems: What is missing or says little, and why.
        configuration: The file name of the configuration that was sent, if there was one.
        changed: The settings that the worker set differently.
        chosen: The settings that the worker chose.
    """

    model: str
    model_dir: str
    epochs: int | None = None
    best_epoch: int | None = None
    best_val_loss: float | None = None
    validation: str | None = None
    val_frames: int | None = None
    train_frames: int | None = None
    split: str | None = None
    error_px_mean: float | None = None
    error_px_median: float | None = None
    error_px_p95: float | None = None
    oks_map: float | None = None
    pck_mean: float | None = None
    precision: float | None = None
    recall: float | None = None
    pictures: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    configuration: str | None = None
    changed: tuple[ChangedSetting, ...] = ()
    chosen: tuple[ChosenSetting, ...] = ()
