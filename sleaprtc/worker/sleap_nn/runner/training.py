"""Training: every model of a task, in order, reported epoch by epoch."""

import contextlib
import math
import pathlib
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .inspection import import_torchvision
from .keeping import KeptModel, hold_folder, keeping_trainer, make_keeper
from .parent import Parent, RunnerError, reason_of
from .report import add_problem, make_report
from .settings import describe_settings, text, told
from .validation import TRAINED_ON, count_shared_frames, describe_validation, warning

MAX_LOOKING_SEC = 30.0  # some thousand images


class Stopwatch:
    """A stopwatch that starts when it is first read, which is when the first model's training starts."""

    def __init__(self) -> None:
        self._started: float | None = None
        self._before_sec = 0.0

    def elapsed_sec(self) -> float:
        """Seconds since the first call, and those of earlier processes."""
        now = time.monotonic()
        self._started = now if self._started is None else self._started
        return self._before_sec + now - self._started

    def go_on_from(self, elapsed_sec: float) -> None:
        """Adds what earlier processes took, whose work this one continues."""
        self._before_sec = max(self._before_sec, elapsed_sec)


class Progress:
    """The state of one model's training."""

    def __init__(self, head: str, directory: pathlib.Path) -> None:
        self.head = head
        self.directory = directory
        self.own_frames_shared: int | None = None
        self.validation: dict[str, Any] | None = None
        self.settings: dict[str, Any] = {}
        self.epochs = 0
        self._losses: list[tuple[int, float, float | None]] = []
        self.best_loss = math.inf
        self.best_epoch: int | None = None
        self.device = "unknown"
        self.fitted = False
        self.diverged_in: int | None = None
        self.rows: list[dict[str, Any]] = []

    def restore(self, row: Mapping[str, Any]) -> None:
        """Takes over an epoch that an earlier process has trained."""
        self.device = row["device"]
        self.end_epoch(row["train_loss"], row["val_loss"])
        self.rows.append(dict(row))

    @property
    def is_validated(self) -> bool:
        """Whether what sleap-nn calls the validation loss is one: of frames that aren't trained on."""
        return self.validation is None or self.validation["source"] != TRAINED_ON

    @property
    def losses(self) -> list[tuple[int, float, float | None]]:
        """Each epoch's number, training loss and validation loss, if there is one."""
        if self.is_validated:
            return self._losses
        return [(epoch, train_loss, None) for epoch, train_loss, _ in self._losses]

    def see_validation(self) -> None:
        """Finds out what the model is validated on. If that fails, nothing else does."""
        try:
            self.validation = describe_validation(self.directory, self.own_frames_shared)
        except Exception:
            traceback.print_exc()

    def end_epoch(self, train_loss: float, val_loss: float | None) -> None:
        """Records one epoch's losses. Checkpoints are chosen by the validation loss, if there is one."""
        self.epochs += 1
        self._losses.append((self.epochs, train_loss, val_loss))
        chosen = train_loss if val_loss is None else val_loss
        if math.isfinite(train_loss) and math.isfinite(chosen):
            if chosen < self.best_loss:
                self.best_loss, self.best_epoch = chosen, self.epochs
        else:
            self.diverged_in = self.epochs

    def check(self) -> None:
        """Raises unless there is a checkpoint chosen by a finite loss."""
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
    """Trains every model of the task in order, and reports "done" when all have succeeded.

    What an earlier process has left in the working directory is resumed.
    """
    parent.tell("stage", stage="preparing", message="Loading sleap-nn")
    hold_folder()
    import_torchvision()
    stopwatch = Stopwatch()
    finished: list[dict[str, Any]] = []
    for model in task["models"]:
        if finished and parent.stop_requested.is_set():
            tell_untrained(task["models"], finished, parent)
            break
        trainer_config = model["config"]["trainer_config"]
        directory = pathlib.Path(trainer_config["ckpt_dir"], trainer_config["run_name"])
        kept = KeptModel(model["head"], directory)
        summary = kept.finished()
        if summary is None:
            progress = Progress(model["head"], directory)
            train_model(model, progress, kept, stopwatch, parent)
            summary = {
                "head": progress.head,
                "directory": str(directory),
                "best_loss": progress.best_loss,
                "epochs": progress.epochs,
                "device": progress.device,
                "elapsed_sec": stopwatch.elapsed_sec(),
            }
            kept.finish(summary)
        else:
            stopwatch.go_on_from(summary["elapsed_sec"])
        finished.append(summary)
    parent.tell("done", models=finished, duration_sec=stopwatch.elapsed_sec())


