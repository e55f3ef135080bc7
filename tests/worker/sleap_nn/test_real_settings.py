"""What a configuration says and leaves out, in the ``training_config.yaml`` of real trainings."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from sleaprtc.worker.trainer import StageStarted, TrainingEvent, TrainingJob

from ...support.real_training import PYTHON, train

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("trainer_python")]

FEW_KEYS: dict[str, Any] = {
    "data_config": {"preprocessing": {"scale": 0.5}},
    "model_config": {
        "backbone_config": {"unet": {"filters": 4}},
        "head_configs": {"single_instance": {"confmaps": {}}},
    },
    "trainer_config": {"max_epochs": 1, "min_train_steps_per_epoch": 5, "train_steps_per_epoch": 5},
}

MARK_NEGATIVES = """
import sys, sleap_io
labels = sleap_io.load_slp(sys.argv[1])
for frame in list(labels)[: int(sys.argv[3])]:
    frame.instances, frame.is_negative = [], True
labels.save(sys.argv[2], embed="user")
"""

FIRST_FRAMES = """
import sys, sleap_io
labels = sleap_io.load_slp(sys.argv[1])
labels.extract(list(range(int(sys.argv[3])))).save(sys.argv[2], embed="user")
"""

LAST_FRAMES = FIRST_FRAMES.replace("range(int(sys.argv[3]))", "range(int(sys.argv[3]), len(labels))")


def made_from(recording: Path, folder: Path, script: str, *arguments: object) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "made.pkg.slp"
    command = [PYTHON, "-c", script, recording, path, *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return path


def job_of(tmp_path: Path, labels: Path, config: dict[str, Any] | None, **requested: Any) -> TrainingJob:
    work_dir = tmp_path / "job"
    work_dir.mkdir()
    if config is None:
        return TrainingJob(labels, (), requested, work_dir)
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(config))
    return TrainingJob(labels, (path,), requested, work_dir)


def summary_of(model: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((model / "report" / "metrics.json").read_text())
    return summary


async def test_what_a_configuration_leaves_out_has_sleap_nns_defaults(
    tmp_path: Path, recordings: dict[int, Path]
) -> None:
    config = json.loads(json.dumps(FEW_KEYS))
    config["data_config"] |= {"validation_fraction": 0.25, "augmentation_config": None}
    config["model_config"]["init_weights"] = "xavier"
    config["trainer_config"] |= {"seed": 7, "eval": {"oks_stddev": 0.05}}
    config["trainer_config"]["train_data_loader"] = {"num_workers": 4}
    events: list[TrainingEvent] = []
    outcome = await train(job_of(tmp_path, recordings[1], config), events)
    (model,) = outcome.model_dirs
    trained = yaml.safe_load((model / "training_config.yaml").read_text())
    assert trained["trainer_config"]["optimizer"]["lr"] == 0.0001
    confmaps = trained["model_config"]["head_configs"]["single_instance"]["confmaps"]
    assert (confmaps["sigma"], confmaps["output_stride"]) == (5.0, 1)
    assert trained["data_config"]["augmentation_config"] is None
    assert trained["data_config"]["validation_fraction"] == 0.25
    assert trained["model_config"]["init_weights"] == "xavier"
    assert trained["trainer_config"]["seed"] == 7
    assert trained["trainer_config"]["eval"]["oks_stddev"] == 0.05

    settings, validation = summary_of(model)["settings"], summary_of(model)["validation"]
    changed = {entry["key"]: entry for entry in settings["changed"]}
    assert (settings["configuration"], settings["chosen"]) == ("c.yaml", [])
    assert changed["trainer_config.train_data_loader.num_workers"] == {
        "key": "trainer_config.train_data_loader.num_workers",
        "asked": 4,
        "used": 0,
        "given": True,
    }
    assert changed["trainer_config.save_ckpt"]["given"] is False
    assert validation == {"source": "held_out", "frames": 4, "train_frames": 12}
    told = [event.message for event in events if isinstance(event, StageStarted)]
    assert "Not as in c.yaml: trainer_config.train_data_loader.num_workers (4 became 0)" in told
    assert "num_workers = 0, not 4" in (tmp_path / "job" / "trainer.log").read_text()


async def test_what_is_chosen_for_labels_is_in_the_report(
    tmp_path: Path, recordings: dict[int, Path]
) -> None:
    outcome = await train(job_of(tmp_path, recordings[1], None, epochs=1, learning_rate=0.002))
    settings = summary_of(outcome.model_dirs[0])["settings"]
    chosen = {entry["key"]: entry["used"] for entry in settings["chosen"]}
    assert settings["configuration"] is None
    assert chosen["data_config.preprocessing.scale"] == 1.0
    assert chosen["model_config.head_configs.single_instance.confmaps.sigma"] == 2.5
    assert not {"trainer_config.max_epochs", "trainer_config.optimizer.lr"} & set(chosen)
    assert not any(entry["given"] for entry in settings["changed"])


async def test_negative_frames_take_part(tmp_path: Path, recordings: dict[int, Path]) -> None:
    labels = made_from(recordings[1], tmp_path, MARK_NEGATIVES, 6)
    config = {**FEW_KEYS, "data_config": {"use_negative_frames": True, "validation_fraction": 0.4}}
    (model,) = (await train(job_of(tmp_path, labels, config, epochs=2))).model_dirs
    rows = list(csv.DictReader((model / "training_log.csv").read_text().splitlines()))
    assert any(float(row["train/n_negative"] or 0) > 0 for row in rows)


async def test_validation_labels_of_their_own_are_measured_on(
    tmp_path: Path, recordings: dict[int, Path]
) -> None:
    job = job_of(tmp_path, made_from(recordings[1], tmp_path, LAST_FRAMES, 5), FEW_KEYS)
    val_labels = made_from(recordings[1], tmp_path / "validation", FIRST_FRAMES, 5)
    assert val_labels.name == job.dataset.name
    (model,) = (await train(attrs.evolve(job, validation=(val_labels,)))).model_dirs
    assert summary_of(model)["validation"] == {"source": "file", "frames": 5, "train_frames": 11}
    assert not any("trained on" in problem for problem in summary_of(model)["problems"])
    trained = yaml.safe_load((model / "training_config.yaml").read_text())
    assert trained["data_config"]["val_labels_path"] == [f"validation-{val_labels.name}"]


@pytest.mark.parametrize(
    ("source", "from_frame", "shared", "sentence"),
    [
        ("file", 2, 3, "3 of the 5 validation frames are trained on, too"),
        ("trained_on", 0, 5, "since those are the frames of the validation labels"),
    ],
    ids=["some", "all"],
)
async def test_validation_labels_that_are_trained_on_say_so(
    tmp_path: Path, recordings: dict[int, Path], source: str, from_frame: int, shared: int, sentence: str
) -> None:
    """A person names the labels of a project twice, or a second export of them."""
    job = job_of(tmp_path, made_from(recordings[1], tmp_path, LAST_FRAMES, from_frame), FEW_KEYS)
    val_labels = made_from(recordings[1], tmp_path / "validation", FIRST_FRAMES, 5)
    (model,) = (await train(attrs.evolve(job, validation=(val_labels,)))).model_dirs
    summary = summary_of(model)
    counts = {"frames": 5, "train_frames": 16 - from_frame, "shared_frames": shared}
    assert summary["validation"] == {"source": source, **counts}
    assert any(sentence in problem for problem in summary["problems"])
    assert ("val" in summary["splits"]) <= (source == "file")


@pytest.mark.parametrize(
    ("frame_count", "is_asked_for"), [(1, False), (6, True)], ids=["a single frame", "asked for"]
)
async def test_a_model_measured_on_its_training_frames_says_so(
    tmp_path: Path, recordings: dict[int, Path], frame_count: int, is_asked_for: bool
) -> None:
    labels = made_from(recordings[1], tmp_path, FIRST_FRAMES, frame_count)
    data = {"use_same_data_for_val": True} if is_asked_for else {}
    events: list[TrainingEvent] = []
    outcome = await train(job_of(tmp_path, labels, {**FEW_KEYS, "data_config": data}), events)
    (model,) = outcome.model_dirs
    summary = summary_of(model)
    assert summary["validation"] == {
        "source": "trained_on",
        "frames": frame_count,
        "train_frames": frame_count,
    }
    assert "val" not in summary["splits"]
    why = "use_same_data_for_val" if is_asked_for else "too few to hold any out"
    assert any(why in problem for problem in summary["problems"])
    told = [event.message for event in events if isinstance(event, StageStarted)]
    assert any("It has no validation" in message for message in told)
    assert [event.val_loss for event in events if not isinstance(event, StageStarted)] == [None]
    (row,) = csv.DictReader((model / "report" / "losses.csv").read_text().splitlines())
    assert row["val_loss"] == ""
