"""What a worker makes of an inference before and after its runner does it."""

import json
import sys
import zipfile
from pathlib import Path

import attrs
import pytest
import trio
import yaml

from sleaprtc.errors import (
    InvalidDatasetError,
    InvalidModelError,
    InvalidTrainingConfigError,
    TrainerError,
)
from sleaprtc.transfer.model_archive import pack_model
from sleaprtc.worker.sleap_nn.intake.model_files import ReceivedModel, read_models
from sleaprtc.worker.sleap_nn.intake.recordings import put_recording
from sleaprtc.worker.sleap_nn.plan.prediction import plan_prediction
from sleaprtc.worker.sleap_nn.process.limits import TrainingLimits
from sleaprtc.worker.sleap_nn.trainer import SleapNNTrainer
from sleaprtc.worker.trainer import FramesPredicted, PredictionJob, StageStarted

from ...support.lab import make_labels, make_model, make_video

FAKE = Path(__file__).with_name("fake_prediction_runner.py")


def packed(tmp_path, head="centroid", config=None, name="a", **how):
    model = make_model(tmp_path / name, head, **how)
    if config is not None:
        (model / "training_config.yaml").write_text(
            config if isinstance(config, str) else yaml.safe_dump(config)
        )
    pack_model(model, tmp_path / f"{name}.zip")
    return tmp_path / f"{name}.zip"


def config_of(head="centroid", **more):
    return {"model_config": {"head_configs": {head: {"confmaps": {"sigma": 2.5}}}}, **more}


def read(tmp_path, *archives):
    (tmp_path / "work").mkdir(exist_ok=True)
    return read_models(archives, tmp_path / "work")


# --- models ---------------------------------------------------------------------------------


def test_models_are_told_by_their_heads(tmp_path):
    archives = [packed(tmp_path, head, name=head) for head in ("centered_instance", "centroid")]
    models = read(tmp_path, *archives)
    assert [model.head for model in models] == ["centered_instance", "centroid"]
    assert not any(model.checkpoint.is_absolute() for model in models)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("os system", "os system"), ("torch.hub load", "torch.hub load"), ("builtins eval", "builtins eval")],
)
def test_code_in_a_checkpoint_is_refused(tmp_path, name, shown):
    with pytest.raises(InvalidModelError, match=rf"more than weights \({shown}\)"):
        read(tmp_path, packed(tmp_path, imports=["torch._utils _rebuild_tensor_v2", name]))


def test_a_checkpoint_of_an_old_format_is_refused(tmp_path):
    """Its reader in PyTorch is another one, and could be made to run what weights_only forbids."""
    model = make_model(tmp_path / "m")
    whole = (model / "best.ckpt").read_bytes()
    for number, content in enumerate([b"\x80\x02}q\x00.", b"\x80\x02}q\x00." + whole, whole[:100]]):
        (model / "best.ckpt").write_bytes(content)
        pack_model(model, tmp_path / f"{number}.zip")
        with pytest.raises(InvalidModelError, match="isn't a checkpoint of PyTorch"):
            read_models([tmp_path / f"{number}.zip"], tmp_path / f"work-{number}")