def tell_untrained(
    models: Sequence[Mapping[str, Any]], finished: Sequence[Mapping[str, Any]], parent: Parent
) -> None:
    """Reports which models weren't trained because the job was ended, also in the last model's report."""
    last = finished[-1]
    missing = " and ".join(model["head"] for model in models[len(finished) :])
    sentence = f"{missing} was not trained: the job was ended before it."
    if last["head"] == "centroid":
        sentence += " A centroid model alone finds where animals are, not their nodes."
    add_problem(pathlib.Path(last["directory"]), sentence)
    parent.tell("stage", stage="finalizing", model=last["head"], message=sentence)


def train_model(
    model: Mapping[str, Any], progress: Progress, kept: KeptModel, stopwatch: Stopwatch, parent: Parent
) -> None:
    """Trains and evaluates one model."""
    from omegaconf import OmegaConf
    from sleap_nn.train import run_training

    parent.tell("stage", stage="preparing", model=progress.head, message="Reading the labels")
    labels = keep_used_skeleton(load_labels(model["labels"]))
    val_labels = None if model["val_labels"] is None else keep_used_skeleton(load_labels(model["val_labels"]))
    if val_labels is not None:
        progress.own_frames_shared = count_shared_frames(labels, val_labels)
    config = verify_config(OmegaConf.create(model["config"]))
    asked, used = (
        OmegaConf.to_container(completed)
        for completed in (verify_config(OmegaConf.create(model["asked"])), config)
    )
    settings = progress.settings = describe_settings(model, asked, used)
    tell_settings(settings, progress.head, parent)
    checkpoint = kept.restore(progress.restore)
    if checkpoint is not None:
        stopwatch.go_on_from(progress.rows[-1]["elapsed_sec"])
        message = f"Resuming the {progress.head} model after epoch {progress.epochs}"
        parent.tell("stage", stage="preparing", model=progress.head, message=message)
    try:
        with training_with(kept, checkpoint, make_callbacks(progress, kept, stopwatch, parent)):
            run_training(config, [labels], None if val_labels is None else [val_labels])
    except Exception as error:
        if not progress.fitted:
            if not isinstance(error, MemoryError):
                for path in filter(None, (model["labels"], model["val_labels"])):
                    refuse_unreadable_images(path)
            raise
        # a weak model can fail sleap-nn's evaluation, and is a model all the same
        traceback.print_exc()
    progress.check()
    message = f"Making the report of the {progress.head} model"
    parent.tell("stage", stage="finalizing", model=progress.head, message=message)
    videos = [*labels.videos, *(val_labels.videos if val_labels is not None else ())]
    is_asked_for = model["configuration"] is not None and used["data_config"]["use_same_data_for_val"]
    problems = make_report(
        progress.directory,
        progress.head,
        progress.losses,
        progress.best_epoch,
        videos,
        settings=settings,
        validation=progress.validation,
        warning=None
        if progress.validation is None
        else warning(progress.validation, is_asked_for=is_asked_for),
    )
    if problems:
        message = f"{progress.head}: {' '.join(problems)}"
        parent.tell("stage", stage="finalizing", model=progress.head, message=message)


def tell_settings(settings: Mapping[str, Any], head: str, parent: Parent) -> None:
    """Writes how the settings came about into the log, and reports what a configuration has otherwise."""
    for entry in settings["chosen"]:
        print(f"{head}: chosen for these labels: {entry['key']} = {text(entry['used'])}")
    for entry in settings["changed"]:
        print(
            f"{head}: set by the worker: {entry['key']} = {text(entry['used'])}, not {text(entry['asked'])}"
        )
    if (sentence := told(settings)) is not None:
        parent.tell("stage", stage="preparing", model=head, message=sentence)


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
        raise RunnerError(
            "INVALID_DATASET", f"{path} can't be read as a SLEAP dataset ({reason_of(error)})."
        ) from error
    return labels


