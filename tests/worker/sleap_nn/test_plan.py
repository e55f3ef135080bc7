"""Deciding what is trained from labels, configurations and a request."""

from typing import Any

import attrs
import pytest

from sleaprtc.errors import InvalidTrainingConfigError
from sleaprtc.formats.sleap_nn.configuration import section
from sleaprtc.worker.sleap_nn.intake.dataset_summary import DatasetSummary
from sleaprtc.worker.sleap_nn.plan.settings import choose_max_stride, choose_min_steps
from sleaprtc.worker.sleap_nn.plan.training import (
    ModelPlan,
    ModelSource,
    ReceivedConfig,
    overlay,
    plan_models,
)

ONE_FLY = DatasetSummary(60, 1, ("head", "thorax", "abdomen"), 2, 160, 160, 1, 30.0, 1)
TWO_FLIES = attrs.evolve(ONE_FLY, max_instances=2)


def plan(
    requested: dict[str, Any],
    dataset: DatasetSummary = TWO_FLIES,
    *configs: dict[str, Any],
    gpu: bool = False,
) -> tuple[ModelPlan, ...]:
    sources = [
        ModelSource("a.slp", dataset, None, ReceivedConfig(f"{number}.yaml", config))
        for number, config in enumerate(configs)
    ] or [ModelSource("a.slp", dataset)]
    return plan_models(sources, requested, accelerated=gpu)


def heads(plans: tuple[ModelPlan, ...]) -> list[str]:
    return [one.head for one in plans]


def config_for(head: str, **sections: Any) -> dict[str, Any]:
    return {**with_head(head, sigma=3.0), **sections}


def with_head(head: str, **confmaps: Any) -> dict[str, Any]:
    backbone = {"unet": {"filters": 7}}
    return {"model_config": {"backbone_config": backbone, "head_configs": {head: {"confmaps": confmaps}}}}


@pytest.mark.parametrize(
    ("model_type", "dataset", "expected"),
    [
        ("base", ONE_FLY, ["single_instance"]),
        ("centroid", TWO_FLIES, ["centroid"]),
        ("topdown", TWO_FLIES, ["centroid", "centered_instance"]),
        ("bottomup", TWO_FLIES, ["bottomup"]),
        (None, ONE_FLY, ["single_instance"]),
        (None, TWO_FLIES, ["centroid", "centered_instance"]),
        (None, attrs.evolve(TWO_FLIES, max_instance_px=140.0), ["bottomup"]),
        (
            None,
            attrs.evolve(TWO_FLIES, max_instance_px=140.0, edge_count=0),
            ["centroid", "centered_instance"],
        ),
    ],
)
def test_model_types_become_heads(
    model_type: str | None, dataset: DatasetSummary, expected: list[str]
) -> None:
    assert heads(plan({"model_type": model_type}, dataset)) == expected


@pytest.mark.parametrize("received", [{}, {"data_config": {"preprocessing": {"ensure_rgb": False}}}])
def test_grey_and_colour_videos_are_trained_in_colour(received: dict[str, Any]) -> None:
    mixed = attrs.evolve(ONE_FLY, channels=3, least_channels=1)
    configs = [config_for("single_instance", **received)] if received else []
    (one,) = plan({}, mixed, *configs)
    assert one.config["data_config"]["preprocessing"]["ensure_rgb"] is True


def test_a_configuration_may_make_all_of_them_grey() -> None:
    mixed = attrs.evolve(ONE_FLY, channels=3, least_channels=1)
    grey = config_for("single_instance", data_config={"preprocessing": {"ensure_grayscale": True}})
    (one,) = plan({}, mixed, grey)
    preprocessing = one.config["data_config"]["preprocessing"]
    assert (preprocessing.get("ensure_rgb", False), preprocessing["ensure_grayscale"]) == (False, True)


@pytest.mark.parametrize("channels", [1, 3])
def test_videos_of_one_kind_stay_as_they_are(channels: int) -> None:
    (one,) = plan({}, attrs.evolve(ONE_FLY, channels=channels, least_channels=channels))
    assert not one.config["data_config"]["preprocessing"].get("ensure_rgb")


def test_labels_to_validate_on_count_too() -> None:
    colour = attrs.evolve(ONE_FLY, channels=3, least_channels=3)
    assert ONE_FLY.together_with(colour).mixes_channels
    assert ONE_FLY.together_with(None) == ONE_FLY


