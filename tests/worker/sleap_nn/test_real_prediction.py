"""Predictions by the real runner: what it loads of a model, and how it ends early.

They run with the Python that ``SLEAP_RTC_TRAINER_PYTHON`` names, else with this one, and are skipped
where that has no sleap-nn.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
import trio
import yaml

import sleaprtc.demo.flies
from sleaprtc.errors import InvalidDatasetError, InvalidModelError
from sleaprtc.transfer.model_archive import pack_model
from sleaprtc.worker.sleap_nn.trainer import SleapNNTrainer
from sleaprtc.worker.trainer import FramesPredicted, PredictionJob, StageStarted, TrainingJob

from ...support.real_training import PYTHON

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("trainer_python")]

CONFIG = {
    "model_config": {
        "backbone_config": {"unet": {"filters": 4, "filters_rate": 1.5}},
        "head_configs": {"single_instance": {"confmaps": {"sigma": 2.5, "output_stride": 2}}},
    },
    "trainer_config": {"min_train_steps_per_epoch": 5, "train_steps_per_epoch": 5},
}

VIDEO = """
import sys
import imageio, numpy
noise = numpy.random.default_rng(0).integers(0, 255, (16, 160, 160, 1), dtype="u1").repeat(3, axis=-1)
with imageio.get_writer(sys.argv[1], fps=25, macro_block_size=None) as writer:
    for number in range(int(sys.argv[2])):
        writer.append_data(noise[number % 16])
"""

REWRITE = """
import os, pathlib, sys
import torch

class Evil:
    def __reduce__(self):
        return pathlib.Path(sys.argv[3]).touch, ()

path, how = sys.argv[1], sys.argv[2]
content = torch.load(path, map_location="cpu", weights_only=True)
if how == "code":
    content["callbacks"] = Evil()
elif how == "code among the weights":
    content["state_dict"]["evil"] = Evil()
elif how == "no tensors among the weights":
    content["state_dict"]["evil"] = [1, 2]
elif how == "no weights":
    content = {"state_dict": None}
elif how == "hyperparameters":
    content["hyper_parameters"] = {"_instantiator": "os.system", "_class_path": "os.system"}
    content["hparams_name"] = "backbone_type"
torch.save(content, path)
"""


def run_with_sleap(code, *arguments):
    command = [PYTHON, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def recording(tmp_path_factory, trainer_python):
    folder = tmp_path_factory.mktemp("flies")
    options = ["--flies", "1", "--frames", "16", "--held-out", "4"]
    command = [PYTHON, sleaprtc.demo.flies.__file__, folder, *options]
    made = subprocess.run(command, capture_output=True, check=True, timeout=120)
    return {kind: Path(path) for kind, path in json.loads(made.stdout).items()}


@pytest.fixture(scope="module")
def model(recording, tmp_path_factory):
    """A model that is hardly trained."""
    folder = tmp_path_factory.mktemp("model")
    config = folder / "single_instance.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    (folder / "job").mkdir()
    job = TrainingJob(recording["training"], (config,), {"epochs": 1}, folder / "job")

    async def train():
        return await SleapNNTrainer(PYTHON).train(job, report=lambda _: None, stop=trio.Event())

    return trio.run(train).model_dirs[0]


def job_for(tmp_path, model, recording, rewriting=None, **requested):
    copy = tmp_path / "model"
    copy.mkdir()
    for name in ("best.ckpt", "training_config.yaml"):
        (copy / name).write_bytes((model / name).read_bytes())
    if rewriting is not None:
        run_with_sleap(REWRITE, copy / "best.ckpt", rewriting, tmp_path / "it-ran")
    pack_model(copy, tmp_path / "model.zip")
    (tmp_path / "work").mkdir()
    return PredictionJob(recording, (tmp_path / "model.zip",), requested, tmp_path / "work")


async def predict(job, report=lambda _: None, stop=None):
    stop = trio.Event() if stop is None else stop
    return await SleapNNTrainer(PYTHON).predict(job, report=report, stop=stop)


@pytest.mark.parametrize("rewriting", ["code", "code among the weights"])
async def test_code_in_a_checkpoint_never_runs(tmp_path, model, recording, rewriting, monkeypatch):
    job = job_for(tmp_path, model, recording["held_out"], rewriting)
    with pytest.raises(InvalidModelError, match="more than weights"):
        await predict(job)
    for path in sorted(job.work_dir.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    monkeypatch.setattr("sleaprtc.worker.sleap_nn.intake.model_files.unsafe_imports", lambda _: [])
    with pytest.raises(InvalidModelError, match="isn't loaded"):
        await predict(job)
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize("rewriting", ["no tensors among the weights", "no weights"])
async def test_what_are_no_weights_is_refused(tmp_path, model, recording, rewriting):
    with pytest.raises(InvalidModelError):
        await predict(job_for(tmp_path, model, recording["held_out"], rewriting))


async def test_only_weights_of_a_checkpoint_count(tmp_path, model, recording):
    """Lightning would act on hyperparameters: they don't get that far."""
    outcome = await predict(job_for(tmp_path, model, recording["held_out"], "hyperparameters"))
    assert outcome.frame_count == 4
    loaded = run_with_sleap(
        "import sys, torch; print(*torch.load(sys.argv[1], weights_only=True))",
        tmp_path / "work" / "models" / "single_instance" / "best.ckpt",
    )
    assert loaded.split() == ["state_dict", "pytorch-lightning_version"]


