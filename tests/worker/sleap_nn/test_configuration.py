"""What a received configuration may decide, and what it may not."""

import contextlib
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.errors import InvalidTrainingConfigError
from sleaprtc.formats.sleap_nn.allow_list import ALLOWED_KEYS
from sleaprtc.formats.sleap_nn.configuration import (
    check_requested,
    filter_config,
    head_of,
    is_legacy,
    legacy_core,
    named_val_labels,
    parse_config,
)


def filtered(document: dict[str, Any]) -> dict[str, Any]:
    return filter_config(parse_config(yaml.safe_dump(document).encode(), "c.yaml"), "c.yaml")


def test_allowed_keys_come_through() -> None:
    document = {
        "data_config": {"preprocessing": {"scale": 0.5, "crop_size": None}},
        "model_config": {
            "backbone_config": {"unet": {"filters": 16, "max_stride": 32}, "convnext": None},
            "head_configs": {"centroid": {"confmaps": {"anchor_part": "thorax", "sigma": 2.5}}},
        },
        "trainer_config": {"max_epochs": 5, "optimizer": {"lr": 1e-4}, "lr_scheduler": {"step_lr": None}},
    }
    assert filtered(document) == document
    assert head_of(filtered(document), "c.yaml") == "centroid"


def test_what_a_sleap_export_has_of_its_own_machine_is_left_out() -> None:
    document = {
        "data_config": {
            "train_labels_path": ["/etc/passwd"],
            "test_file_path": "/etc/shadow",
            "cache_img_path": "/",
            "skeletons": None,
        },
        "trainer_config": {
            "ckpt_dir": "/root",
            "run_name": "../../x",
            "use_wandb": True,
            "wandb": {"api_key": "k"},
            "zmq": {"publish_port": 9001},
            "trainer_accelerator": "gpu",
            "trainer_devices": 8,
            "profiler": "advanced",
            "train_data_loader": {"batch_size": 2, "num_workers": 64},
            "seed": None,
        },
        "filename": "/x",
        "model_config": {"backbone_config": {"unet": {}}},
    }
    assert filtered(document) == {
        "data_config": {},
        "trainer_config": {"train_data_loader": {"batch_size": 2}, "seed": None},
        "model_config": {"backbone_config": {"unet": {}}},
    }


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (
            {"model_config": {"pretrained_backbone_weights": "/x.ckpt"}},
            "model_config.pretrained_backbone_weights",
        ),
        ({"model_config": {"pretrained_head_weights": "x"}}, "pretrained_head_weights"),
        (
            {"model_config": {"backbone_config": {"pretrained": {"name": "hub"}}}},
            "backbone_config.pretrained",
        ),
        (
            {"model_config": {"backbone_config": {"convnext": {"pre_trained_weights": "w"}}}},
            "convnext.pre_trained_weights",
        ),
        ({"trainer_config": {"resume_ckpt_path": "/x/last.ckpt"}}, "trainer_config.resume_ckpt_path"),
        ({"model_config": {"head_configs": {"embedding": {}}}}, "embedding"),
        ({"data_config": {"preprocessing": {"scale": "big"}}}, "data_config.preprocessing.scale"),
        ({"data_config": {"preprocessing": {"scale": [0.5]}}}, "preprocessing.scale"),
        ({"data_config": {"preprocessing": {"crop_size": 10**9}}}, "preprocessing.crop_size"),
        ({"data_config": {"preprocessing": 5}}, "data_config.preprocessing"),
        ({"trainer_config": {"max_epochs": 0}}, "trainer_config.max_epochs"),
        ({"trainer_config": {"max_epochs": True}}, "trainer_config.max_epochs"),
        ({"trainer_config": {"optimizer_name": "Evil"}}, "trainer_config.optimizer_name"),
        ({"trainer_config": {"optimizer_name": ["Adam"]}}, "trainer_config.optimizer_name"),
        ({"model_config": {"backbone_config": {"unet": {"max_stride": 12}}}}, "unet.max_stride"),
        ({"data_config": {"user_instances_only": False}}, "data_config.user_instances_only can't be false"),
        ({"trainer_config": {"max_epochs": None}}, "trainer_config.max_epochs can't be null"),
        ({"trainer_config": {"optimizer": None}}, "trainer_config.optimizer must be a section"),
        ({"model_config": {"head_configs": {"centriod": {}}}}, "supported: centriod. Did you mean centroid"),
        ({"model_config": {"head_configs": {"multi_class_topdown": {}}}}, "multi_class_topdown. There are:"),
        ({"model_config": {"backbone_config": None}}, "model_config.backbone_config must be a section"),
        ({"model_config": {"backbone_config": {"unet": None}}}, "must have a backbone under model_config"),
        ({"trainer_config": {"max_epoch": 3}}, "trainer_config.max_epoch isn't.*trainer_config.max_epochs?"),
        ({"trainer_conf": {}}, "trainer_conf isn't a setting of sleap-nn. Did you mean trainer_config"),
        ({"max_epochs": 3}, "max_epochs isn't a setting of sleap-nn."),
        ({"trainer_config": {"lr": 0.1}}, "trainer_config.lr isn't.*trainer_config.optimizer.lr"),
        ({"trainer_config": {"wandb": {"apikey": ""}}}, "wandb.apikey isn't.*trainer_config.wandb.api_key"),
        ({"trainer_config": {"zzz": 1}}, "trainer_config.zzz isn't a setting of sleap-nn.$"),
        ({5: 1}, "5 isn't a setting"),
        (
            {"model_config": {"head_configs": {"bottomup": {"sigma": 3}}}},
            "head_configs.bottomup.sigma isn't.*model_config.head_configs.bottomup.confmaps.sigma?",
        ),
    ],
)
def test_what_cannot_be_granted_is_refused_by_name(document: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidTrainingConfigError, match=re.sub(r"\.(?!\*)", r"\.", named)):
        filtered(document)