def test_settings_fit_the_labels() -> None:
    centroid, centered = (one.config for one in plan({"model_type": "topdown"}))
    assert centroid["data_config"]["preprocessing"]["scale"] == 1.0
    assert centered["data_config"]["preprocessing"]["crop_size"] == 48
    assert centroid["model_config"]["backbone_config"]["unet"]["in_channels"] == 1
    assert centroid["trainer_config"]["min_train_steps_per_epoch"] == 30

    large = attrs.evolve(TWO_FLIES, height=1024, width=1280, channels=3, max_instance_px=200.0)
    centroid, centered = (one.config for one in plan({"model_type": "topdown"}, large))
    assert centroid["data_config"]["preprocessing"]["scale"] == 0.25
    assert centered["model_config"]["backbone_config"]["unet"]["max_stride"] == 64
    assert centered["model_config"]["backbone_config"]["unet"]["in_channels"] == 3
    assert centered["data_config"]["preprocessing"]["crop_size"] % 64 == 0


@pytest.mark.parametrize(("head", "dataset"), [("base", ONE_FLY), ("bottomup", TWO_FLIES)])
def test_whole_images_are_halved_beyond_1024_pixels(head: str, dataset: DatasetSummary) -> None:
    for longer_side, scale in ((160, 1.0), (1024, 1.0), (1025, 0.5)):
        (one,) = plan({"model_type": head}, attrs.evolve(dataset, width=longer_side))
        assert one.config["data_config"]["preprocessing"]["scale"] == scale


def test_a_crop_has_room_for_the_smallest_network() -> None:
    tiny = attrs.evolve(TWO_FLIES, max_instance_px=1.0)
    _, centered = plan({"model_type": "topdown"}, tiny)
    assert centered.config["data_config"]["preprocessing"]["crop_size"] == 32


def test_one_animal_is_turned_a_little_and_several_by_any_angle() -> None:
    for model_type, dataset, turn in (("base", ONE_FLY, 15), ("bottomup", TWO_FLIES, 180)):
        (one,) = plan({"model_type": model_type}, dataset)
        geometric = one.config["data_config"]["augmentation_config"]["geometric"]
        assert (geometric["rotation_min"], geometric["rotation_max"]) == (-turn, turn)
        assert {geometric["rotation_p"], geometric["scale_p"]} == {1.0}  # each image


def test_maps_and_fields_weigh_the_same() -> None:
    (one,) = plan({"model_type": "bottomup"})
    head = one.config["model_config"]["head_configs"]["bottomup"]
    assert head["confmaps"]["loss_weight"] == head["pafs"]["loss_weight"]


def test_the_network_sees_a_whole_animal() -> None:
    assert [choose_max_stride(px) for px in (10, 76, 77, 156, 200, 5000)] == [16, 16, 32, 32, 64, 64]


@pytest.mark.parametrize(
    ("frames", "cpu", "gpu"), [(1, 10, 50), (60, 30, 60), (200, 50, 200), (5000, 50, 200)]
)
def test_epochs_are_short_without_a_gpu(frames: int, cpu: int, gpu: int) -> None:
    assert choose_min_steps(frames, accelerated=False) == cpu
    assert choose_min_steps(frames, accelerated=True) == gpu


def test_a_request_overrides_configurations() -> None:
    received = config_for(
        "centroid",
        trainer_config={"max_epochs": 200, "optimizer": {"lr": 1e-4}, "train_data_loader": {"batch_size": 4}},
    )
    requested = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01}
    (one,) = plan(requested, TWO_FLIES, received)
    trainer = one.config["trainer_config"]
    assert (trainer["max_epochs"], trainer["optimizer"]["lr"]) == (2, 0.01)
    assert trainer["train_data_loader"]["batch_size"] == trainer["val_data_loader"]["batch_size"] == 8


