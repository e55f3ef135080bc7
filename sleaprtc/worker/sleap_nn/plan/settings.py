"""Chooses sensible sleap-nn settings for a dataset that came without any.

The values follow SLEAP's own baseline profiles (``sleap/training_profiles``), adapted to the size of
images and animals, and to how little a machine without a GPU can do in a reasonable time.
"""

from __future__ import annotations

import math
from typing import Any, Final

from ....errors import InvalidTrainingConfigError
from ....jobs.estimate import DEFAULT_BATCH_SIZE, MAX_EPOCHS, MODEL_HEADS
from ..intake.dataset_summary import DatasetSummary

FILTERS: Final = {True: 32, False: 8}
"""Of the first block, with and without a GPU: eight find a small animal's nodes to within a pixel."""

LEARNING_RATE: Final = 1e-3
MIN_STRIDE, MAX_STRIDE = 16, 64
MIN_CROP_PX: Final = 32

CENTROID_ANIMAL_PX: Final = 24
CENTROID_IMAGE_PX: Final = 256
"""Finding centroids needs animals of about this size, and gains little from images larger than this."""

WHOLE_IMAGE_PX: Final = 1024
"""Images whose longer side is above this are halved where poses are found in the whole image."""


def choose_model_type(dataset: DatasetSummary) -> str:
    """Returns the model type for a request that names none.

    One animal per frame needs no search for animals. Several are found first and cropped, unless an
    animal fills so much of the image that a crop saves nothing.
    """
    if dataset.max_instances == 1:
        return "base"
    fills_image = dataset.max_instance_px > 0.6 * min(dataset.height, dataset.width)
    return "bottomup" if fills_image and dataset.edge_count else "topdown"


def derive_settings(head: str, dataset: DatasetSummary, *, accelerated: bool) -> dict[str, Any]:
    """Returns a complete sleap-nn configuration for one model, except for what the worker itself sets.

    Args:
        head: ``single_instance``, ``centroid``, ``centered_instance`` or ``bottomup``.
        dataset: What the model is to be trained on.
        accelerated: True if there's a GPU to train on.
    """
    scale = _choose_scale(head, dataset)
    animal_px = dataset.max_instance_px * scale
    stride = choose_max_stride(animal_px)
    return {
        "data_config": {
            "validation_fraction": 0.1,
            "use_same_data_for_val": dataset.frame_count == 1,
            "preprocessing": {
                "ensure_rgb": False,
                "ensure_grayscale": dataset.channels == 1,
                "scale": scale,
                "crop_size": _choose_crop_px(dataset, stride) if head == "centered_instance" else None,
            },
            "use_augmentations_train": True,
            "augmentation_config": _augmentation(dataset),
        },
        "model_config": {
            "backbone_config": {
                "unet": {
                    "in_channels": dataset.channels,
                    "filters": FILTERS[accelerated],
                    "filters_rate": 1.5,
                    "max_stride": stride,
                    "output_stride": 2,
                }
            },
            "head_configs": {head: _head(head, animal_px)},
        },
        "trainer_config": {
            "max_epochs": MAX_EPOCHS[accelerated],
            "min_train_steps_per_epoch": choose_min_steps(dataset.frame_count, accelerated=accelerated),
            "train_data_loader": {"batch_size": DEFAULT_BATCH_SIZE},
            "val_data_loader": {"batch_size": DEFAULT_BATCH_SIZE},
            "optimizer_name": "Adam",
            "optimizer": {"lr": LEARNING_RATE},
            "early_stopping": {"stop_training_on_plateau": True, "patience": 10, "min_delta": 1e-8},
            "seed": 42,
        },
    }


def choose_max_stride(animal_px: float) -> int:
    """Returns the smallest stride at which the network sees a whole animal at once.

    The receptive field of a U-Net with two 3x3 convolutions per block is ``5 * max_stride - 4`` pixels
    (76 at stride 16, as SLEAP's training dialog shows).
    """
    stride = MIN_STRIDE
    while stride < MAX_STRIDE and 5 * stride - 4 < animal_px:
        stride *= 2
    return stride


def choose_min_steps(frame_count: int, *, accelerated: bool) -> int:
    """Returns the least number of steps in an epoch.

    sleap-nn's own 200 keeps a GPU from spending its time between epochs; without one, 200 steps are
    minutes, so small datasets are passed twice an epoch and no more.
    """
    one_pass = math.ceil(frame_count / DEFAULT_BATCH_SIZE)
    if accelerated:
        return min(200, max(50, 4 * one_pass))
    return min(50, max(10, 2 * one_pass))


def _choose_scale(head: str, dataset: DatasetSummary) -> float:
    longer_side = max(dataset.height, dataset.width)
    if head == "centered_instance":
        return 1.0
    if head == "centroid":
        needed = max(CENTROID_ANIMAL_PX / max(dataset.max_instance_px, 1.0), CENTROID_IMAGE_PX / longer_side)
        return next((scale for scale in (0.25, 0.5, 0.75) if scale >= needed), 1.0)
    return 0.5 if longer_side > WHOLE_IMAGE_PX else 1.0


def _choose_crop_px(dataset: DatasetSummary, stride: int) -> int:
    # room for a turned animal's corners, in whole strides
    wanted = max(MIN_CROP_PX, 1.4 * dataset.max_instance_px)
    return math.ceil(wanted / stride) * stride


def _augmentation(dataset: DatasetSummary) -> dict[str, Any]:
    # several animals are mostly seen from above, at any angle; a single one is often seen from a side
    turn = 15.0 if dataset.max_instances == 1 else 180.0
    return {
        "intensity": {"brightness_min": 0.9, "brightness_max": 1.1, "brightness_p": 0.3},
        "geometric": {
            "rotation_min": -turn,
            "rotation_max": turn,
            "rotation_p": 1.0,
            "scale_min": 0.9,
            "scale_max": 1.1,
            "scale_p": 1.0,
        },
    }


def _head(head: str, animal_px: float) -> dict[str, Any]:
    confmaps = {"sigma": 2.5, "output_stride": 2}
    if head == "bottomup":
        # fields as wide as half an animal, within SLEAP's own 75
        spread = min(75.0, max(15.0, animal_px / 2))
        return {
            "confmaps": {**confmaps, "loss_weight": 1.0},
            "pafs": {"sigma": spread, "output_stride": 4, "loss_weight": 1.0},
        }
    return {"confmaps": confmaps}


def heads_for(model_type: str) -> tuple[str, ...]:
    """Returns the heads that a request's model type trains, in order.

    Raises:
        InvalidTrainingConfigError: The protocol has no such model type.
    """
    if model_type not in MODEL_HEADS:
        known = ", ".join(MODEL_HEADS)
        raise InvalidTrainingConfigError(f"There is no model type {model_type[:40]!r}; there are: {known}.")
    return MODEL_HEADS[model_type]
