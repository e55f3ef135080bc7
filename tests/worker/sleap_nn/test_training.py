"""Real trainings with sleap-nn, at smoke size.

They run with the Python that ``SLEAP_RTC_TRAINER_PYTHON`` names, else with this one, and are skipped
where that has no sleap-nn.
"""

import csv
import json
import math
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import trio
import yaml

from sleaprtc.errors import InvalidDatasetError, InvalidTrainingConfigError, TrainerError
from sleaprtc.worker.sleap_nn.trainer import SleapNNTrainer
from sleaprtc.worker.trainer import EpochEnded, StageStarted, TrainingEvent, TrainingJob

from ...support.real_training import PYTHON, job_for, train

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("trainer_python")]


def assert_holds_weights_only(checkpoint: Path) -> None:
    """Nothing in it has to be run for it to be loaded."""
    code = "import sys, torch; print(*torch.load(sys.argv[1], map_location='cpu', weights_only=True))"
    loaded = subprocess.run([PYTHON, "-c", code, checkpoint], capture_output=True, text=True, check=True)
    assert "state_dict" in loaded.stdout.split()


class TimedEvents(list[TrainingEvent]):
    """Events, and when the first came that says that labels are read, which is just before the training."""

    reading_since = math.inf

    def append(self, event: TrainingEvent) -> None:
        if isinstance(event, StageStarted) and event.message == "Reading the labels":
            self.reading_since = min(self.reading_since, time.monotonic())
        super().append(event)


@pytest.mark.parametrize(
    ("model_type", "flies", "heads"),
    [
        ("base", 1, ["single_instance"]),
        ("topdown", 2, ["centroid", "centered_instance"]),
        ("bottomup", 2, ["bottomup"]),
    ],
)
async def test_each_model_type_trains(
    tmp_path: Path, recordings: dict[int, Path], model_type: str, flies: int, heads: list[str]
) -> None:
    job = job_for(tmp_path, recordings[flies], {"model_type": model_type}, *heads)
    events = TimedEvents()
    outcome = await train(job, events)

    assert [folder.name for folder in outcome.model_dirs] == heads
    assert 0 < outcome.duration_sec < time.monotonic() - events.reading_since
    assert outcome.total_epochs == 2 * len(heads)
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    assert [(event.model, event.epoch) for event in epochs] == [(head, n) for head in heads for n in (1, 2)]
    assert epochs[-1].progress == 1.0
    assert epochs[-1].device == outcome.device
    assert outcome.final_loss == min(e.val_loss for e in epochs if e.model == heads[-1] and e.val_loss)
    for folder in outcome.model_dirs:
        assert {"best.ckpt", "training_config.yaml", "initial_config.yaml"} <= {
            f.name for f in folder.iterdir()
        }
        assert str(tmp_path) not in (folder / "training_config.yaml").read_text()
        assert_holds_weights_only(folder / "best.ckpt")
        with (folder / "training_log.csv").open() as file:
            assert len(list(csv.DictReader(file))) >= 2


async def test_labels_alone_are_enough(tmp_path: Path, recordings: dict[int, Path]) -> None:
    outcome = await train(job_for(tmp_path, recordings[1], {"epochs": 1, "batch_size": 8}))
    assert [folder.name for folder in outcome.model_dirs] == ["single_instance"]


async def test_an_old_json_profile_trains(tmp_path: Path, recordings: dict[int, Path]) -> None:
    unet = {"stem_stride": None, "max_stride": 16, "output_stride": 2, "filters": 4, "filters_rate": 1.5}
    profile = {
        "data": {
            "labels": {"training_labels": "/etc/passwd", "validation_fraction": 0.2, "skeletons": []},
            "preprocessing": {"input_scaling": 0.5},
            "instance_cropping": {"center_on_part": None, "crop_size": None},
        },
        "model": {
            "backbone": {"leap": None, "unet": unet, "pretrained_encoder": None},
            "heads": {"single_instance": None, "centroid": {"anchor_part": "thorax", "sigma": 2.5}},
        },
        "optimization": {
            "augmentation_config": {"rotate": True, "gaussian_noise_mean": 5.0, "gaussian_noise_stddev": 1.0},
            "batch_size": 4,
            "min_batches_per_epoch": 5,
            "epochs": 200,
            "optimizer": "adam",
            "initial_learning_rate": 1e-4,
        },
        "outputs": {"runs_folder": "/root", "run_name": "x"},
    }
    job = job_for(tmp_path, recordings[2], {"epochs": 1})
    path = tmp_path / "centroid.json"
    path.write_text(json.dumps(profile))
    outcome = await train(TrainingJob(job.dataset, (path,), job.requested, job.work_dir))
    (folder,) = outcome.model_dirs
    trained = yaml.safe_load((folder / "training_config.yaml").read_text())
    assert trained["model_config"]["head_configs"]["centroid"]["confmaps"]["anchor_part"] == "thorax"
    assert trained["trainer_config"]["ckpt_dir"] == "models"