def keep_used_skeleton(labels: Any) -> Any:
    """Drops the skeletons that no person used, and predictions of them: sleap-nn trains the first one."""
    used = {
        id(instance.skeleton): instance.skeleton
        for frame in labels
        for instance in frame.user_instances
        if instance.n_visible
    }
    if len(labels.skeletons) == 1 or len(used) != 1:
        return labels
    (skeleton,) = used.values()
    for frame in labels:
        frame.instances = [instance for instance in frame.instances if instance.skeleton is skeleton]
    labels.skeletons = [skeleton]
    return labels


def refuse_unreadable_images(path: str) -> None:
    """Checks after a failed training whether an image that can't be decoded was the reason.

    The labels are read again: a training changes those that it's given.

    Raises:
        RunnerError: It did.
    """
    deadline = time.monotonic() + MAX_LOOKING_SEC
    for number, frame in enumerate(load_labels(path)):
        if time.monotonic() > deadline:
            return
        try:
            is_image = len(frame.image.shape) in (2, 3) and frame.image.size > 0
        except Exception:
            is_image = False
        if not is_image:
            sentence = f"{path} has an image that can't be decoded: that of labelled frame {number + 1}."
            raise RunnerError("INVALID_DATASET", sentence)


def verify_config(config: Any) -> Any:
    """Lets sleap-nn judge a configuration before anything is built."""
    from sleap_nn.config.training_job_config import verify_training_cfg

    try:
        return verify_training_cfg(config)
    except Exception as error:
        raise RunnerError(
            "INVALID_CONFIG", f"sleap-nn doesn't take the configuration: {reason_of(error)}."
        ) from error


@contextlib.contextmanager
def training_with(
    kept: KeptModel, checkpoint: pathlib.Path | None, callbacks: Sequence[Any]
) -> Iterator[None]:
    """Makes every ``lightning.Trainer`` inside the block report, keep what it has, and resume from that.

    sleap-nn takes no callbacks of its own users, and makes its trainer through this public name.
    """
    import lightning

    original = lightning.Trainer
    lightning.Trainer = keeping_trainer(original, kept, checkpoint, own=callbacks)
    try:
        yield
    finally:
        lightning.Trainer = original


def make_callbacks(
    progress: Progress, kept: KeptModel, stopwatch: Stopwatch, parent: Parent
) -> Sequence[Any]:
    """Returns the callbacks that report a training and keep its state."""

    def tell_epoch() -> None:
        row = progress.rows[-1]
        val_loss = row["val_loss"] if progress.is_validated else None
        parent.tell("epoch", model=progress.head, **{**row, "val_loss": val_loss})

    reporter = make_reporter(progress, kept, stopwatch, parent)
    return reporter, make_keeper(kept, lambda: progress.rows, tell_epoch)


def make_reporter(progress: Progress, kept: KeptModel, stopwatch: Stopwatch, parent: Parent) -> Any:
    """A Lightning callback that reports epochs and ends training when asked to, or when it diverges."""
    import lightning

    class Reporter(lightning.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.loss_sum: Any = 0.0
            self.batch_count = 0

        def on_fit_start(self, trainer: Any, module: Any) -> None:
            stopwatch.elapsed_sec()
            is_over = progress.diverged_in is not None or parent.stop_requested.is_set()
            trainer.should_stop |= is_over and progress.epochs > 0

        def on_train_start(self, trainer: Any, module: Any) -> None:
            progress.device = str(next(module.parameters()).device)
            progress.see_validation()
            kept.note_premises(progress.settings, progress.validation)
            message = f"Training the {progress.head} model on {progress.device}"
            if not progress.is_validated:
                message += ". It has no validation: all frames are trained on"
            parent.tell(
                "stage",
                stage="training",
                model=progress.head,
                message=message,
                device=progress.device,
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
            progress.rows.append(
                {
                    "epoch": progress.epochs,
                    "total_epochs": trainer.max_epochs,
                    "train_loss": train_loss,
                    "val_loss": val_loss,
                    "device": progress.device,
                    "elapsed_sec": stopwatch.elapsed_sec(),
                }
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