async def test_weights_that_do_not_fit_the_configuration_are_a_sentence(tmp_path, model, recording):
    config = yaml.safe_load((model / "training_config.yaml").read_text())
    config["model_config"]["backbone_config"]["unet"]["filters"] = 6
    other = tmp_path / "other"
    other.mkdir()
    (other / "best.ckpt").write_bytes((model / "best.ckpt").read_bytes())
    (other / "training_config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(InvalidModelError, match="can't load the models"):
        await predict(job_for(tmp_path, other, recording["held_out"]))


async def test_nothing_of_this_machine_is_in_the_predictions(tmp_path, model, recording):
    outcome = await predict(job_for(tmp_path, model, recording["held_out"]))
    content = outcome.predictions.read_bytes()
    assert str(tmp_path).encode() not in content
    assert b"/tmp" not in content
    assert os.uname().nodename.encode() not in content or len(os.uname().nodename) < 4


async def test_stopping_keeps_the_predictions_so_far(tmp_path, model):
    run_with_sleap(VIDEO, tmp_path / "long.mp4", 4000)
    stop = trio.Event()

    def report(event):
        if isinstance(event, FramesPredicted):
            assert event.total_frames == 4000
            stop.set()

    outcome = await predict(job_for(tmp_path, model, tmp_path / "long.mp4"), report, stop)
    assert 0 < outcome.frame_count < 4000


async def test_a_video_that_is_broken_is_a_sentence(tmp_path, model):
    (tmp_path / "a.mp4").write_bytes(b"\x00\x00\x00\x20ftypisom" + bytes(1000))
    with pytest.raises(Exception, match=r"a\.mp4"):
        await predict(job_for(tmp_path, model, tmp_path / "a.mp4"))


FORMATS = """
import sys, sleap_io
kind, path = sys.argv[1:]
load = {"csv": sleap_io.load_csv, "analysis.h5": sleap_io.load_analysis_h5, "nwb": sleap_io.load_nwb}[kind]
print(len(load(path)))
"""


@pytest.mark.parametrize("kind", ["csv", "analysis.h5", "nwb"])
async def test_predictions_in_another_format(tmp_path, model, recording, kind):
    job = job_for(tmp_path, model, recording["held_out"], format=kind, peak_threshold=0.01)
    outcome = await predict(job)
    assert outcome.predictions.name == f"predictions.{kind}"
    assert int(run_with_sleap(FORMATS, kind, outcome.predictions)) >= 1


async def test_predictions_that_can_not_be_written_so_are_slp(tmp_path, model, recording):
    events = []
    job = job_for(tmp_path, model, recording["held_out"], format="nwb", peak_threshold=1.0)
    outcome = await predict(job, events.append)
    assert outcome.predictions.name == "predictions.slp"
    said = [event.message for event in events if isinstance(event, StageStarted)]
    assert any("can't be written as .nwb: the model found no animal" in message for message in said)


async def test_frames_outside_of_a_video_are_said_with_their_count(tmp_path, model):
    run_with_sleap(VIDEO, tmp_path / "short.mp4", 12)
    events = []
    outcome = await predict(job_for(tmp_path, model, tmp_path / "short.mp4", frames="5-40"), events.append)
    assert outcome.frame_count == 7
    sentence = r"short.mp4 has 12 frames (0 to 11), and frame 40 was asked for."
    assert any(sentence in event.message for event in events if isinstance(event, StageStarted))


async def test_frames_that_are_all_outside_of_a_video(tmp_path, model):
    run_with_sleap(VIDEO, tmp_path / "short.mp4", 12)
    with pytest.raises(InvalidDatasetError, match=r"has 12 frames \(0 to 11\), and frame 40 was asked for"):
        await predict(job_for(tmp_path, model, tmp_path / "short.mp4", frames="20-40"))
