"""The keys of sleap-nn's training configurations, and who sets each of them.

Every key of sleap-nn 0.3.5 (https://nn.sleap.ai/latest/configuration/) is in one of these tables:
:data:`ALLOWED_KEYS` has those that a received configuration sets, each with the values that it accepts;
:data:`WORKER_KEYS` those that only the worker sets; :data:`UNGRANTABLE` and :data:`OTHER_HEADS` what is
refused. A key belongs into the first once it's clear that no value of it can reach a file, a device, a
process or the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from ...protocol.limits import MAX_BATCH_SIZE, MAX_EPOCHS
from ...protocol.vocabulary import PredictionFormat
from ..documents import MAX_WHOLE_NUMBER

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
    """Also accepts null, where sleap-nn does."""
    return lambda value: value is None or check(value)


def _stride(value: Any) -> bool:
    return _whole(1, 128)(value) and value & (value - 1) == 0


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 10_000


def _sizes(value: Any) -> bool:
    """The numbers of an architecture: sections of whole numbers, or of lists of them."""
    is_size = _whole(1, 4096)
    return isinstance(value, Mapping) and all(
        _name(key) and (is_size(inner) or (isinstance(inner, list) and all(map(is_size, inner))))
        for key, inner in value.items()
    )


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
    "format": _one_of(*PredictionFormat),
}
"""The parts of an inference request's ``config`` that are used."""

# --- the allow-list -------------------------------------------------------------------------

_CONVOLUTIONS: Final[Allowed] = {
    "in_channels": _whole(1, 4),
    "kernel_size": _whole(1, 15),
    "filters_rate": _number(1, 4),
    "convs_per_block": _whole(1, 6),
    "up_interpolate": _flag,
    "max_stride": _stride,
    "output_stride": _stride,
}
_UNET: Final[Allowed] = {
    **_CONVOLUTIONS,
    "filters": _whole(1, 512),
    "stem_stride": _or_null(_stride),
    "middle_block": _flag,
    "stacks": _whole(1, 4),
}
_CONVNEXT: Final[Allowed] = {
    **_CONVOLUTIONS,
    "model_type": _one_of("tiny", "small", "base", "large"),
    "arch": _or_null(_sizes),
    "stem_patch_kernel": _whole(1, 16),
    "stem_patch_stride": _stride,
}
_SWINT: Final[Allowed] = {
    **_CONVOLUTIONS,
    "model_type": _one_of("tiny", "small", "base"),
    "arch": _or_null(_sizes),
    "stem_patch_stride": _stride,
    "patch_size": _whole(1, 32),
    "window_size": _whole(1, 32),
}
_WEIGHT: Final = _number(0, 1e6)
_MAP: Final[Allowed] = {"sigma": _number(0.1, 1000), "output_stride": _stride}
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
            "centroid_source": _or_null(_one_of("user", "computed", "anchor")),
            "use_sigmoid_activation": _flag,
            "focal_loss_alpha": _number(0, 100),
            "focal_loss_beta": _number(0, 100),
            "focal_loss_pos_threshold": _number(0, 100),
        }
    },
    "centered_instance": {
        "confmaps": {**_MAP, **_ANCHORED, "part_names": _PART_NAMES, "loss_weight": _WEIGHT}
    },
    "bottomup": {
        "confmaps": {**_MAP, "part_names": _PART_NAMES, "loss_weight": _or_null(_WEIGHT)},
        "pafs": {**_MAP, "edges": _EDGES, "loss_weight": _or_null(_WEIGHT)},
    },
}
OTHER_HEADS: Final = (
    "multi_class_bottomup",
    "multi_class_topdown",
    "bottomup_segmentation",
    "centered_instance_segmentation",
    "semantic_segmentation",
    "embedding",
    "bbox_centernet",
    "bbox_ssd",
)
"""Heads of sleap-nn that aren't trained here."""

_TILE_PX: Final = _or_null(_whole(1, 16384))
_TILING: Final[Allowed] = {
    "enabled": _flag,
    "tile_size": _TILE_PX,
    "overlap": _or_null(_whole(0, 16384)),
    "min_overlap_fraction": _FRACTION,
    "blend": _one_of("gaussian", "pyramid", "constant"),
    "sigma_scale": _number(1e-6, 1),
    "tile_batch_size": _or_null(_BATCH),
    "cpu_thresh": _FRACTION,
    "sampling": _one_of("foreground", "grid"),
    "tile_fg_fraction": _number(0, 0.999),
    "samples_per_frame": _or_null(_whole(1, 4096)),
    "center_jitter": _FRACTION,
    "min_visible_keypoints": _whole(0, 1000),
    "steps_per_epoch": _or_null(_STEPS),
    "full_frame_pass": _flag,
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
    "crop_mode": _one_of("fixed", "bbox"),
    "crop_bbox_aspect": _one_of("square", "letterbox", "stretch"),
    "crop_bbox_padding": _number(0, 100),
    "crop_bbox_min_size": _or_null(_number(1e-6, 16384)),
    "tiling": _TILING,
    "burn_in": _flag,
    "background_fill": _one_of("black", "grey", "mean", "noise"),
    "crop_centering": _one_of("auto", "mask_com", "bbox"),
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
        "user_instances_only": lambda value: value is True,
        "use_augmentations_train": _flag,
        "use_negative_frames": _flag,
        "negative_loss_weight": _number(1e-6, 1e6),
        "preprocessing": _PREPROCESSING,
        "augmentation_config": {"intensity": _INTENSITY, "geometric": _GEOMETRIC},
        "identity": {
            "tracks_are_proofread": _flag,
            "track_names_are_global": _flag,
            "detections_deduplicated": _flag,
        },
        "split": {
            "split_by": _one_of("frame", "video", "identity"),
            "n_folds": _whole(2, 1000),
            "fold": _whole(0, 999),
            "seed": _whole(0, 2**32 - 1),
        },
        "centroids_from_masks": _or_null(_one_of("center_of_mass", "bbox_center")),
        "bbox_source": _one_of("auto", "bboxes", "instances", "masks"),
        "bbox_padding": _number(0, 16384),
    },
    "model_config": {
        "init_weights": _one_of("default", "xavier"),
        "backbone_config": {"unet": _UNET, "convnext": _CONVNEXT, "swint": _SWINT},
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
        "eval": {
            "oks_stddev": _number(1e-6, 1e3),
            "oks_scale": _or_null(_number(1e-6, 1e9)),
            "match_threshold": _number(1e-6, 1e6),
        },
    },
    "name": _or_null(_text),
    "description": _or_null(_text),
}
"""Every key that a received configuration may set."""