def test_a_number_is_read_as_sleap_nn_reads_it() -> None:
    text = b"model_config: {backbone_config: {unet: {}}}\ntrainer_config: {optimizer: {lr: 1e-4}}"
    received = filter_config(parse_config(text, "c.yaml"), "c.yaml")
    assert received["trainer_config"]["optimizer"]["lr"] == 0.0001


@pytest.mark.parametrize(("named", "expected"), [(None, None), ([], None), (["v.pkg.slp"], "v.pkg.slp")])
def test_validation_labels_are_named_by_one_path(named: Any, expected: str | None) -> None:
    assert named_val_labels({"data_config": {"val_labels_path": named}}, "c.yaml") == expected


def test_an_old_profile_names_validation_labels_too() -> None:
    profile = {"model": {}, "optimization": {}, "data": {"labels": {"validation_labels": "v.slp"}}}
    assert named_val_labels(profile, "old.json") == "v.slp"
    profile["data"]["labels"]["validation_labels"] = None  # type: ignore[assignment,index]
    assert named_val_labels(profile, "old.json") is None


@pytest.mark.parametrize("named", ["v.slp", ["a", "b"], [5], [""], {}])
def test_validation_labels_cannot_be_named_otherwise(named: Any) -> None:
    with pytest.raises(InvalidTrainingConfigError, match="val_labels_path must be a list of one path"):
        named_val_labels({"data_config": {"val_labels_path": named}}, "c.yaml")


@pytest.mark.parametrize("value", ["${oc.env:HOME}", "a${b}", "???", ["${x}"], {"${x}": 1}])
def test_interpolations_are_refused_wherever_they_are(value: Any) -> None:
    with pytest.raises(InvalidTrainingConfigError, match=r"interpolation at .*anywhere"):
        filtered({"trainer_config": {"anywhere": value}})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"a: [", "can't be read"),
        (b"!!python/object/apply:os.system ['true']", "can't be read"),
        (b"- a", "has no sections"),
        (b"", "has no sections"),
        (b"\xff\xfe\x00", "can't be read"),
        (b"a: " + b"[" * 5000 + b"]" * 5000, "can't be read|too deep"),
        (b"a: " + b"[" * 20 + b"]" * 20, "too deep"),
        (b"x" * 300_000, "too large"),
        (
            b"a: &a [x,x,x,x,x,x,x,x,x]\n"
            + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in b"bcdefgh"),
            "too long",
        ),
    ],
)
def test_what_is_no_configuration_is_refused(text: bytes, sentence: str) -> None:
    with pytest.raises(InvalidTrainingConfigError, match=sentence):
        parse_config(text, "c.yaml")


