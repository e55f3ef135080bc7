"""Real trainings that are killed, and go on from what they left."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import yaml

from sleaprtc.worker.sleap_nn.trainer import SleapNNTrainer
from sleaprtc.worker.trainer import EpochEnded, TrainingEvent, TrainingJob, TrainingOutcome

from ...support.real_training import PYTHON, job_for, train

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("trainer_python")]

SCHEDULED = {
    "trainer_config": {
        "min_train_steps_per_epoch": 5,
        "train_steps_per_epoch": 5,
        "lr_scheduler": {"step_lr": {"step_size": 1, "gamma": 0.5}},
        "early_stopping": {"stop_training_on_plateau": True, "patience": 4, "min_delta": 1000.0},
    }
}
"""The learning rate halves with each epoch, and the first epoch is the last that counts as better."""


async def train_until(job: TrainingJob, is_enough: Callable[[EpochEnded], bool]) -> list[EpochEnded]:
    """Trains, and kills the training once an epoch is enough; returns the epochs that were reported."""
    epochs: list[EpochEnded] = []
    with trio.CancelScope() as scope:

        class Killing(list):  # type: ignore[type-arg]
            def append(self, event: TrainingEvent) -> None:
                if isinstance(event, EpochEnded):
                    epochs.append(event)
                    if is_enough(event):
                        scope.cancel()

        await train(job, Killing())
    assert scope.cancelled_caught
    return epochs


async def go_on(job: TrainingJob) -> tuple[TrainingOutcome, list[EpochEnded]]:
    events: list[TrainingEvent] = []
    outcome = await train(job, events)
    return outcome, [event for event in events if isinstance(event, EpochEnded)]


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "training_log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(autouse=True)
def killed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without time for a farewell."""
    monkeypatch.setattr("sleaprtc.worker.sleap_nn.process.runner_process.TERMINATION_GRACE_SEC", 0.0)


async def test_a_killed_training_goes_on(tmp_path: Path, recordings: dict[int, Path]) -> None:
    job = job_for(tmp_path, recordings[1], {"epochs": 6}, "single_instance")
    before = await train_until(job, lambda epoch: epoch.epoch == 3)
    outcome, after = await go_on(job)
    assert [epoch.epoch for epoch in before] == [1, 2, 3]
    assert [epoch.epoch for epoch in after] in ([4, 5, 6], [3, 4, 5, 6])
    assert outcome.total_epochs == 6
    (folder,) = outcome.model_dirs
    assert [row["epoch"] for row in table(folder)] == [str(number) for number in range(6)]
    losses = {epoch.epoch: epoch.val_loss for epoch in (*before, *after)}
    assert outcome.final_loss == min(loss for loss in losses.values() if loss is not None)
    assert len((folder / "report" / "losses.csv").read_text().splitlines()) == 7
    assert after[0].elapsed_sec > before[-1].elapsed_sec
    assert {path.name for path in folder.glob("*.ckpt*")} == {"best.ckpt"}
    assert [path.name for path in folder.parent.iterdir()] == ["single_instance"]
    trained = yaml.safe_load((folder / "training_config.yaml").read_text())
    assert trained["trainer_config"]["resume_ckpt_path"] is None


async def test_schedulers_and_early_stopping_go_on(tmp_path: Path, recordings: dict[int, Path]) -> None:
    job = job_for(tmp_path, recordings[1], {"epochs": 50}, "single_instance", **SCHEDULED)
    before = await train_until(job, lambda epoch: epoch.epoch == 2)
    outcome, after = await go_on(job)
    assert len(before) == 2
    assert outcome.total_epochs == after[-1].epoch == 5
    # sleap-nn writes each epoch's rate beside the next epoch, if the same process trains that
    rates = [row["learning_rate"] for row in table(outcome.model_dirs[0])]
    assert [bool(rate) for rate in rates] == [False, True, False, True, True]
    assert [float(rates[3]), float(rates[4])] == pytest.approx([float(rates[1]) / 4, float(rates[1]) / 8])


async def test_a_finished_model_is_not_trained_again(tmp_path: Path, recordings: dict[int, Path]) -> None:
    job = job_for(
        tmp_path, recordings[2], {"epochs": 3, "model_type": "topdown"}, "centroid", "centered_instance"
    )
    await train_until(job, lambda epoch: epoch.model == "centered_instance" and epoch.epoch == 2)
    outcome, after = await go_on(job)
    assert {epoch.model for epoch in after} == {"centered_instance"}
    assert [folder.name for folder in outcome.model_dirs] == ["centroid", "centered_instance"]
    assert outcome.total_epochs == 6
    assert after[-1].progress == 1.0


async def test_a_broken_checkpoint_costs_no_job(tmp_path: Path, recordings: dict[int, Path]) -> None:
    """As after a disk that lost a file: the best model is gone on from, or the training begins again."""
    job = job_for(tmp_path, recordings[1], {"epochs": 4}, "single_instance")
    await train_until(job, lambda epoch: epoch.epoch == 3)
    last = job.work_dir / "models" / "single_instance" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    outcome, after = await go_on(job)
    assert outcome.total_epochs == 4
    assert [epoch.epoch for epoch in after][-1] == 4


async def test_what_was_trained_so_far_is_salvaged(tmp_path: Path, recordings: dict[int, Path]) -> None:
    job = job_for(
        tmp_path, recordings[2], {"epochs": 3, "model_type": "topdown"}, "centroid", "centered_instance"
    )
    before = await train_until(job, lambda epoch: epoch.epoch == 2)
    salvaged = await SleapNNTrainer(PYTHON).salvage(job, "The worker was stopped by its owner.")
    assert salvaged is not None
    assert [folder.name for folder in salvaged.model_dirs] == ["centroid"]
    assert {path.name for path in salvaged.model_dirs[0].glob("*.ckpt*")} == {"best.ckpt"}
    assert salvaged.total_epochs == 2
    assert salvaged.final_loss == min(epoch.val_loss for epoch in before if epoch.val_loss)
    assert salvaged.cut == (
        "The training was cut short: the centroid model is the best of 2 of 3 epochs and the "
        "centered_instance "
        "model wasn't trained. The worker was stopped by its owner."
    )
