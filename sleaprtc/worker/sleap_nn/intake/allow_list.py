"""What a received configuration may set: keys of sleap-nn, each with the kind of value that it accepts.

The keys are those of https://nn.sleap.ai/latest/configuration/. A new one belongs here once it's clear
that no value of it can reach a file, a device, a process or the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from ....formats.documents import MAX_WHOLE_NUMBER
from ....protocol.limits import MAX_BATCH_SIZE, MAX_EPOCHS

Check: TypeAlias = Callable[[Any], bool]
Allowed: TypeAlias = "Mapping[str, Check | Allowed]"


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    # whole numbers in JSON have any size, of which the largest are no floats
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_WHOLE_NUMBER


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _number(low: float, high: float) -> Check:
    return lambda value: _is_number(value) and low <= value <= high


def _positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _whole(low: int, high: int) -> Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _one_of(*choices: str) -> Check:
    return lambda value: value in choices


def _name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 128 and value.isprintable()


def _names(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 1000 and all(map(_name, value))


def _edges(value: Any) -> bool:
    return isinstance(value, list) and all(_names(edge) and len(edge) == 2 for edge in value)


def _or_null(check: Check) -> Check:
    """Also accepts null, for values that sleap-nn then chooses itself. Any other null drops its key."""
    return lambda value: value is None or check(value)


def _stride(value: Any) -> bool:
    return _whole(1, 128)(value) and value & (value - 1) == 0


_FRACTION: Final = _number(0, 1)
_ANGLE: Final = _number(-180, 180)
_SIDE: Final = _whole(8, 16384)
_EPOCHS: Final = _whole(1, MAX_EPOCHS)
_BATCH: Final = _whole(1, MAX_BATCH_SIZE)
_STEPS: Final = _whole(1, 100_000)
_CENTROID_METHOD: Final = _or_null(_one_of("center_of_mass", "bbox_center", "geometric_median", "anchor"))
_PART_NAMES: Final = _or_null(_names)
_EDGES: Final = _or_null(_edges)
_PROBABILITY: Final = _or_null(_FRACTION)

REQUESTED_VALUES: Final[Mapping[str, Check]] = {
    "model_type": lambda value: isinstance(value, str),
    "epochs": _EPOCHS,
    "batch_size": _BATCH,
    "learning_rate": _positive,
}
"""The parts of a training request's ``config`` that are used (protocol reference, section 3)."""

PREDICTION_VALUES: Final[Mapping[str, Check]] = {
    "batch_size": _BATCH,
    "peak_threshold": _FRACTION,
    "frames": lambda value: isinstance(value, str) and len(value) <= 10_000,
    "tracking": _flag,
}
"""The parts of an inference request's ``config`` that are used."""

# --- the allow-list -------------------------------------------------------------------------

