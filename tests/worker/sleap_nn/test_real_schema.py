"""Each key of sleap-nn's schema is trained with, named as changed, or refused by name; none is dropped."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sleaprtc.errors import InvalidTrainingConfigError
from sleaprtc.formats.sleap_nn.allow_list import (
    ALLOWED_KEYS,
    OTHER_HEADS,
    UNGRANTABLE,
    VAL_LABELS_PATH,
    WORKER_KEYS,
)
from sleaprtc.worker.sleap_nn.intake.dataset_summary import DatasetSummary
from sleaprtc.worker.sleap_nn.plan.training import ModelPlan, ModelSource, ReceivedConfig, plan_models
from sleaprtc.worker.sleap_nn.runner.settings import describe_settings

from ...support.real_training import PYTHON

SCRIPT = Path(__file__).with_name("real_schema.py")

pytestmark = pytest.mark.train

Path_ = tuple[str, ...]
NODES = ("head", "thorax")
FLIES = DatasetSummary(60, 1, NODES, 1, 160, 160, 1, 30.0, 1)

OTHER_VALUES: Mapping[str, Any] = {
    "train_labels_path": ["x.slp"],
    "val_labels_path": ["x.slp"],
    "test_file_path": "x.slp",
    "provider": "VideoReader",
    "data_pipeline_fw": "torch_dataset_cache_img_disk",
    "crop_mode": "bbox",
    "crop_bbox_aspect": "stretch",
    "blend": "constant",
    "accumulator_device": "cpu",
    "sampling": "grid",
    "background_fill": "grey",
    "crop_centering": "bbox",
    "skeletons": [{"name": "fly"}],
    "split_by": "video",
    "centroids_from_masks": "bbox_center",
    "bbox_source": "masks",
    "init_weights": "xavier",
    "backbone_config.convnext.model_type": "small",
    "backbone_config.swint.model_type": "small",
    "convnext.arch": {"depths": [1, 1, 1, 1], "channels": [8, 8, 8, 8]},
    "swint.arch": {"embed": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1]},
    "part_names": list(NODES),
    "anchor_part": NODES[1],
    "centroid_method": "bbox_center",
    "centroid_fallback": "bbox_center",
    "centroid_source": "computed",
    "edges": [list(NODES)],
    "monitor": "train/loss",
    "mode": "max",
    "trainer_devices": 4,
    "trainer_device_indices": [1],
    "trainer_accelerator": "gpu",
    "trainer_strategy": "ddp",
    "profiler": "simple",
    "viz_img_format": "jpg",
    "ckpt_dir": "/elsewhere",
    "optimizer_name": "AdamW",
    "threshold_mode": "rel",
    "min_lr": 1e-5,
    "filters_rate": 3.0,
    "parallel_caching": True,
    "enable_progress_bar": True,
    "save_ckpt": False,
    "num_workers": 2,
    "select_metric": "mAP",
    "sleap_nn_version": "0.1.0",
}
"""Values that differ from sleap-nn's default, or from the worker's, by the end of a key. :func:`other_value`
finds those for other keys."""


def asks_sleap_nn(task: dict[str, Any]) -> Any:
    done = subprocess.run(
        [PYTHON, SCRIPT],
        input=json.dumps(task).encode(),
        capture_output=True,
        check=True,
        timeout=300,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def leaves(trainer_python: None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asks_sleap_nn({"leaves": True})
    return found


def other_value(path: Path_, kind: str, default: Any) -> Any:
    """A valid value that isn't the default."""
    key = ".".join(path)
    for end, value in OTHER_VALUES.items():
        if key.endswith(f".{end}") or key == end:
            return value
    if kind == "bool":
        return default is not True
    if kind == "int":
        if "stride" in path[-1]:
            return 32 if default != 32 else 16
        return 16 if default is None else default + 1
    if kind == "float":
        return 0.5 if default is None else default / 2 + 0.03125
    return "something"


def with_value(path: Path_, value: Any) -> dict[str, Any]:
    """A small configuration with one more value, for the model and the backbone that the value is of."""
    head, backbone = "single_instance", "unet"
    if path[:2] == ("model_config", "head_configs"):
        head = path[2]
    if path[:2] == ("model_config", "backbone_config"):
        backbone = path[2]
    config: dict[str, Any] = {
        "model_config": {"backbone_config": {backbone: {}}, "head_configs": {head: {"confmaps": {}}}},
    }
    section = config
    for key in path[:-1]:
        section = section.setdefault(key, {})
    section[path[-1]] = value
    return config


