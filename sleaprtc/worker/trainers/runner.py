"""The script that trains, run by the interpreter in which sleap-nn lives.

That interpreter has its own packages, so this file imports nothing but the standard library and what
sleap-nn brings. It's started as ``python runner.py EVENTS_FD`` in a session of its own, with its task
as one JSON line on standard input, and says everything as one JSON object a line to the pipe with the
given number: libraries print to standard output. A later line ``stop`` on standard input ends training
early; its end means that the parent is gone, and ends this process with all its children.
"""

import contextlib
import ctypes
import errno
import importlib
import importlib.metadata
import json
import math
import os
import pathlib
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class RunnerError(Exception):
    """What ends a task, with the code that the parent knows it by (see ``failures.py``)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Parent:
    """Both directions of the talk with the process that started this one."""

    def __init__(self, events_fd: int) -> None:
        self._events = os.fdopen(events_fd, "w", encoding="utf-8")
        self._received = b""
        self.stop_requested = threading.Event()

    def tell(self, event: str, **fields: Any) -> None:
        """Sends one event; numbers that JSON lacks become null."""
        line = json.dumps({"event": event, **{key: _finite(value) for key, value in fields.items()}})
        self._events.write(line + "\n")
        self._events.flush()

    def read_task(self) -> dict[str, Any]:
        """The first line of standard input."""
        task: dict[str, Any] = json.loads(self._read_line())
        return task

    def watch(self) -> None:
        """Reads standard input to its end, which comes with the parent's."""
        while (line := self._read_line()) is not None:
            if line.strip() == b"stop":
                self.stop_requested.set()
        end_group()

    def _read_line(self) -> Any:
        # os.read rather than sys.stdin: a buffered reader that a thread waits in blocks the exit
        while b"\n" not in self._received:
            block = os.read(0, 65536)
            if not block:
                return None
            self._received += block
        line, _, self._received = self._received.partition(b"\n")
        return line


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def end_group() -> None:
    """Kills this process and every process it started."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def die_with_parent(parent_pid: int) -> None:
    """Lets the kernel kill this process when the parent ends, even while no Python code can run."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        end_group()


# --- what is installed ----------------------------------------------------------------------