_UNET: Final[Allowed] = {
    "in_channels": _whole(1, 4),
    "kernel_size": _whole(1, 15),
    "filters": _whole(1, 512),
    "filters_rate": _number(1, 4),
    "max_stride": _stride,
    "stem_stride": _or_null(_stride),
    "middle_block": _flag,
    "up_interpolate": _flag,
    "stacks": _whole(1, 4),
    "convs_per_block": _whole(1, 6),
    "output_stride": _stride,
}
_TRANSFORMER: Final[Allowed] = {
    "model_type": _one_of("tiny", "small", "base", "large"),
    "in_channels": _whole(1, 4),
    "kernel_size": _whole(1, 15),
    "filters_rate": _number(1, 4),
    "convs_per_block": _whole(1, 6),
    "up_interpolate": _flag,
    "stem_patch_kernel": _whole(1, 16),
    "stem_patch_stride": _stride,
    "patch_size": _whole(1, 32),
    "window_size": _whole(1, 32),
    "max_stride": _stride,
    "output_stride": _stride,
}
_MAP: Final[Allowed] = {
    "sigma": _number(0.1, 1000),
    "output_stride": _stride,
    "loss_weight": _number(0, 1e6),
}
_ANCHORED: Final[Allowed] = {
    "anchor_part": _or_null(_name),
    "centroid_method": _CENTROID_METHOD,
    "centroid_fallback": _CENTROID_METHOD,
}
SUPPORTED_HEADS: Final[Allowed] = {
    "single_instance": {"confmaps": {**_MAP, "part_names": _PART_NAMES}},
    "centroid": {
        "confmaps": {
            **_MAP,
            **_ANCHORED,
            "use_sigmoid_activation": _flag,
            "focal_loss_alpha": _number(0, 100),
            "focal_loss_beta": _number(0, 100),
            "focal_loss_pos_threshold": _number(0, 100),
        }
    },
    "centered_instance": {"confmaps": {**_MAP, **_ANCHORED, "part_names": _PART_NAMES}},
    "bottomup": {
        "confmaps": {**_MAP, "part_names": _PART_NAMES},
        "pafs": {**_MAP, "edges": _EDGES},
    },
}
_PREPROCESSING: Final[Allowed] = {
    "ensure_rgb": _flag,
    "ensure_grayscale": _flag,
    "max_height": _or_null(_SIDE),
    "max_width": _or_null(_SIDE),
    "scale": _number(0.01, 8),
    "crop_size": _or_null(_SIDE),
    "min_crop_size": _or_null(_whole(1, 16384)),
    "crop_padding": _or_null(_whole(0, 4096)),
}
_INTENSITY: Final[Allowed] = {
    **{f"{kind}_noise_p": _FRACTION for kind in ("uniform", "gaussian")},
    **{f"{kind}_p": _FRACTION for kind in ("contrast", "brightness")},
    **{f"{kind}_{end}": _number(0, 10) for kind in ("contrast", "brightness") for end in ("min", "max")},
    "uniform_noise_min": _FRACTION,
    "uniform_noise_max": _FRACTION,
    "gaussian_noise_mean": _number(-255, 255),
    "gaussian_noise_std": _number(0, 255),
}
_GEOMETRIC: Final[Allowed] = {
    **{f"{kind}_p": _PROBABILITY for kind in ("rotation", "scale", "translate")},
    **{f"{kind}_p": _FRACTION for kind in ("affine", "erase", "mixup", "flip")},
    **{f"{kind}_{end}": _number(0, 100) for kind in ("scale", "erase_ratio") for end in ("min", "max")},
    **{f"{kind}_{end}": _FRACTION for kind in ("erase_scale", "mixup_lambda") for end in ("min", "max")},
    "rotation_min": _ANGLE,
    "rotation_max": _ANGLE,
    "translate_width": _FRACTION,
    "translate_height": _FRACTION,
}
_WARM_UP: Final[Allowed] = {
    "warmup_epochs": _whole(0, 100_000),
    "max_epochs": _or_null(_EPOCHS),
    "warmup_start_lr": _number(0, 1e3),
}
_SCHEDULERS: Final[Allowed] = {
    "step_lr": {"step_size": _EPOCHS, "gamma": _number(0, 10)},
    "reduce_lr_on_plateau": {
        "threshold": _number(0, 1e3),
        "threshold_mode": _one_of("rel", "abs"),
        "cooldown": _whole(0, 100_000),
        "patience": _whole(0, 100_000),
        "factor": _number(0, 1),
        "min_lr": _number(0, 1e3),
    },
    "cosine_annealing_warmup": {**_WARM_UP, "eta_min": _number(0, 1e3)},
    "linear_warmup_linear_decay": {**_WARM_UP, "end_lr": _number(0, 1e3)},
}