def planned(config: dict[str, Any]) -> ModelPlan | str:
    """The plan, or the sentence with which it is refused."""
    source = ModelSource("a.slp", FLIES, None, ReceivedConfig("c.yaml", config))
    try:
        (plan,) = plan_models([source], {}, accelerated=False)
    except InvalidTrainingConfigError as error:
        return str(error)
    return plan


def at(config: Any, path: Path_) -> Any:
    for key in path:
        config = config[key]
    return config


def paths_in(table: Mapping[str, Any], path: Path_ = ()) -> Iterator[Path_]:
    for key, inner in table.items():
        if isinstance(inner, Mapping):
            yield from paths_in(inner, (*path, key))
        else:
            yield (*path, key)


def is_other_model(path: Path_) -> bool:
    return path[2:3] in [(head,) for head in OTHER_HEADS] or path[2:3] == ("pretrained",)


def test_the_tables_have_every_key_of_sleap_nn_and_no_other(leaves: list[dict[str, Any]]) -> None:
    schema = {tuple(leaf["path"]) for leaf in leaves}
    ours = {*paths_in(ALLOWED_KEYS), *paths_in(WORKER_KEYS), *UNGRANTABLE}
    assert {path for path in schema if not is_other_model(path)} == {
        path for path in ours if not is_other_model(path)
    }
    assert {path[2] for path in schema if is_other_model(path)} == {*OTHER_HEADS, "pretrained"}


def test_every_key_is_trained_with_or_named_as_changed_or_refused(leaves: list[dict[str, Any]]) -> None:
    given = {
        tuple(leaf["path"]): other_value(tuple(leaf["path"]), leaf["kind"], leaf["default"])
        for leaf in leaves
    }
    plans = {path: planned(with_value(path, value)) for path, value in given.items()}
    refused = {path for path, plan in plans.items() if isinstance(plan, str)}
    for path in refused - {VAL_LABELS_PATH}:
        assert ".".join(path) in str(plans[path]) or (is_other_model(path) and path[2] in str(plans[path]))
    assert "names the validation labels 'x.slp', which didn't come" in str(plans[VAL_LABELS_PATH])

    accepted = {path: plan for path, plan in plans.items() if isinstance(plan, ModelPlan)}
    used = completed([plan.config for plan in accepted.values()])
    asked = completed([plan.asked for plan in accepted.values()])
    trained, changed = set(), set()
    for number, (path, plan) in enumerate(accepted.items()):
        model = {"configuration": plan.configuration, "given": plan.given, "chosen": plan.chosen}
        entries = describe_settings(model, asked[number], used[number])["changed"]
        if at(used[number], path) == given[path]:
            trained.add(path)
        (entry,) = [entry for entry in entries if entry["key"] == ".".join(path)] or [None]
        if entry is not None:
            assert entry["given"]
            assert entry["asked"] != entry["used"]
            changed.add(path)

    assert not trained & changed
    assert trained | changed | refused == set(given)
    assert trained == {*paths_in(ALLOWED_KEYS)} - {("data_config", "user_instances_only")}
    assert changed == {*paths_in(WORKER_KEYS)} - {VAL_LABELS_PATH}


def completed(configs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    answers = asks_sleap_nn({"configs": configs})
    assert [answer["error"] for answer in answers if "error" in answer] == []
    return [answer["config"] for answer in answers]


def test_what_is_left_out_has_sleap_nns_own_default(trainer_python: None) -> None:
    sent = with_value(("trainer_config", "max_epochs"), 1)
    plan = planned(sent)
    assert isinstance(plan, ModelPlan)
    used, own = completed([plan.config, sent])
    model = {"configuration": "c.yaml", "given": plan.given, "chosen": ()}
    differing = {entry["key"] for entry in describe_settings(model, own, used)["changed"]}
    workers = {".".join(path) for path in paths_in(WORKER_KEYS)}
    assert differing <= workers
    assert used["trainer_config"]["optimizer"]["lr"] == 1e-4
    assert used["model_config"]["head_configs"]["single_instance"]["confmaps"]["sigma"] == 5.0
    assert used["data_config"]["augmentation_config"]["intensity"] is None