def probe(task: Mapping[str, Any], parent: Parent) -> None:
    """Says which packages are there, and, once torch is imported, what it can compute on."""
    versions = {}
    for package in ("sleap-nn", "sleap-io", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    parent.tell("installed", versions=versions, python=sys.version.split()[0])
    if "torch" in versions:
        parent.tell("device", device=available_device())


def available_device() -> str:
    """The best kind of device that the installed torch can use."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    return "cpu"


def import_torchvision() -> None:
    """Imports torchvision, with the operators it expects where its build lacks them.

    PyPI's torchvision beside a CPU build of torch fails to import because its compiled operators
    aren't there. Training never calls them; that they are declared is enough.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _declare_torchvision_operators()
        importlib.import_module("torchvision")


_declared_operators: list[Any] = []  # the declarations last as long as their library object


def _declare_torchvision_operators() -> None:
    import torch

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared_operators.append(library)


def convert(task: Mapping[str, Any], parent: Parent) -> None:
    """Turns SLEAP's JSON profiles (up to 1.4) into sleap-nn configurations."""
    from omegaconf import OmegaConf
    from sleap_nn.config.training_job_config import TrainingJobConfig

    converted = []
    for profile in task["profiles"]:
        try:
            config = TrainingJobConfig.load_sleap_config_from_json(profile["document"])
        except Exception as error:
            name = profile["name"]
            raise RunnerError(
                "INVALID_CONFIG", f"{name} can't be converted for sleap-nn ({error})."
            ) from error
        converted.append(OmegaConf.to_container(config, resolve=False))
    parent.tell("converted", configs=converted)


# --- training -------------------------------------------------------------------------------


class Stopwatch:
    """Runs from when it's first read, which is when the first model's training starts."""

    def __init__(self) -> None:
        self._started: float | None = None

    def elapsed_sec(self) -> float:
        """Seconds since the first call."""
        now = time.monotonic()
        self._started = now if self._started is None else self._started
        return now - self._started


class Progress:
    """What one model's training has come to so far."""

    def __init__(self, head: str, directory: pathlib.Path) -> None:
        self.head = head
        self.directory = directory
        self.epochs = 0
        self.best_loss = math.inf
        self.device = "unknown"
        self.fitted = False
        self.diverged_in: int | None = None

    def end_epoch(self, train_loss: float, val_loss: float | None) -> None:
        """Takes in one epoch's losses; a checkpoint is chosen by the validation's, where there is one."""
        self.epochs += 1
        chosen = train_loss if val_loss is None else val_loss
        if math.isfinite(train_loss) and math.isfinite(chosen):
            self.best_loss = min(self.best_loss, chosen)
        else:
            self.diverged_in = self.epochs

    def check(self) -> None:
        """Raises unless there's a checkpoint that a finite loss chose."""
        if not math.isfinite(self.best_loss):
            when = "" if self.diverged_in is None else f" in epoch {self.diverged_in}"
            raise RunnerError(
                "LOSS_NOT_FINITE",
                f"The loss of the {self.head} model stopped being a finite number{when}: "
                "the learning rate is probably too high.",
            )
        if not (self.directory / "best.ckpt").is_file():
            raise RunnerError("TRAINING_FAILED", f"sleap-nn left no checkpoint of the {self.head} model.")


def train(task: Mapping[str, Any], parent: Parent) -> None:
    """Trains every model of the task in order, and says "done" when all of it has succeeded."""
    parent.tell("stage", stage="preparing", message="Loading sleap-nn")
    import_torchvision()
    stopwatch = Stopwatch()
    finished: list[dict[str, Any]] = []
    for model in task["models"]:
        if finished and parent.stop_requested.is_set():
            break
        trainer_config = model["config"]["trainer_config"]
        directory = pathlib.Path(trainer_config["ckpt_dir"], trainer_config["run_name"])
        progress = Progress(model["head"], directory)
        train_model(model, progress, stopwatch, parent)
        finished.append(
            {
                "head": progress.head,
                "directory": str(directory),
                "best_loss": progress.best_loss,
                "epochs": progress.epochs,
                "device": progress.device,
            }
        )
    parent.tell("done", models=finished, duration_sec=stopwatch.elapsed_sec())


def train_model(model: Mapping[str, Any], progress: Progress, stopwatch: Stopwatch, parent: Parent) -> None:
    """Trains and evaluates one model."""
    from omegaconf import OmegaConf
    from sleap_nn.train import run_training

    parent.tell("stage", stage="preparing", model=progress.head, message="Reading the labels")
    labels = load_labels(model["labels"])
    val_labels = None if model["val_labels"] is None else load_labels(model["val_labels"])
    config = verify_config(OmegaConf.create(model["config"]))
    try:
        with reporting_to(make_reporter(progress, stopwatch, parent)):
            run_training(config, [labels], None if val_labels is None else [val_labels])
    except Exception:
        if not progress.fitted:
            raise
        # a weak model can fail sleap-nn's evaluation, and is a model all the same
        traceback.print_exc()
    progress.check()


def load_labels(path: str) -> Any:
    """Reads labels whose images are embedded, and forgets where those came from.

    The paths of the original videos in a received file are a stranger's, and are never opened.
    """
    import sleap_io

    try:
        labels = sleap_io.load_slp(path, open_videos=False)
        for video in labels.videos:
            video.source_video = None
            video.open_backend = True
            video.open()
    except Exception as error:
        raise RunnerError("INVALID_DATASET", f"{path} can't be read as a SLEAP dataset ({error}).") from error
    return labels


def verify_config(config: Any) -> Any:
    """Lets sleap-nn judge a configuration before anything is built."""
    from sleap_nn.config.training_job_config import verify_training_cfg

    try:
        return verify_training_cfg(config)
    except Exception as error:
        raise RunnerError("INVALID_CONFIG", f"sleap-nn doesn't take the configuration: {error}") from error


@contextlib.contextmanager
def reporting_to(reporter: Any) -> Iterator[None]:
    """Adds a callback to every ``lightning.Trainer`` made inside the block.

    sleap-nn takes no callbacks of its own users, and makes its trainer through this public name.
    """
    import lightning

    original = lightning.Trainer

    class ReportingTrainer(original):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, callbacks: Any = None, **options: Any) -> None:
            super().__init__(*args, callbacks=[*(callbacks or []), reporter], **options)

    lightning.Trainer = ReportingTrainer
    try:
        yield
    finally:
        lightning.Trainer = original


