"""What of a configuration can be known, and refused, before anything is sent."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from sleaprtc.client.jobs.order.settings import TrainingSettings
from sleaprtc.client.jobs.train import training_order
from sleaprtc.errors import EXIT_USAGE, InvalidTrainingConfigError

from ..support.lab import make_labels, make_package


def config_file(folder: Path, *heads: str, more: str = "") -> Path:
    path = folder / f"{'-'.join(heads)}.yaml"
    sections = ", ".join(f"{head}: {{confmaps: {{}}}}" for head in heads)
    path.write_text(
        f"model_config: {{backbone_config: {{unet: {{}}}}, head_configs: {{{sections}}}}}\n{more}"
    )
    return path


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            "trainer_config: {max_epoch: 3}",
            r"^centroid\.yaml: trainer_config\.max_epoch isn't a setting of sleap-nn\. "
            r"Did you mean trainer_config\.max_epochs\?$",
        ),
        ("trainer_config: {max_epochs: 0}", "max_epochs can't be 0"),
        ("trainer_config: {resume_ckpt_path: a.ckpt}", "resume_ckpt_path"),
        ("data_config: {user_instances_only: false}", "user_instances_only can't be false"),
    ],
)
async def test_what_a_worker_would_refuse(tmp_path: Path, more: str, sentence: str) -> None:
    labels = make_labels(tmp_path / "a.pkg.slp")
    config = config_file(tmp_path, "centroid", more=more)
    with pytest.raises(InvalidTrainingConfigError, match=sentence) as caught:
        await training_order(labels, out_dir=tmp_path, configs=[config])
    assert caught.value.exit_status == EXIT_USAGE


@pytest.mark.parametrize("head", ["multi_class_topdown", "multi_class_bottomup", "embedding"])
async def test_a_model_that_no_worker_trains(tmp_path: Path, head: str) -> None:
    labels = make_labels(tmp_path / "a.pkg.slp")
    with pytest.raises(InvalidTrainingConfigError, match=f"isn't supported: {head}"):
        await training_order(labels, out_dir=tmp_path, configs=[config_file(tmp_path, head)])


@pytest.mark.parametrize(
    ("model_type", "heads"),
    [
        ("topdown", ["centroid"]),
        ("topdown", ["centered_instance"]),
        ("centroid", ["centroid", "centered_instance"]),
        ("base", ["bottomup"]),
        (None, ["centroid", "centroid"]),
    ],
)
async def test_what_is_asked_for_is_not_what_would_be_trained(
    tmp_path: Path, model_type: str | None, heads: list[str]
) -> None:
    labels = make_labels(tmp_path / "a.pkg.slp")
    configs = [config_file(tmp_path, head) for head in heads]
    with pytest.raises(InvalidTrainingConfigError, match="onfigurations train") as caught:
        await training_order(labels, out_dir=tmp_path, configs=configs, settings=TrainingSettings(model_type))
    assert caught.value.exit_status == EXIT_USAGE


@pytest.mark.parametrize(
    ("model_type", "heads"),
    [
        ("topdown", ["centroid", "centered_instance"]),
        ("topdown", ["centered_instance", "centroid"]),
        ("centroid", ["centroid"]),
        (None, ["centered_instance"]),
    ],
)
async def test_what_is_asked_for_is_what_is_trained(
    tmp_path: Path, model_type: str | None, heads: list[str]
) -> None:
    labels = make_labels(tmp_path / "a.pkg.slp")
    configs = [config_file(tmp_path, head) for head in heads]
    order = await training_order(
        labels, out_dir=tmp_path, configs=configs, settings=TrainingSettings(model_type)
    )
    assert order.configs == tuple(configs)


async def test_an_old_profile_trains_what_is_asked_for(tmp_path: Path) -> None:
    labels, profile = make_labels(tmp_path / "a.pkg.slp"), tmp_path / "old.json"
    profile.write_text('{"model": {"heads": {"centroid": {}, "multi_instance": null}}, "optimization": {}}')
    settings = TrainingSettings("topdown")
    with pytest.raises(InvalidTrainingConfigError, match="is centroid and centered_instance, and the"):
        await training_order(labels, out_dir=tmp_path, configs=[profile], settings=settings)


async def test_one_model_of_a_package_may_be_asked_for(tmp_path: Path) -> None:
    labels = make_labels(tmp_path / "a.pkg.slp")
    package = make_package(tmp_path / "job.zip", labels, ["centroid", "centered_instance"])
    order = await training_order(package, out_dir=tmp_path, settings=TrainingSettings("centroid"))
    order.scratch.remove()
    assert order.settings.model_type == "centroid"
    with pytest.raises(InvalidTrainingConfigError, match="the package trains centroid and centered_instance"):
        await training_order(package, out_dir=tmp_path, settings=TrainingSettings("bottomup"))


async def test_a_mistyped_key_in_a_package(tmp_path: Path) -> None:
    labels, package = make_labels(tmp_path / "a.pkg.slp"), tmp_path / "job.zip"
    config = config_file(tmp_path, "centroid", more="trainer_config: {max_epoch: 3}")
    with zipfile.ZipFile(package, "w") as archive:
        for file in (labels, config):
            archive.write(file, file.name)
    with pytest.raises(InvalidTrainingConfigError, match=r"^centroid\.yaml: trainer_config\.max_epoch isn't"):
        await training_order(package, out_dir=tmp_path)
