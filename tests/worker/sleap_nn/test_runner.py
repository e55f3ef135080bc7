"""The runner's own judgements, which need no sleap-nn."""

import errno
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from sleaprtc.worker.sleap_nn.process.environment import runner_environment
from sleaprtc.worker.sleap_nn.runner.parent import RunnerError
from sleaprtc.worker.sleap_nn.runner.prediction import StoppableFrames
from sleaprtc.worker.sleap_nn.runner.tasks import explain
from sleaprtc.worker.sleap_nn.runner.training import Progress


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "OUT_OF_MEMORY"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            "OUT_OF_MEMORY",
        ),
        (MemoryError(), "OUT_OF_MEMORY"),
        (OSError(errno.ENOSPC, "No space left on device"), "DISK_FULL"),
        (RuntimeError("PytorchStreamWriter failed: No space left on device"), "DISK_FULL"),
        (ModuleNotFoundError("No module named 'sleap_nn'"), "NO_TRAINER"),
        (ValueError("odd\nand more"), "TRAINING_FAILED"),
        (KeyError(), "TRAINING_FAILED"),
        (RunnerError("INVALID_CONFIG", "The configuration is odd."), "INVALID_CONFIG"),
    ],
)
def test_an_error_becomes_a_code_and_one_line(error: Exception, code: str) -> None:
    found, sentence = explain(error)
    assert found == code
    assert sentence
    assert "\n" not in sentence


def test_a_model_counts_with_a_finite_loss_and_a_checkpoint(tmp_path: Path) -> None:
    progress = Progress("centroid", tmp_path)
    progress.end_epoch(0.5, 0.4)
    with pytest.raises(RunnerError, match="no checkpoint"):
        progress.check()
    (tmp_path / "best.ckpt").touch()
    progress.check()
    progress.end_epoch(0.3, 0.6)
    assert progress.best_loss == 0.4
    progress.end_epoch(math.nan, math.nan)
    assert progress.diverged_in == 3
    progress.check()  # the model from before is kept


@pytest.mark.parametrize("losses", [(math.nan, 0.1), (0.1, math.inf), (math.inf, None)])
def test_a_model_without_a_finite_loss_is_none(tmp_path: Path, losses: tuple[float, float | None]) -> None:
    (tmp_path / "best.ckpt").touch()
    progress = Progress("centroid", tmp_path)
    progress.end_epoch(*losses)
    with pytest.raises(RunnerError, match="in epoch 1: the learning rate is probably too high"):
        progress.check()


def test_another_python_gets_an_environment_of_its_own() -> None:
    inherited = {"PATH": "/bin", "PYTHONPATH": "/own", "VIRTUAL_ENV": "/own", "SLEAP_RTC_TOKEN": "secret"}
    own = runner_environment(inherited, other_python=False, thread_count=2, gpu_uuid=None)
    other = runner_environment(inherited, other_python=True, thread_count=0, gpu_uuid="GPU-1")
    assert own["PYTHONPATH"] == "/own"
    assert not {"PYTHONPATH", "VIRTUAL_ENV", "SLEAP_RTC_TOKEN"} & set(other)
    assert (own["OMP_NUM_THREADS"], other["OMP_NUM_THREADS"]) == ("2", "1")
    assert "CUDA_VISIBLE_DEVICES" not in own
    assert other["CUDA_VISIBLE_DEVICES"] == "GPU-1"


class BreaksOff:
    """Frames of which the second can't be decoded."""

    videos = ()

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __iter__(self) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(images=[1, 2])
        raise self.error


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (IndexError("Failed to read frame index 3.\nand more"), RunnerError),
        (MemoryError(), MemoryError),
        (RuntimeError("CUDA out of memory."), RuntimeError),
    ],
)
def test_a_video_that_breaks_off_is_the_datasets_fault(error: Exception, raised: type[Exception]) -> None:
    parent = SimpleNamespace(stop_requested=threading.Event())
    frames = StoppableFrames(BreaksOff(error), "a.mp4", parent)  # type: ignore[arg-type]
    with pytest.raises(raised) as caught:
        list(frames)
    assert frames.frame_count == 2
    if isinstance(caught.value, RunnerError):
        assert explain(caught.value, "predict") == (
            "INVALID_DATASET",
            "The frames of a.mp4 can't be read (Failed to read frame index 3).",
        )