async def test_a_loss_that_leaves_the_numbers_is_explained(
    tmp_path: Path, recordings: dict[int, Path]
) -> None:
    job = job_for(tmp_path, recordings[1], {"learning_rate": 1e30}, "single_instance")
    with pytest.raises(TrainerError, match="the learning rate is probably too high") as caught:
        await train(job)
    assert caught.value.error_code == "LOSS_NOT_FINITE"


async def test_stopping_keeps_the_best_model(tmp_path: Path, recordings: dict[int, Path]) -> None:
    job = job_for(tmp_path, recordings[1], {"epochs": 1000}, "single_instance")
    stop = trio.Event()

    class StopAtSecondEpoch(list):  # type: ignore[type-arg]
        def append(self, event: TrainingEvent) -> None:
            super().append(event)
            if isinstance(event, EpochEnded) and event.epoch == 2:
                stop.set()

    outcome = await train(job, StopAtSecondEpoch(), stop)
    assert 2 <= outcome.total_epochs < 100
    assert (outcome.model_dirs[0] / "best.ckpt").is_file()


async def test_cancelling_leaves_no_process(tmp_path: Path, recordings: dict[int, Path]) -> None:
    job = job_for(tmp_path, recordings[1], {"epochs": 1000}, "single_instance")
    with trio.CancelScope() as scope:

        class CancelAtFirstEpoch(list):  # type: ignore[type-arg]
            def append(self, event: TrainingEvent) -> None:
                if isinstance(event, EpochEnded):
                    scope.cancel()

        await train(job, CancelAtFirstEpoch())
    assert scope.cancelled_caught
    assert str(job.work_dir) not in working_directories()


def working_directories() -> set[str]:
    """Of all processes, where the system tells."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            found.add(str(link.readlink()))
        except OSError:
            continue
    return found


async def test_labels_that_only_look_whole_are_refused(tmp_path: Path, recordings: dict[int, Path]) -> None:
    broken = tmp_path / "broken.pkg.slp"
    content = recordings[1].read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    with pytest.raises(InvalidDatasetError, match=r"broken\.pkg\.slp can't be read"):
        await train(job_for(tmp_path, broken, {}))


async def test_a_configuration_that_sleap_nn_refuses_is_the_configurations_error(
    tmp_path: Path, recordings: dict[int, Path]
) -> None:
    schedulers = {"lr_scheduler": {"reduce_lr_on_plateau": {"min_lr": 1}}}  # an int, where it wants a float
    job = job_for(tmp_path, recordings[1], {}, "single_instance", trainer_config=schedulers)
    with pytest.raises(InvalidTrainingConfigError, match="sleap-nn doesn't take the configuration"):
        await train(job)


async def test_probing_tells_what_is_there() -> None:
    capabilities = await SleapNNTrainer(PYTHON).probe()
    assert capabilities.problem is None
    assert capabilities.supported_job_types == ("training", "inference")
    assert capabilities.torch_device in ("cpu", "cuda", "mps")


async def test_an_image_that_cannot_be_decoded_is_the_datasets_fault(
    recordings: dict[int, Path], tmp_path: Path
) -> None:
    labels = tmp_path / "broken.pkg.slp"
    labels.write_bytes(recordings[1].read_bytes())
    with h5py.File(labels, "r+") as file:
        images = file["video0/video"]
        images[0] = images[0][:20] if images.dtype.hasobject else np.zeros_like(images[0])
    with pytest.raises(InvalidDatasetError, match="can't be decoded: that of labelled frame 1"):
        await SleapNNTrainer(PYTHON).train(
            job_for(tmp_path, labels, {"model_type": "base"}), report=lambda _: None, stop=trio.Event()
        )
