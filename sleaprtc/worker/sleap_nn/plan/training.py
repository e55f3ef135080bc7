"""Decides what is trained: one plan for each model, from labels, configurations and the request.

A plan's configuration is built up in layers, each over the one before: the received configuration or, without
one, settings derived from the labels; the request's own numbers; and what only the worker may decide. What a
received configuration leaves out isn't filled in here: sleap-nn has its own defaults for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from ....errors import InvalidTrainingConfigError
from ....formats.head_fit import Labelled, check_head, check_validation_labels
from ....formats.reading import shown
from ....formats.sleap_nn.configuration import (
    check_requested,
    filter_config,
    head_of,
    named_val_labels,
    subsection,
)
from ..intake.dataset_summary import DatasetSummary
from .settings import choose_model_type, derive_settings, heads_for

RUNS_FOLDER: Final = "models"
"""Below a job's folder, which is the trainer's working directory."""

CACHED_IMAGES_BYTES: Final = 2 * 2**30
"""Decoded images up to this size are kept in memory rather than decoded again each epoch."""


@attrs.frozen
class ReceivedConfig:
    """A parsed configuration and how errors call it.

    ``is_converted`` means that sleap-nn made a complete document from a profile of SLEAP up to 1.4.
    """

    name: str
    document: Mapping[str, Any]
    is_converted: bool = False


@attrs.frozen
class ModelSource:
    """The inputs of one model, before any decision.

    Attributes:
        labels: File name of the labels, below the job's folder.
        dataset: What is in them.
        val_labels: File name of labels to validate on, or None to split some off.
        config: The configuration that came with them.
        val_dataset: What is in the labels to validate on.
    """

    labels: str
    dataset: DatasetSummary
    val_labels: str | None = None
    config: ReceivedConfig | None = None
    val_dataset: DatasetSummary | None = None


@attrs.frozen
class ModelPlan:
    """One training run, ready for the runner.

    Attributes:
        head: The model's head, and the name of its folder.
        labels: File name of the labels, below the job's folder.
        val_labels: File name of the validation labels, if any.
        config: The sleap-nn configuration. sleap-nn's defaults hold for what isn't in it.
        asked: The same without what only the worker decides: the received configuration as it came, or else
            what was derived, and the request's numbers. The runner reports how ``config`` differs from it.
        configuration: The name of the received configuration, if there is one.
        given: The keys that it says itself.
        chosen: The keys, joined by dots, of the settings that were derived from the labels.
    """

    head: str
    labels: str
    val_labels: str | None
    config: dict[str, Any]
    asked: dict[str, Any]
    configuration: str | None = None
    given: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()


def plan_models(
    sources: Sequence[ModelSource], requested: Mapping[str, Any], *, accelerated: bool
) -> tuple[ModelPlan, ...]:
    """Plans a job's training runs, in order.

    Args:
        sources: One for each received configuration, or a single one without any.
        requested: The request's ``config``, unchecked.
        accelerated: True if there's a GPU to train on.

    Raises:
        InvalidTrainingConfigError: The request or a configuration asks for what isn't allowed, or
            for a model that these labels can't train.
    """
    wishes = check_requested(requested)
    if all(source.config is None for source in sources):
        return _plan_from_labels(sources[0], wishes, accelerated)
    return _plan_from_configs(sources, wishes)


def _plan_from_labels(
    source: ModelSource, wishes: Mapping[str, Any], accelerated: bool
) -> tuple[ModelPlan, ...]:
    model_type = wishes.get("model_type") or choose_model_type(source.dataset)
    plans = []
    for head in heads_for(model_type):
        derived = derive_settings(head, source.dataset, accelerated=accelerated)
        requested = _from_request(wishes)
        plan = _plan(head, source, derived, derived, requested)
        chosen = tuple(key for key in leaves(derived) if key not in leaves(requested))
        plans.append(attrs.evolve(plan, chosen=chosen))
    return tuple(plans)


def _plan_from_configs(sources: Sequence[ModelSource], wishes: Mapping[str, Any]) -> tuple[ModelPlan, ...]:
    plans: dict[str, ModelPlan] = {}
    for source in sources:
        assert source.config is not None
        received = filter_config(source.config.document, source.config.name)
        head = head_of(received, source.config.name)
        if head in plans:
            raise InvalidTrainingConfigError(f"Two configurations train the same model: {head}.")
        check_val_labels(source)
        plan = _plan(head, source, received, source.config.document, _from_request(wishes))
        given = () if source.config.is_converted else tuple(leaves(source.config.document))
        plans[head] = attrs.evolve(plan, configuration=source.config.name, given=given)
    if "model_type" not in wishes:
        return tuple(plans.values())
    return tuple(plans[head] for head in _heads_asked_for(wishes["model_type"], tuple(plans)))


def _heads_asked_for(model_type: str, configured: Sequence[str]) -> tuple[str, ...]:
    """Returns the heads of a model type, all of which must be configured.

    A centered instance model alone may be sent as ``topdown``, which has no other name for it: its centroid
    model exists already. Configurations of other models than the request's are left alone, as in a training
    job package from which one model is asked for.
    """
    wanted = heads_for(model_type)
    found = tuple(head for head in wanted if head in configured)
    if found != wanted and found != ("centered_instance",):
        raise InvalidTrainingConfigError(
            f"The model type {model_type} is {' and '.join(wanted)}, and the configurations train "
            f"{' and '.join(configured)}."
        )
    return found


def check_val_labels(source: ModelSource) -> None:
    """Checks that the validation labels that a configuration names came with the job.

    Raises:
        InvalidTrainingConfigError: They didn't.
    """
    if source.config is None:
        return
    named = named_val_labels(source.config.document, source.config.name)
    if named is not None and source.val_labels is None:
        raise InvalidTrainingConfigError(
            f"{source.config.name} names the validation labels {shown(named)}, which didn't come with the "
            "job: name the file with --val."
        )


def _plan(
    head: str,
    source: ModelSource,
    settings: Mapping[str, Any],
    document: Mapping[str, Any],
    requested: Mapping[str, Any],
) -> ModelPlan:
    dataset = source.dataset
    config = overlay(overlay(settings, requested), _from_worker(head, source))
    config = overlay(config, _for_mixed_channels(config, dataset))
    labelled = _labelled(dataset)
    check_head(head, subsection(config, "model_config", "head_configs", head), labelled)
    if source.val_dataset is not None:
        check_validation_labels([head], _labelled(source.val_dataset), labelled)
    return ModelPlan(head, source.labels, source.val_labels, config, asked=overlay(document, requested))


def leaves(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the values of a configuration by their keys, joined by dots."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= leaves(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def overlay(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Returns ``base`` with the values of ``over`` on top, section by section; changes neither."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = (
            overlay(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def _from_request(wishes: Mapping[str, Any]) -> dict[str, Any]:
    trainer: dict[str, Any] = {}
    if "epochs" in wishes:
        trainer["max_epochs"] = wishes["epochs"]
    if "batch_size" in wishes:
        for loader in ("train_data_loader", "val_data_loader"):
            trainer[loader] = {"batch_size": wishes["batch_size"]}
    if "learning_rate" in wishes:
        trainer["optimizer"] = {"lr": float(wishes["learning_rate"])}
    return {"trainer_config": trainer}


def _from_worker(head: str, source: ModelSource) -> dict[str, Any]:
    """Sets whatever touches files, devices, processes or the network."""
    dataset = source.dataset
    image_bytes = dataset.frame_count * dataset.height * dataset.width * dataset.channels
    cached = image_bytes <= CACHED_IMAGES_BYTES
    return {
        "data_config": {
            "train_labels_path": [source.labels],
            "val_labels_path": None if source.val_labels is None else [source.val_labels],
            **({} if source.val_labels is None else {"use_same_data_for_val": False}),
            "test_file_path": None,
            "provider": "LabelsReader",
            "user_instances_only": True,
            "data_pipeline_fw": "torch_dataset_cache_img_memory" if cached else "torch_dataset",
            "cache_img_path": None,
            "use_existing_imgs": False,
            "parallel_caching": False,
            "cache_workers": 0,
        },
        "model_config": {"pretrained_backbone_weights": None, "pretrained_head_weights": None},
        "trainer_config": {
            # workers would be processes that outlive a killed trainer
            "train_data_loader": {"num_workers": 0},
            "val_data_loader": {"num_workers": 0},
            "model_ckpt": {"save_top_k": 1, "save_last": False, "monitor": "val/loss", "mode": "min"},
            "save_ckpt": True,
            "ckpt_dir": RUNS_FOLDER,
            "run_name": head,
            "resume_ckpt_path": None,
            "trainer_devices": 1,
            "trainer_device_indices": None,
            "trainer_accelerator": "auto",
            "trainer_strategy": "auto",
            "profiler": None,
            "enable_progress_bar": False,
            "visualize_preds_during_training": False,
            "keep_viz": False,
            "use_wandb": False,
            "zmq": {"controller_port": None, "publish_port": None},
            "eval": {"enabled": False},
        },
    }


def _for_mixed_channels(config: Mapping[str, Any], dataset: DatasetSummary) -> dict[str, Any]:
    """Makes all images of one kind if some are grey and some have colour: they can't share a batch."""
    if not dataset.mixes_channels or subsection(config, "data_config", "preprocessing").get(
        "ensure_grayscale"
    ):
        return {}
    return {"data_config": {"preprocessing": {"ensure_rgb": True}}}


def _labelled(dataset: DatasetSummary) -> Labelled:
    return Labelled(dataset.max_instances, dataset.node_names, dataset.edge_count)
