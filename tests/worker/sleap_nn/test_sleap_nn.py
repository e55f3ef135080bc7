"""What becomes of a training whose process misbehaves, seen from the worker."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import trio

from sleaprtc.errors import InvalidDatasetError, InvalidTrainingConfigError, StorageError, TrainerError
from sleaprtc.worker.sleap_nn.process import runner_process
from sleaprtc.worker.sleap_nn.trainer import SleapNNTrainer, judge_installation
from sleaprtc.worker.trainer import EpochEnded, StageStarted, TrainingEvent, TrainingJob, TrainingOutcome

from ...support.fake_jobs import (
    CHILD_LEFT,
    CRASHED,
    DIVERGED,
    FAKE_RUNNER,
    KILLED,
    NO_CHECKPOINT,
    NO_LOSS,
    NONSENSE,
    ODD_CONFIG,
    ODD_LABELS,
    OUT_OF_MEMORY,
    RAISED,
    SILENT,
    STUBBORN,
    UNTIL_STOPPED,
    WELL,
    is_alive,
    job_for,
    pids,
)
from ...support.waiting import until


async def train(
    job: TrainingJob, events: list[TrainingEvent] | None = None, stop: trio.Event | None = None
) -> TrainingOutcome:
    trainer = SleapNNTrainer(script=FAKE_RUNNER)
    with trio.fail_after(60):
        return await trainer.train(
            job,
            report=([] if events is None else events).append,
            stop=trio.Event() if stop is None else stop,
        )


async def wait_for_file(path: Path) -> None:
    await until(lambda: path.exists() and path.read_text() != "")


async def test_a_training_is_reported_and_judged(tmp_path: Path) -> None:
    job, events = job_for(tmp_path, WELL), []
    outcome = await train(job, events)
    assert outcome == TrainingOutcome(
        model_dirs=(job.work_dir / "models" / "single_instance",),
        final_loss=0.25,
        total_epochs=4,
        duration_sec=2.5,
        device="cpu",
    )
    assert [event.stage for event in events if isinstance(event, StageStarted)] == ["preparing", "training"]
    assert [event.progress for event in events if isinstance(event, EpochEnded)] == [0.25, 0.5, 0.75, 1.0]


async def test_the_process_gets_its_threads_and_none_of_the_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLEAP_RTC_TOKEN", "secret")
    job = job_for(tmp_path, WELL)
    await train(job)
    environment = json.loads((job.work_dir / "environment.json").read_text())
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["WANDB_MODE"] == "disabled"
    assert "secret" not in environment.values()


async def test_stop_keeps_the_model_and_ends_the_children(tmp_path: Path) -> None:
    job, stop = job_for(tmp_path, UNTIL_STOPPED), trio.Event()

    async def stop_once_running() -> None:
        await wait_for_file(job.work_dir / "child.pid")
        stop.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_once_running)
        outcome = await train(job, stop=stop)
    assert outcome.total_epochs == 1
    assert not any(map(is_alive, pids(job)))


async def test_a_stop_that_came_early_is_not_lost(tmp_path: Path) -> None:
    stop = trio.Event()
    stop.set()
    assert (await train(job_for(tmp_path, UNTIL_STOPPED), stop=stop)).total_epochs == 1


@pytest.mark.parametrize("behaviour", [UNTIL_STOPPED, STUBBORN])
async def test_cancelling_ends_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: int
) -> None:
    monkeypatch.setattr(runner_process, "TERMINATION_GRACE_SEC", 0.2)
    job = job_for(tmp_path, behaviour)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(train, job)
        await wait_for_file(job.work_dir / "child.pid")
        assert all(map(is_alive, pids(job)))
        nursery.cancel_scope.cancel()
    assert len(pids(job)) == 2
    assert not any(map(is_alive, pids(job)))


@pytest.mark.parametrize(
    ("behaviour", "code", "sentence"),
    [
        (SILENT, "NO_RESULT", "without a result; its last output was: some library's last words"),
        (NO_CHECKPOINT, "TRAINING_FAILED", "no usable model of single_instance"),
        (NO_LOSS, "LOSS_NOT_FINITE", "without a finite loss"),
        (KILLED, "KILLED", "killed the training process, most likely for lack of memory"),
        (CRASHED, "KILLED", "SIGSEGV"),
        (RAISED, "NO_RESULT", "the disk is gone"),
        (OUT_OF_MEMORY, "OUT_OF_MEMORY", "ran out of memory"),
        (NONSENSE, "NO_RESULT", "without a result"),
        (DIVERGED, "LOSS_NOT_FINITE", "isn't finite"),
        (CHILD_LEFT, "NO_RESULT", "without a result"),
    ],
)
async def test_a_training_that_fails_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: int, code: str, sentence: str
) -> None:
    monkeypatch.setattr(runner_process, "LAST_EVENTS_SEC", 0.3)
    monkeypatch.setattr("sleaprtc.worker.sleap_nn.trainer.EXIT_AFTER_LAST_EVENT_SEC", 0.3)
    job = job_for(tmp_path, behaviour)
    with pytest.raises(TrainerError, match=sentence) as caught:
        await train(job)
    assert caught.value.error_code == code
    assert not any(map(is_alive, pids(job)))


async def test_what_the_runner_finds_wrong_with_the_job_is_the_jobs_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidDatasetError, match="labels are odd"):
        await train(job_for(tmp_path, ODD_LABELS))
    (tmp_path / "b").mkdir()
    with pytest.raises(InvalidTrainingConfigError, match="configuration is odd"):
        await train(job_for(tmp_path / "b", ODD_CONFIG))


async def test_a_loss_that_is_no_number_is_no_progress(tmp_path: Path) -> None:
    events: list[TrainingEvent] = []
    with pytest.raises(TrainerError, match="isn't finite"):
        await train(job_for(tmp_path, DIVERGED), events)
    assert not [event for event in events if isinstance(event, EpochEnded)]


async def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sleaprtc.worker.sleap_nn.process.failures.FULL_DISK_BYTES", 2**80)
    with pytest.raises(TrainerError, match="disk is full") as caught:
        await train(job_for(tmp_path, SILENT))
    assert caught.value.error_code == "DISK_FULL"
    assert caught.value.recoverable


async def test_bad_labels_and_bad_requests_never_reach_the_runner(tmp_path: Path) -> None:
    job = job_for(tmp_path, 0)
    with pytest.raises(InvalidTrainingConfigError, match="epochs"):
        await train(job)
    job.dataset.write_bytes(b"nothing")
    for left in job.work_dir.iterdir():
        left.unlink()
    with pytest.raises(InvalidDatasetError, match=r"flies\.pkg\.slp can't be read"):
        await train(job)
    assert pids(job) == []


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    job = job_for(tmp_path, WELL)
    job.work_dir.rmdir()
    with pytest.raises(StorageError, match="folder can't be used"):
        await train(job)


async def test_an_interpreter_that_is_missing_is_named(tmp_path: Path) -> None:
    trainer = SleapNNTrainer(tmp_path / "no-python")
    capabilities = await trainer.probe()
    assert capabilities.supported_models == ()
    assert "no-python can't be started" in (capabilities.problem or "")
    with pytest.raises(TrainerError, match="can't be started") as caught:
        await trainer.train(job_for(tmp_path, WELL), report=lambda event: None, stop=trio.Event())
    assert caught.value.error_code == "NO_TRAINER"


async def test_an_interpreter_that_is_no_python_is_named() -> None:
    capabilities = await SleapNNTrainer(Path("/bin/false")).probe()
    assert "didn't say which packages it has" in (capabilities.problem or "")


@pytest.mark.parametrize(
    ("versions", "device", "problem"),
    [
        (None, None, "didn't say"),
        ({}, None, "isn't installed"),
        ({"sleap-nn": "0.2.9", "torch": "2"}, "cpu", "too old"),
        ({"sleap-nn": "0.3.5"}, None, "torch can't be imported"),
    ],
)
def test_what_is_missing_is_said(versions: dict[str, str] | None, device: str | None, problem: str) -> None:
    capabilities = judge_installation(Path("/opt/python"), versions, device, None)
    assert capabilities.supported_models == ()
    assert problem in (capabilities.problem or "")
    assert "/opt/python" in (capabilities.problem or "")


def test_what_is_installed_is_said() -> None:
    capabilities = judge_installation(Path("p"), {"sleap-nn": "0.10.0", "torch": "2"}, "cuda", None)
    assert capabilities.supported_models == ("base", "centroid", "topdown", "bottomup")
    assert (capabilities.sleap_version, capabilities.torch_device) == ("0.10.0", "cuda")
    assert capabilities.problem is None


@pytest.mark.parametrize("end", ["kill", "close"])
async def test_the_real_runner_dies_with_its_parent(tmp_path: Path, end: str) -> None:
    """With a stand-in for sleap-nn that never finishes, under a parent that is killed outright."""
    (tmp_path / "sleap_nn").mkdir()
    (tmp_path / "sleap_nn" / "__init__.py").touch()
    (tmp_path / "torchvision.py").write_text(
        "import os, pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path('child.pid').write_text(str(child.pid))\n"
        "pathlib.Path('runner.pid').write_text(str(os.getpid()))\n"
        "time.sleep(600)\n"
    )
    parent_code = """
        import json, os, subprocess, sys, time
        read, write = os.pipe()
        runner = subprocess.Popen([sys.executable, sys.argv[1], str(write)], stdin=subprocess.PIPE,
                                  pass_fds=[write], start_new_session=True)
        task = {"command": "train", "models": [], "parent_pid": os.getpid()}
        runner.stdin.write(json.dumps(task).encode() + b"\\n")
        runner.stdin.flush()
        sys.stdin.readline()
        runner.stdin.close()
        time.sleep(600)
    """
    parent = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", textwrap.dedent(parent_code), str(runner_process.RUNNER_FILE)],
        stdin=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    try:
        with trio.fail_after(60):
            await wait_for_file(tmp_path / "runner.pid")
            runner, child = (int((tmp_path / f"{who}.pid").read_text()) for who in ("runner", "child"))
            assert is_alive(runner)
            if end == "kill":
                parent.kill()
            assert parent.stdin
            parent.stdin.close()
            await until(lambda: not is_alive(runner) and (end == "kill" or not is_alive(child)))
    finally:
        parent.kill()
        parent.wait()
        for file in tmp_path.glob("*.pid"):  # noqa: ASYNC240
            if is_alive(int(file.read_text())):
                os.kill(int(file.read_text()), signal.SIGKILL)
