"""A training that takes more of the worker's machine than its owner lets it."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
import trio

from sleaprtc.client.jobs.order.persistence import ONE_ATTEMPT
from sleaprtc.client.jobs.submission.retry import carry_out
from sleaprtc.client.jobs.train import training_order
from sleaprtc.errors import JobFailedError, TrainerError, TransferError
from sleaprtc.protocol.jobs import JobRequest
from sleaprtc.protocol.limits import MIB
from sleaprtc.worker.jobs.disk import WorkerDisk
from sleaprtc.worker.sleap_nn.plan.kept import write_plans
from sleaprtc.worker.sleap_nn.plan.training import ModelPlan
from sleaprtc.worker.sleap_nn.process import limits, runner_process
from sleaprtc.worker.sleap_nn.process.limits import TrainingLimits, disk_of
from sleaprtc.worker.sleap_nn.trainer import SleapNNTrainer
from sleaprtc.worker.trainer import StageStarted, TrainingEvent, TrainingOutcome

from ..support.fake_jobs import FAKE_RUNNER, UNTIL_STOPPED, is_alive, job_for, pids
from ..support.lab import Lab, ScriptedTrainer, make_labels

HUNGRY, FILLS_THE_DISK, DEAF = 16, 17, 18


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHECK_INTERVAL_SEC", 0.05)
    monkeypatch.setattr(runner_process, "TERMINATION_GRACE_SEC", 0.3)


async def train(
    tmp_path: Path, behaviour: int, allowed: TrainingLimits
) -> tuple[TrainingOutcome, list[TrainingEvent]]:
    job, events = job_for(tmp_path, behaviour), []
    trainer = SleapNNTrainer(script=FAKE_RUNNER, limits=allowed)
    try:
        with trio.fail_after(60):
            outcome = await trainer.train(job, report=events.append, stop=trio.Event())
    finally:
        assert pids(job)
        assert not any(map(is_alive, pids(job)))
    return outcome, events


@pytest.mark.parametrize(
    ("behaviour", "allowed", "code", "sentence"),
    [
        (
            HUNGRY,
            TrainingLimits(max_memory_bytes=70 * MIB),
            "MEMORY_LIMIT",
            "owner allows 70: a smaller batch",
        ),
        (
            FILLS_THE_DISK,
            TrainingLimits(max_disk_bytes=2 * MIB),
            "DISK_LIMIT",
            "MiB of disk, and the worker's",
        ),
    ],
)
async def test_what_takes_too_much_is_ended_and_told(
    tmp_path: Path, behaviour: int, allowed: TrainingLimits, code: str, sentence: str
) -> None:
    with pytest.raises(TrainerError, match=sentence) as caught:
        await train(tmp_path, behaviour, allowed)
    assert (caught.value.error_code, caught.value.recoverable) == (code, False)


async def test_a_job_that_takes_another_s_share_of_the_disk_ends_and_the_other_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sleaprtc.jobs.disk.TRAINING_BYTES", 2 * MIB)
    disk = WorkerDisk(tmp_path, 4.5 * MIB, None)
    (tmp_path / "greedy").mkdir()
    job = job_for(tmp_path / "greedy", FILLS_THE_DISK)
    disk.begin(JobRequest("greedy", "training"), tmp_path / "greedy")
    disk.begin(JobRequest("other", "training"), tmp_path / "other")
    job = attrs.evolve(job, lacks_disk=lambda: disk.has_to_end("greedy"))
    trainer = SleapNNTrainer(script=FAKE_RUNNER)
    with (
        pytest.raises(TrainerError, match="other jobs have reserved the rest") as caught,
        trio.fail_after(60),
    ):
        await trainer.train(job, report=lambda _: None, stop=trio.Event())
    assert (caught.value.error_code, caught.value.recoverable) == ("DISK_FULL", True)
    assert not any(map(is_alive, pids(job)))
    assert not disk.has_to_end("other")


async def test_when_the_time_is_over_the_best_model_is_kept(tmp_path: Path) -> None:
    outcome, events = await train(tmp_path, UNTIL_STOPPED, TrainingLimits(max_sec=1.0))
    assert outcome.total_epochs == 1
    (told,) = [event for event in events if isinstance(event, StageStarted) and event.stage == "finalizing"]
    assert "hours per job, which are over: keeping the best model." in told.message


async def test_the_time_before_a_restart_of_the_worker_counts(tmp_path: Path) -> None:
    job, events = job_for(tmp_path, UNTIL_STOPPED), []
    config = {"trainer_config": {"max_epochs": UNTIL_STOPPED}}
    write_plans(job.work_dir, (ModelPlan("single_instance", "flies.pkg.slp", None, config, config),))
    (job.work_dir / "state").mkdir()
    row = {"epoch": 1, "total_epochs": 4, "train_loss": 0.5, "val_loss": 0.4, "device": "cpu"}
    log = json.dumps({**row, "elapsed_sec": 4000.0})
    (job.work_dir / "state" / "single_instance.jsonl").write_text(f"{log}\n")
    trainer = SleapNNTrainer(script=FAKE_RUNNER, limits=TrainingLimits(max_sec=3600.0))
    with trio.fail_after(60):
        await trainer.train(job, report=events.append, stop=trio.Event())
    (told,) = [event for event in events if isinstance(event, StageStarted) and event.stage == "finalizing"]
    assert "allows 1 hours per job" in told.message


async def test_one_that_does_not_hear_is_ended_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STOP_GRACE_SEC", 0.2)
    with pytest.raises(TrainerError, match="which are over; nothing was finished") as caught:
        await train(tmp_path, DEAF, TrainingLimits(max_sec=1.0))
    assert caught.value.error_code == "TIME_LIMIT"


async def test_links_do_not_count_for_what_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * MIB)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "large")
    (folder / "nowhere").symlink_to(tmp_path / "nothing")
    assert disk_of(folder) == 0
    assert disk_of(tmp_path) >= MIB
    assert disk_of(tmp_path / "gone") == 0


async def test_a_dataset_that_is_too_large_is_refused_unsent(lab: Lab, tmp_path: Path) -> None:
    labels = make_labels(tmp_path / "flies.pkg.slp", padding_bytes=3 * MIB)
    async with lab.worker("gpu-1", max_dataset_bytes=MIB):
        # By the data channel or by the server, whichever is quicker.
        with pytest.raises(
            (TransferError, JobFailedError), match="has 3 MiB, and the worker's owner allows 1"
        ):
            await lab.train(labels)
        assert disk_of(tmp_path / "gpu-1") == 0


@pytest.mark.parametrize("count", [1, 17])
async def test_configurations_too_large_or_too_many_are_refused(lab: Lab, tmp_path: Path, count: int) -> None:
    size_bytes, sentence = (300_000, "at most 256 KiB") if count == 1 else (100, "at most 16 configurations")
    configs = [tmp_path / f"config-{number}.yaml" for number in range(count)]
    for config in configs:
        config.write_text("#".ljust(size_bytes, "x"))
    labels = make_labels(tmp_path / "flies.pkg.slp")
    # our own client refuses them itself, so it isn't let look
    order = attrs.evolve(await training_order(labels, out_dir=tmp_path / "out"), configs=tuple(configs))
    trainer = ScriptedTrainer()
    async with lab.worker("gpu-1", trainer):
        with pytest.raises((TransferError, JobFailedError), match=sentence):
            await carry_out(order, lab.options, ONE_ATTEMPT, lambda _: None)
    assert not trainer.jobs