VAL_LABELS_PATH: Final = ("data_config", "val_labels_path")
"""Granted if the labels come with the job, see :func:`~.configuration.named_val_labels`."""

WORKER_KEYS: Final[Mapping[str, Any]] = {
    "data_config": dict.fromkeys(
        (
            "train_labels_path",
            "val_labels_path",
            "test_file_path",
            "provider",
            "data_pipeline_fw",
            "cache_img_path",
            "use_existing_imgs",
            "delete_cache_imgs_after_training",
            "parallel_caching",
            "cache_workers",
            "skeletons",
        )
    )
    | {"preprocessing": {"tiling": {"accumulator_device": None}}},
    "model_config": {"total_params": None},
    "trainer_config": dict.fromkeys(
        (
            "trainer_devices",
            "trainer_device_indices",
            "trainer_accelerator",
            "trainer_strategy",
            "profiler",
            "enable_progress_bar",
            "visualize_preds_during_training",
            "keep_viz",
            "viz_img_format",
            "use_wandb",
            "save_ckpt",
            "ckpt_dir",
            "run_name",
        )
    )
    | {
        "train_data_loader": {"num_workers": None},
        "val_data_loader": {"num_workers": None},
        "model_ckpt": dict.fromkeys(("save_top_k", "save_last", "monitor", "mode")),
        "wandb": dict.fromkeys(
            (
                "entity",
                "project",
                "name",
                "save_viz_imgs_wandb",
                "api_key",
                "wandb_mode",
                "prv_runid",
                "group",
                "current_run_id",
                "viz_enabled",
                "viz_boxes",
                "viz_masks",
                "viz_box_size",
                "viz_confmap_threshold",
                "log_viz_table",
                "delete_local_logs",
            )
        ),
        "zmq": dict.fromkeys(("controller_port", "controller_polling_timeout", "publish_port")),
        "eval": dict.fromkeys(("enabled", "frequency", "select_metric")),
    },
    "sleap_nn_version": None,
    "filename": None,
}
"""Every key that the worker, or sleap-nn from the labels, sets whatever a configuration says: paths, devices,
processes, logging. The runner reports each that differs from what the configuration asked for."""


def _name_tree(value: Any, depth: int = 6) -> bool:
    """Names of nodes in lists and sections, as skeletons are written."""
    if depth and isinstance(value, list):
        return len(value) <= 1000 and all(_name_tree(inner, depth - 1) for inner in value)
    if depth and isinstance(value, Mapping):
        return all(_name(key) and _name_tree(inner, depth - 1) for key, inner in value.items())
    return value is None or _name(value)


MODEL_KEYS: Final[Allowed] = {
    "data_config": {
        "preprocessing": _PREPROCESSING,
        "skeletons": _name_tree,
    },
    "model_config": ALLOWED_KEYS["model_config"],
}
"""Every key of a received model's configuration that is used. How it was trained no longer matters."""

NULLABLE_SECTIONS: Final = {
    "augmentation_config",
    "identity",
    "split",
    "lr_scheduler",
    "online_hard_keypoint_mining",
    "intensity",
    "geometric",
    "unet",
    "convnext",
    "swint",
    *SUPPORTED_HEADS,
    *_SCHEDULERS,
}
"""Sections in which null means "none of this". sleap-nn accepts it nowhere else."""

UNGRANTABLE: Final = {
    ("model_config", "pretrained_backbone_weights"): "pretrained weights",
    ("model_config", "pretrained_head_weights"): "pretrained weights",
    ("model_config", "backbone_config", "pretrained"): "a pretrained backbone",
    ("model_config", "backbone_config", "convnext", "pre_trained_weights"): "pretrained weights",
    ("model_config", "backbone_config", "swint", "pre_trained_weights"): "pretrained weights",
    ("trainer_config", "resume_ckpt_path"): "a checkpoint to resume from",
}
"""Keys that would load or fetch code or files that aren't part of the job."""