def test_a_configuration_is_neither_filled_in_nor_softened() -> None:
    received = config_for("centroid", trainer_config={"min_train_steps_per_epoch": 200})
    for gpu in (False, True):
        (one,) = plan({}, TWO_FLIES, received, gpu=gpu)
        assert one.config["model_config"] == {
            **received["model_config"],
            "pretrained_backbone_weights": None,
            "pretrained_head_weights": None,
        }
        assert one.config["trainer_config"]["min_train_steps_per_epoch"] == 200
        assert not {"optimizer", "max_epochs", "early_stopping"} & set(one.config["trainer_config"])
        assert not {"preprocessing", "augmentation_config", "use_same_data_for_val"} & set(
            one.config["data_config"]
        )
        assert (one.configuration, one.asked, one.chosen) == ("0.yaml", received, ())
        assert set(one.given) >= {"trainer_config.min_train_steps_per_epoch"}


def test_what_is_derived_is_known_to_be_chosen() -> None:
    (one,) = plan({"model_type": "centroid", "learning_rate": 0.5}, TWO_FLIES)
    assert one.configuration is None
    assert "trainer_config.optimizer.lr" not in one.chosen
    assert {"data_config.preprocessing.scale", "trainer_config.max_epochs"} <= set(one.chosen)
    assert one.asked["trainer_config"]["optimizer"] == {"lr": 0.5}
    assert "save_ckpt" not in one.asked["trainer_config"]


def test_null_means_none_where_sleap_nn_accepts_it() -> None:
    received = config_for(
        "centroid",
        data_config={"augmentation_config": None},
        trainer_config={"lr_scheduler": None, "online_hard_keypoint_mining": None},
    )
    (one,) = plan({}, TWO_FLIES, received)
    assert one.config["data_config"]["augmentation_config"] is None
    assert one.config["trainer_config"]["lr_scheduler"] is None


def test_another_backbone_is_taken_as_it_is() -> None:
    received = config_for("centroid")
    received["model_config"]["backbone_config"] = {"unet": None, "convnext": {"model_type": "tiny"}}
    (one,) = plan({}, TWO_FLIES, received)
    assert one.config["model_config"]["backbone_config"] == {"unet": None, "convnext": {"model_type": "tiny"}}
    received["model_config"]["backbone_config"]["unet"] = {"filters": 4}
    with pytest.raises(InvalidTrainingConfigError, match="one backbone"):
        plan({}, TWO_FLIES, received)


def test_the_worker_alone_decides_about_paths_and_devices() -> None:
    received = config_for(
        "centroid",
        data_config={"train_labels_path": ["/etc/passwd"], "cache_img_path": "/"},
        trainer_config={
            "ckpt_dir": "/root",
            "run_name": "../x",
            "use_wandb": True,
            "zmq": {"publish_port": 9001},
            "trainer_devices": 8,
            "trainer_accelerator": "gpu",
            "train_data_loader": {"num_workers": 64},
            "save_ckpt": False,
            "profiler": "simple",
        },
    )
    (one,) = plan({}, TWO_FLIES, received)
    trainer = one.config["trainer_config"]
    assert one.config["data_config"]["train_labels_path"] == ["a.slp"]
    assert one.config["data_config"]["cache_img_path"] is None
    assert one.config["data_config"]["cache_workers"] == 0
    assert one.config["data_config"]["user_instances_only"] is True
    assert (trainer["ckpt_dir"], trainer["run_name"], trainer["save_ckpt"]) == ("models", "centroid", True)
    assert (trainer["trainer_devices"], trainer["trainer_accelerator"]) == (1, "auto")
    assert trainer["train_data_loader"]["num_workers"] == 0
    assert trainer["zmq"] == {"controller_port": None, "publish_port": None}
    assert (trainer["use_wandb"], trainer["profiler"]) == (False, None)
    assert not {"passwd", "root", "../x"} & set(str(one.config).split("'"))


def test_validation_labels_are_used_where_there_are_some() -> None:
    (one,) = plan_models([ModelSource("a.slp", ONE_FLY, "v.slp")], {}, accelerated=False)
    assert one.val_labels == "v.slp"
    assert one.config["data_config"]["val_labels_path"] == ["v.slp"]


@pytest.mark.parametrize(
    ("val_dataset", "sentence"),
    [
        (attrs.evolve(ONE_FLY, node_names=("head", "thorax")), "have the nodes head, thorax, and the others"),
        (TWO_FLIES, "frames with 2 animals"),
    ],
)
def test_validation_labels_that_do_not_go_with_the_others_are_refused(
    val_dataset: DatasetSummary, sentence: str
) -> None:
    source = ModelSource("a.slp", ONE_FLY, "v.slp", val_dataset=val_dataset)
    with pytest.raises(InvalidTrainingConfigError, match=sentence):
        plan_models([source], {}, accelerated=False)