def test_what_a_configuration_may_say(tmp_path):
    skeletons = [{"name": "fly", "nodes": [{"name": "head"}], "edges": [], "symmetries": []}]
    config = config_of(
        data_config={
            "train_labels_path": ["/etc/passwd"],
            "cache_img_path": "/tmp",
            "preprocessing": {"scale": 0.5, "crop_size": 48, "crop_mode": "fixed"},
            "skeletons": skeletons,
        },
        trainer_config={"ckpt_dir": "/root", "resume_ckpt_path": "/etc/x", "wandb": {"api_key": "x"}},
    )
    config["model_config"] |= {
        "pretrained_backbone_weights": "/etc/x",
        "backbone_config": {"unet": {"filters": 8}, "swint": None, "pretrained": "x"},
    }
    (model,) = read(tmp_path, packed(tmp_path, config=config))
    assert model.config == {
        "data_config": {
            "preprocessing": {"scale": 0.5, "crop_size": 48, "crop_mode": "fixed"},
            "skeletons": skeletons,
        },
        "model_config": {
            "backbone_config": {"unet": {"filters": 8}, "swint": None},
            "head_configs": {"centroid": {"confmaps": {"sigma": 2.5}}},
        },
    }


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("model_config: {a: '${oc.env:HOME}'}", "interpolation"),
        ("model_config: !!python/object/apply:os.system [ls]", "can't be read"),
        ("model: {}\noptimization: {}", "SLEAP 1.4 or earlier"),
        ("[]", "no sections"),
        (config_of("multi_class_topdown"), "isn't supported"),
        ({"model_config": {"head_configs": {}}}, "exactly one model"),
        (config_of(data_config={"preprocessing": {"scale": "/etc"}}), "scale can't be"),
        (config_of(data_config={"skeletons": [{"nodes": 3}]}), "skeletons can't be"),
        ("a: 1\n" * 100_000, "too large"),
    ],
)
def test_what_a_configuration_may_not_say(tmp_path, config, sentence):
    with pytest.raises(InvalidModelError, match=sentence):
        read(tmp_path, packed(tmp_path, config=config))


@pytest.mark.parametrize(
    "heads",
    [["centered_instance"], ["centroid", "centroid"], ["single_instance", "centroid"], []],
)
def test_models_that_do_not_belong_together(tmp_path, heads):
    archives = [packed(tmp_path, head, name=f"m{number}") for number, head in enumerate(heads)]
    with pytest.raises(InvalidModelError, match="don't make a prediction together"):
        read(tmp_path, *archives)


# --- recordings -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "is_one"),
    [
        ("a.mp4", b"\x00\x00\x00\x0cftypisom\x00\x00\x00\x08moov", True),
        ("a.MOV", b"\x00\x00\x00\x08moov\x00\x00\x00\x00mdat", True),
        ("a.avi", b"RIFF\x00\x00\x00\x00AVI LIST", True),
        ("a.mkv", b"\x1a\x45\xdf\xa3rest", True),
        ("a.mp4", b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\nfile:///etc/passwd\n", False),
        ("a.avi", b"ffconcat version 1.0\nfile /etc/passwd\n", False),
        ("a.avi", b"RIFF\x00\x00\x00\x00WAVE", False),
        ("a.mkv", b"", False),
        ("a.mp4", b"\x00\x00\x00\x20ftypisom", False),
        ("a.MOV", b"\x00\x00\x00\x08wide\x00\x00\x00\x00mdat", False),
        ("a.txt", b"\x00\x00\x00\x20ftypisom", False),
        ("a.slp", b"\x00\x00\x00\x20ftypisom", False),
    ],
)
async def test_only_containers_of_frames_are_videos(tmp_path, name, content, is_one):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(content)
    if is_one:
        assert await put_recording(tmp_path / "in" / name, tmp_path) == name
        assert (tmp_path / name).read_bytes() == content
    else:
        with pytest.raises(InvalidDatasetError):
            await put_recording(tmp_path / "in" / name, tmp_path)


async def test_labels_that_point_elsewhere_are_refused(tmp_path):
    labels = make_labels(tmp_path / "a.slp", embedded=False)
    (tmp_path / "work").mkdir()
    with pytest.raises(InvalidDatasetError, match="outside of itself"):
        await put_recording(labels, tmp_path / "work")


# --- plans ----------------------------------------------------------------------------------


def test_a_plan_takes_what_is_known_and_leaves_the_rest():
    model = ReceivedModel("centroid", Path("a/best.ckpt"), {})
    requested = {"frames": "0-3,9", "peak_threshold": 0.5, "batch_size": 2.0, "tracking": True, "device": "x"}
    plan = plan_prediction("a.mp4", [model], requested)
    assert (plan.frames, plan.peak_threshold, plan.batch_size) == (((0, 3), (9, 9)), 0.5, 2)
    assert plan.is_video
    assert plan.tracking