ALLOWED_KEYS: Final[Allowed] = {
    "data_config": {
        "validation_fraction": _number(0.001, 0.9),
        "use_same_data_for_val": _flag,
        "use_augmentations_train": _flag,
        "preprocessing": _PREPROCESSING,
        "augmentation_config": {"intensity": _INTENSITY, "geometric": _GEOMETRIC},
    },
    "model_config": {
        "init_weights": _one_of("default", "xavier"),
        "backbone_config": {"unet": _UNET, "convnext": _TRANSFORMER, "swint": _TRANSFORMER},
        "head_configs": SUPPORTED_HEADS,
    },
    "trainer_config": {
        "max_epochs": _EPOCHS,
        "min_train_steps_per_epoch": _STEPS,
        "train_steps_per_epoch": _or_null(_STEPS),
        "seed": _or_null(_whole(0, 2**32 - 1)),
        "train_data_loader": {"batch_size": _BATCH, "shuffle": _flag},
        "val_data_loader": {"batch_size": _BATCH, "shuffle": _flag},
        "optimizer_name": _one_of("Adam", "AdamW"),
        "optimizer": {"lr": _positive, "amsgrad": _flag},
        "lr_scheduler": _SCHEDULERS,
        "early_stopping": {
            "stop_training_on_plateau": _flag,
            "min_delta": _number(0, 1e3),
            "patience": _whole(0, 100_000),
        },
        "online_hard_keypoint_mining": {
            "online_mining": _flag,
            "hard_to_easy_ratio": _number(0, 1e6),
            "min_hard_keypoints": _whole(0, 1000),
            "max_hard_keypoints": _or_null(_whole(1, 1000)),
            "loss_scale": _number(0, 1e6),
        },
    },
}
"""Every key that a received configuration may set."""


def _name_tree(value: Any, depth: int = 6) -> bool:
    """Names of nodes in lists and sections, as skeletons are written."""
    if depth and isinstance(value, list):
        return len(value) <= 1000 and all(_name_tree(inner, depth - 1) for inner in value)
    if depth and isinstance(value, Mapping):
        return all(_name(key) and _name_tree(inner, depth - 1) for key, inner in value.items())
    return value is None or _name(value)


def _size(value: Any) -> bool:
    return value in ("auto", "infer") or _SIDE(value)


_TILING: Final[Allowed] = {
    "enabled": _flag,
    "tile_size": _or_null(_size),
    "overlap": _or_null(_number(0, 16384)),
    "min_overlap_fraction": _FRACTION,
    "blend": _one_of("gaussian", "uniform", "linear", "mean", "average", "max"),
    "sigma_scale": _number(0, 100),
    "tile_batch_size": _or_null(_BATCH),
    "cpu_thresh": _number(0, 1e6),
}
MODEL_KEYS: Final[Allowed] = {
    "data_config": {
        "preprocessing": {
            **_PREPROCESSING,
            "crop_mode": _one_of("fixed", "bbox"),
            "crop_bbox_aspect": _name,
            "crop_bbox_padding": _number(0, 100),
            "crop_bbox_min_size": _or_null(_number(0, 16384)),
            "tiling": _TILING,
        },
        "skeletons": _name_tree,
    },
    "model_config": ALLOWED_KEYS["model_config"],
}
"""Every key of a received model's configuration that is used. How it was trained no longer matters."""

NULLABLE_SECTIONS: Final = {
    "augmentation_config",
    "intensity",
    "geometric",
    "unet",
    "convnext",
    "swint",
    *SUPPORTED_HEADS,
    *_SCHEDULERS,
}
"""Sections in which null means "none of this". Elsewhere, null drops the section."""

UNGRANTABLE: Final = {
    ("model_config", "pretrained_backbone_weights"): "pretrained weights",
    ("model_config", "pretrained_head_weights"): "pretrained weights",
    ("model_config", "backbone_config", "pretrained"): "a pretrained backbone",
    ("model_config", "backbone_config", "convnext", "pre_trained_weights"): "pretrained weights",
    ("model_config", "backbone_config", "swint", "pre_trained_weights"): "pretrained weights",
    ("trainer_config", "resume_ckpt_path"): "to resume from a checkpoint",
}
"""Keys that would load or fetch code or files that aren't part of the job."""