def test_validation_labels_go_before_validating_on_the_same_frames() -> None:
    data = {"use_same_data_for_val": True, "val_labels_path": ["elsewhere/v.slp"]}
    config = ReceivedConfig("c.yaml", config_for("single_instance", data_config=data))
    (one,) = plan_models([ModelSource("a.slp", ONE_FLY, "v.slp", config)], {}, accelerated=False)
    assert one.config["data_config"]["use_same_data_for_val"] is False
    assert one.config["data_config"]["val_labels_path"] == ["v.slp"]


def test_a_single_frame_validates_on_itself() -> None:
    (one,) = plan({}, attrs.evolve(ONE_FLY, frame_count=1))
    assert one.config["data_config"]["use_same_data_for_val"] is True


def test_images_too_many_for_memory_are_read_from_disk() -> None:
    (one,) = plan({}, attrs.evolve(ONE_FLY, frame_count=200_000))
    assert one.config["data_config"]["data_pipeline_fw"] == "torch_dataset"


def test_a_model_type_picks_among_configurations() -> None:
    both = config_for("centered_instance"), config_for("centroid")
    assert heads(plan({}, TWO_FLIES, *both)) == ["centered_instance", "centroid"]
    assert heads(plan({"model_type": "topdown"}, TWO_FLIES, *both)) == ["centroid", "centered_instance"]
    assert heads(plan({"model_type": "centroid"}, TWO_FLIES, *both)) == ["centroid"]
    assert heads(plan({"model_type": "topdown"}, TWO_FLIES, both[0])) == ["centered_instance"]


@pytest.mark.parametrize(
    ("requested", "dataset", "configs", "sentence"),
    [
        ({"model_type": "multi"}, ONE_FLY, [], "no model type 'multi'; there are: base, centroid"),
        ({"model_type": "base"}, TWO_FLIES, [], "2 animals.*use topdown or bottomup"),
        ({"model_type": "bottomup"}, attrs.evolve(TWO_FLIES, edge_count=0), [], "no edges"),
        ({"epochs": 0}, ONE_FLY, [], "epochs can't be 0"),
        (
            {"model_type": "bottomup"},
            TWO_FLIES,
            [config_for("centroid")],
            "The model type bottomup is bottomup, and the configurations train centroid",
        ),
        (
            {"model_type": "topdown"},
            TWO_FLIES,
            [config_for("centroid")],
            "topdown is centroid and centered_instance, and the configurations train centroid",
        ),
        (
            {},
            TWO_FLIES,
            [config_for("centroid", data_config={"val_labels_path": ["v.pkg.slp"]})],
            r"names the validation labels 'v.pkg.slp', which didn't come",
        ),
        ({}, TWO_FLIES, [config_for("centroid"), config_for("centroid")], "same model: centroid"),
        ({}, TWO_FLIES, [with_head("centroid", anchor_part="nose")], "anchor_part is 'nose'"),
        ({}, TWO_FLIES, [with_head("centered_instance", anchor_part="nose")], "head, thorax, abdomen"),
        ({}, TWO_FLIES, [with_head("centered_instance", part_names=["head"])], "part_names must be"),
        ({}, TWO_FLIES, [{}], "must have a backbone"),
        ({}, TWO_FLIES, [{"model_config": {"backbone_config": {"unet": {}}}}], "exactly one model"),
        (
            {},
            TWO_FLIES,
            [
                {
                    "model_config": {
                        "backbone_config": {"unet": {}},
                        "head_configs": {"bottomup": {"pafs": {"edges": [["head", "tail"]]}}},
                    }
                }
            ],
            "aren't nodes of the skeleton: tail",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_training(
    requested: dict[str, Any], dataset: DatasetSummary, configs: list[dict[str, Any]], sentence: str
) -> None:
    with pytest.raises(InvalidTrainingConfigError, match=sentence):
        plan(requested, dataset, *configs)


def test_overlaying_changes_neither_side() -> None:
    base, over = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 5}, "d": {"e": 1}}
    assert overlay(base, over) == {"a": {"b": 5, "c": 2}, "d": {"e": 1}}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}
    assert section({"a": 1}, "a", "b") is None