@given(st.binary(max_size=200), st.sampled_from(["c.yaml", "c.json"]))
def test_any_bytes_are_a_configuration_or_an_error_of_ours(text: bytes, name: str) -> None:
    with contextlib.suppress(InvalidTrainingConfigError):
        filter_config(parse_config(text, name), name)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def allowed_paths(allowed: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    return (
        [path] + [p for key, rule in allowed.items() for p in allowed_paths(rule, (*path, key))]
        if isinstance(allowed, dict)
        else [path]
    )


@given(st.sampled_from(allowed_paths(ALLOWED_KEYS)[1:]), JSON)
def test_any_value_of_an_allowed_key_is_taken_or_refused(path: tuple[str, ...], value: Any) -> None:
    document: Any = value
    for key in reversed(path):
        document = {key: document}
    with contextlib.suppress(InvalidTrainingConfigError):
        filter_config(document, "c.yaml")


@pytest.mark.parametrize(
    ("requested", "key"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": -1}, "epochs"),
        ({"epochs": 1e9}, "epochs"),
        ({"epochs": "10"}, "epochs"),
        ({"epochs": 2.5}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": True}, "batch_size"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"learning_rate": float("inf")}, "learning_rate"),
        ({"model_type": 7}, "model_type"),
    ],
)
def test_a_request_with_nonsense_is_refused(requested: dict[str, Any], key: str) -> None:
    with pytest.raises(InvalidTrainingConfigError, match=key):
        check_requested(requested)


def test_a_request_is_taken_as_json_has_it() -> None:
    requested = {"epochs": 3.0, "batch_size": None, "learning_rate": 1e30, "ckpt_dir": "/etc"}
    assert check_requested(requested) == {"epochs": 3, "learning_rate": 1e30}


@pytest.mark.parametrize("heads", [{}, {"centroid": None}, {"centroid": {}, "bottomup": {}}])
def test_a_configuration_trains_exactly_one_model(heads: dict[str, Any]) -> None:
    with pytest.raises(InvalidTrainingConfigError, match="exactly one model"):
        head_of({"model_config": {"head_configs": heads}}, "c.yaml")


def test_of_an_old_profile_only_the_model_and_its_training_are_kept() -> None:
    profile = {
        "data": {
            "labels": {"training_labels": "/etc/passwd", "skeletons": [{"py/object": "os"}]},
            "preprocessing": {"input_scaling": 0.5},
        },
        "model": {
            "backbone": {"unet": {"filters": 8}, "leap": None},
            "heads": {"centroid": {}},
            "base_checkpoint": "/x",
        },
        "optimization": {"epochs": 3},
        "outputs": {"runs_folder": "/root"},
    }
    assert is_legacy(profile)
    assert not is_legacy({"model_config": {}})
    core = legacy_core(profile, "old.json")
    assert "passwd" not in str(core)
    assert "base_checkpoint" not in str(core)
    assert core["outputs"] == {}
    assert core["data"]["preprocessing"] == {"input_scaling": 0.5}


@pytest.mark.parametrize("backbone", [{}, {"pretrained_encoder": {}}, {"unet": {}, "leap": {}}])
def test_an_old_profile_with_another_backbone_is_refused(backbone: dict[str, Any]) -> None:
    with pytest.raises(InvalidTrainingConfigError, match="backbone"):
        legacy_core({"model": {"backbone": backbone}, "optimization": {}}, "old.json")