@pytest.mark.parametrize(
    "requested",
    [
        {"frames": "all"},
        {"frames": 3},
        {"peak_threshold": 2},
        {"batch_size": 0},
        {"tracking": "yes"},
        {"format": "xlsx"},
        {"format": 5},
    ],
)
def test_a_wish_that_cannot_be_is_refused(requested):
    with pytest.raises(InvalidTrainingConfigError):
        plan_prediction("a.mp4", [], requested)


# --- a runner that misbehaves ---------------------------------------------------------------


def job_for(tmp_path, batch_size):
    """The batch size says how the runner behaves."""
    archive = packed(tmp_path)
    (tmp_path / "work").mkdir()
    dataset = make_video(tmp_path / "a.mp4")
    return PredictionJob(dataset, (archive,), {"batch_size": batch_size}, tmp_path / "work")


async def predict(job, events=None, stop=None):
    trainer = SleapNNTrainer(Path(sys.executable), script=FAKE)
    report = ([] if events is None else events).append
    return await trainer.predict(job, report=report, stop=trio.Event() if stop is None else stop)


async def test_a_runner_that_does_well(tmp_path):
    events = []
    job = job_for(tmp_path, 1)
    outcome = await predict(job, events)
    assert (outcome.frame_count, outcome.duration_sec, outcome.device) == (5, 2.5, "cpu")
    assert FramesPredicted(5, 5, 10.0, "cpu") in events
    assert "predicting" in [event.stage for event in events if isinstance(event, StageStarted)]
    task = json.loads((job.work_dir / "task.json").read_text())
    assert task["recording"] == "a.mp4"
    assert str(tmp_path) not in json.dumps({key: task[key] for key in ("recording", "models", "output")})


async def test_the_predictions_are_those_in_the_wanted_format(tmp_path):
    job = job_for(tmp_path, 10)
    job = attrs.evolve(job, requested={**job.requested, "format": "analysis.h5"})
    outcome = await predict(job)
    task = json.loads((job.work_dir / "task.json").read_text())
    assert (task["format"], Path(task["converter"]).name) == ("analysis.h5", "convert_predictions.py")
    assert (outcome.frame_count, outcome.predictions.name) == (5, "predictions.analysis.h5")


@pytest.mark.parametrize(
    ("behaviour", "code", "sentence"),
    [
        (2, "PREDICTION_FAILED", "no readable predictions"),  # says "done" without a file
        (3, "PREDICTION_FAILED", "no readable predictions"),  # leaves half a file
        (4, "PREDICTION_FAILED", "Only 5 of 50 frames"),
        (5, "NO_RESULT", "The prediction process ended without a result"),  # and with status 0
        (6, "KILLED", "prediction process"),
        (7, "OUT_OF_MEMORY", "ran out of memory"),
    ],
)
async def test_a_runner_that_fails(tmp_path, behaviour, code, sentence):
    with pytest.raises(TrainerError, match=sentence) as caught:
        await predict(job_for(tmp_path, behaviour))
    assert caught.value.error_code == code


async def test_a_model_that_only_the_runner_sees_through(tmp_path):
    with pytest.raises(InvalidModelError, match="isn't loaded"):
        await predict(job_for(tmp_path, 8))


async def test_stopping_keeps_what_there_is(tmp_path):
    stop = trio.Event()
    stop.set()
    assert (await predict(job_for(tmp_path, 9), stop=stop)).frame_count == 5


async def test_when_the_time_is_over_the_predictions_so_far_are_kept(tmp_path):
    events = []
    trainer = SleapNNTrainer(Path(sys.executable), script=FAKE, limits=TrainingLimits(max_sec=0.2))
    job = job_for(tmp_path, 9)
    assert (await trainer.predict(job, report=events.append, stop=trio.Event())).frame_count == 5
    assert any("keeping the predictions so far" in event.message for event in events)


async def test_an_archive_that_is_none(tmp_path):
    job = job_for(tmp_path, 1)
    with zipfile.ZipFile(job.models[0], "w") as archive:
        archive.writestr("readme.txt", "x")
    with pytest.raises(Exception, match="holds no model"):
        await predict(job)