def make_reporter(progress: Progress, stopwatch: Stopwatch, parent: Parent) -> Any:
    """A Lightning callback that reports epochs and ends training when asked to, or when it diverges."""
    import lightning

    class Reporter(lightning.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.loss_sum: Any = 0.0
            self.batch_count = 0

        def on_fit_start(self, trainer: Any, module: Any) -> None:
            stopwatch.elapsed_sec()

        def on_train_start(self, trainer: Any, module: Any) -> None:
            progress.device = str(next(module.parameters()).device)
            parent.tell(
                "stage",
                stage="training",
                model=progress.head,
                message=f"Training the {progress.head} model on {progress.device}",
            )

        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            self.loss_sum, self.batch_count = 0.0, 0

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
            loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
            self.loss_sum = self.loss_sum + loss.detach()
            self.batch_count += 1
            # the first epoch is seen through, since before its end there's no model to keep
            trainer.should_stop |= parent.stop_requested.is_set() and progress.epochs > 0

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            train_loss = float(self.loss_sum) / max(self.batch_count, 1)
            measured = trainer.callback_metrics.get("val/loss")
            val_loss = None if measured is None else float(measured)
            progress.end_epoch(train_loss, val_loss)
            progress.device = str(next(module.parameters()).device)
            parent.tell(
                "epoch",
                model=progress.head,
                epoch=progress.epochs,
                total_epochs=trainer.max_epochs,
                train_loss=train_loss,
                val_loss=val_loss,
                device=progress.device,
                elapsed_sec=stopwatch.elapsed_sec(),
            )
            trainer.should_stop |= progress.diverged_in is not None or parent.stop_requested.is_set()

        def on_fit_end(self, trainer: Any, module: Any) -> None:
            progress.fitted = True
            progress.check()  # without a model there's nothing to evaluate
            message = f"Evaluating the best {progress.head} model"
            if progress.diverged_in is not None:
                message += f" before the loss stopped being finite in epoch {progress.diverged_in}"
            parent.tell("stage", stage="finalizing", model=progress.head, message=message)

    return Reporter()


# --- failing --------------------------------------------------------------------------------


def explain(error: BaseException) -> tuple[str, str]:
    """An error's code and one sentence for a person."""
    text = str(error).strip()
    first_line = text.splitlines()[0][:500] if text else type(error).__name__
    if isinstance(error, RunnerError):
        return error.code, text
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text:
        remedy = "a smaller batch size, or a lower scale of the images, needs less"
        return "OUT_OF_MEMORY", f"Training ran out of memory: {remedy}."
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text:
        return "DISK_FULL", "The worker's disk is full."
    if isinstance(error, ImportError):
        return "NO_TRAINER", f"sleap-nn can't be imported on the worker: {first_line}"
    return "TRAINING_FAILED", f"sleap-nn couldn't train: {first_line}"


COMMANDS: dict[str, Callable[[Mapping[str, Any], Parent], None]] = {
    "probe": probe,
    "convert": convert,
    "train": train,
}


def main() -> None:
    """Carries out the one task that the parent sends."""
    # modules beside this file must not shadow installed ones
    own_folder = str(pathlib.Path(__file__).resolve().parent)
    sys.path[:] = [folder for folder in sys.path if folder != own_folder]
    parent = Parent(int(sys.argv[1]))
    task = parent.read_task()
    die_with_parent(task["parent_pid"])
    threading.Thread(target=parent.watch, daemon=True).start()
    try:
        COMMANDS[task["command"]](task, parent)
    except Exception as error:
        traceback.print_exc()
        code, message = explain(error)
        parent.tell("failed", code=code, message=message)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # all is said; nothing that a library does at exit may hold the process


if __name__ == "__main__":
    main()
