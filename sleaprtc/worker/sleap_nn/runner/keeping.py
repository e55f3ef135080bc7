"""What is kept of a model's training at every moment, and how a training that was cut short resumes from it.

After each epoch, in this order: ``best.ckpt`` if no epoch before was better (by sleap-nn's own callback), a
line with the epoch's losses, and ``last.ckpt``, from which the training resumes. A checkpoint is written
under another name, synced to the disk, and then renamed: neither a kill nor a power cut leaves half of one.
"""

import copy
import csv
import fcntl
import inspect
import json
import os
import pathlib
import shutil
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from .parent import RunnerError

STATE_FOLDER = "state"
"""Below the job's folder; the worker also reads it, to pack what a training has left (``salvage.py``)."""

HELD_PATIENCE_SEC = 60.0

BEST, LAST = "best.ckpt", "last.ckpt"
PREMISES_SUFFIX = ".premises.json"
"""What a model's report says apart from its results: the settings, and what it is validated on."""
EPOCHS_KEY = "sleap_rtc_epochs"
ENDED_KEY = "sleap_rtc_ended"
"""In a checkpoint: how many epochs are in it, and whether the training is over, as by early stopping."""


def replace_file(path: pathlib.Path, write: Callable[[IO[bytes]], object]) -> None:
    """Writes a file that is either the old or the new one at every moment, also after a power cut.

    Raises:
        OSError: It can't be written; the old one is still there. ``write`` may raise others.
    """
    state = pathlib.Path(STATE_FOLDER)
    state.mkdir(exist_ok=True)
    part = state / f"{path.parent.name}.{path.name}.part"  # one name, so that kills leave no pile of them
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: pathlib.Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_held: list[IO[str]] = []  # a lock lasts as long as its file is open


def hold_folder(patience_sec: float = HELD_PATIENCE_SEC) -> None:
    """Waits until no other process trains in this folder, and keeps others out until this one ends.

    A process that outlives a killed worker for a moment must not write beside the one that continues.

    Raises:
        RunnerError: The other one doesn't end.
    """
    state = pathlib.Path(STATE_FOLDER)
    state.mkdir(exist_ok=True)
    file = (state / "lock").open("w")
    deadline = time.monotonic() + patience_sec
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.close()
                sentence = "An earlier process of this job still writes into its folder."
                raise RunnerError("TRAINING_FAILED", sentence) from None
            time.sleep(0.1)
        else:
            _held.append(file)
            return


class KeptModel:
    """One model's kept state, found by the model's name.

    Args:
        head: The model's name.
        directory: The model's folder, in which sleap-nn writes.
    """

    def __init__(self, head: str, directory: pathlib.Path) -> None:
        state = pathlib.Path(STATE_FOLDER)
        state.mkdir(exist_ok=True)
        self.directory = directory
        self._best, self._last = directory / BEST, directory / LAST
        self._best_aside = state / f"{head}.{BEST}"
        self._log = state / f"{head}.jsonl"
        self._summary = state / f"{head}.json"
        self._premises = state / f"{head}{PREMISES_SUFFIX}"

    # --- finished models --------------------------------------------------------------------

    def finished(self) -> dict[str, Any] | None:
        """Returns the summary of a model that is finished, and needn't be trained again."""
        try:
            summary: dict[str, Any] = json.loads(self._summary.read_text())
        except (OSError, ValueError):
            return None
        return summary if self._best.is_file() else None

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Notes that the model is finished. What it would resume from is deleted: clients don't need it."""
        replace_file(self._summary, lambda file: file.write(json.dumps(summary).encode()))
        self._last.unlink(missing_ok=True)

    # --- resuming ---------------------------------------------------------------------------

    def restore(self, restore_epoch: Callable[[Mapping[str, Any]], None]) -> pathlib.Path | None:
        """Finds what an earlier process has left of the model's training.

        sleap-nn trains into a folder of another name if this one has a ``best.ckpt``. It is therefore set
        aside, until :meth:`begin` puts it back.

        Args:
            restore_epoch: Called with each epoch that is over, in order.

        Returns:
            The checkpoint to resume from; None if the training has to start.
        """
        self._put_back()
        for checkpoint in (self._last, self._best):
            epochs = self._epochs_in(checkpoint)
            rows = self.rows()[:epochs]
            if epochs and len(rows) == epochs:
                break
        else:
            shutil.rmtree(self.directory, ignore_errors=True)
            self._log.unlink(missing_ok=True)
            return None
        replace_file(self._log, lambda file: file.write("".join(map(_as_line, rows)).encode()))
        drop_rows(self.directory / "training_log.csv", epochs)
        for row in rows:
            restore_epoch(row)
        if checkpoint == self._best:
            shutil.copyfile(self._best, self._last)
        self._best.replace(self._best_aside)
        return self._last

    def begin(self) -> None:
        """Puts back what :meth:`restore` set aside; called when sleap-nn has chosen its folder."""
        self._put_back()

    def _put_back(self) -> None:
        if self._best_aside.is_file() and not self._best.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            self._best_aside.replace(self._best)

    def _epochs_in(self, checkpoint: pathlib.Path) -> int:
        """Returns how many epochs are in a checkpoint; 0 if it can't be read."""
        import torch

        if not checkpoint.is_file():
            return 0
        try:
            loaded = torch.load(checkpoint, map_location="cpu", weights_only=True)
            return int(loaded[EPOCHS_KEY])
        except Exception:
            traceback.print_exc()
            return 0

    def rows(self) -> list[dict[str, Any]]:
        """Returns the epochs that are written down, in order; an epoch that was trained twice counts once."""
        rows: list[dict[str, Any]] = []
        try:
            lines = self._log.read_text().splitlines()
        except OSError:
            return rows
        for line in lines:
            try:
                row = json.loads(line)
                epoch = int(row["epoch"])
            except (ValueError, TypeError, KeyError):
                break  # a kill cut the last line off
            del rows[epoch - 1 :]
            rows.append(row)
        return rows

    # --- keeping ----------------------------------------------------------------------------

    def note_premises(self, settings: Mapping[str, Any], validation: Mapping[str, Any] | None) -> None:
        """Writes down what the report of a training that is cut needs besides its losses."""
        document = json.dumps({"settings": settings, "validation": validation})
        replace_file(self._premises, lambda file: file.write(document.encode()))

    def note_epoch(self, row: Mapping[str, Any]) -> None:
        """Writes down an epoch that is over."""
        with self._log.open("a", encoding="utf-8") as file:
            file.write(_as_line(row))
            file.flush()
            os.fsync(file.fileno())


def _as_line(row: Mapping[str, Any]) -> str:
    return json.dumps(row) + "\n"


def drop_rows(path: pathlib.Path, epochs: int) -> None:
    """Drops the rows of sleap-nn's own table that are about epochs after the first ones.

    Args:
        path: ``training_log.csv``, which counts epochs from 0.
        epochs: How many epochs stay.
    """
    try:
        with path.open(newline="") as file:
            names, *rows = csv.reader(file)
    except (OSError, ValueError):
        return
    kept = [row for row in rows if len(row) == len(names) and _is_before(row[0], epochs)]

    def write(file: IO[bytes]) -> None:
        text = "".join(",".join(row) + "\r\n" for row in (names, *kept))  # only names and numbers
        file.write(text.encode())

    replace_file(path, write)


def _is_before(epoch: str, epochs: int) -> bool:
    try:
        return float(epoch) < epochs
    except ValueError:
        return False


def keeping_trainer(
    original: Any, kept: KeptModel, checkpoint: pathlib.Path | None, *, own: Sequence[Any]
) -> Any:
    """A ``lightning.Trainer`` that keeps what a training has at every moment, and resumes one that was cut.

    Args:
        original: The class.
        kept: The model's kept state.
        checkpoint: What to resume from, if anything.
        own: Further callbacks.
    """
    import torch
    from lightning.pytorch.plugins.io import TorchCheckpointIO

    class DurableCheckpoints(TorchCheckpointIO):  # type: ignore[misc]
        """Lightning's own writes to /tmp and moves the file, which isn't atomic if /tmp is another disk."""

        def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
            pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
            replace_file(pathlib.Path(path), lambda file: torch.save(checkpoint, file))

    class KeepingTrainer(original):  # type: ignore[misc]
        def __init__(self, *args: Any, callbacks: Any = None, plugins: Any = None, **options: Any) -> None:
            plugins = [*(plugins or []), DurableCheckpoints()]
            super().__init__(*args, callbacks=[*(callbacks or []), *own], plugins=plugins, **options)

        def fit(self, *args: Any, ckpt_path: Any = None, **options: Any) -> None:
            kept.begin()
            if checkpoint is not None:
                for callback in self.callbacks:
                    if type(callback).__name__ == "CSVLoggerCallback" and callback.filepath.is_file():
                        callback.initialized = True  # else it would begin the file again
                if "weights_only" in inspect.signature(super().fit).parameters:
                    options["weights_only"] = True  # nothing in the checkpoint has to be run
            super().fit(*args, ckpt_path=checkpoint or ckpt_path, **options)

    return KeepingTrainer


def make_keeper(
    kept: KeptModel, epochs: Callable[[], Sequence[Mapping[str, Any]]], tell: Callable[[], None]
) -> Any:
    """A callback that writes down each epoch, and then the checkpoint to resume from.

    Lightning steps the schedulers of the learning rate only after the hook in which checkpoints are written
    (``FitLoop.on_advance_end``), so that a training that resumes from one has lost a step. This checkpoint is
    therefore written later, with the loops as they were in that hook, which is where they can resume.

    Args:
        kept: The model's kept state.
        epochs: Returns the rows of all epochs that are over.
        tell: Called when an epoch is kept.
    """
    from lightning.pytorch.callbacks import Checkpoint

    class Keeper(Checkpoint):  # type: ignore[misc]
        """As a checkpoint callback that comes last, it runs after the one that writes ``best.ckpt``."""

        def __init__(self) -> None:
            self.place: tuple[Any, int] | None = None  # of what isn't saved yet
            self.is_over = False

        def on_save_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
            checkpoint |= {EPOCHS_KEY: len(epochs()), ENDED_KEY: self.is_over}
            if self.place is not None:
                checkpoint["loops"]["fit_loop"], checkpoint["epoch"] = self.place

        def on_load_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
            trainer.should_stop |= bool(checkpoint.get(ENDED_KEY))

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            kept.note_epoch(epochs()[-1])
            self.place = copy.deepcopy(trainer.fit_loop.state_dict()), trainer.current_epoch

        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            self.save(trainer)

        def on_train_end(self, trainer: Any, module: Any) -> None:
            self.is_over = True
            self.save(trainer)

        def save(self, trainer: Any) -> None:
            if self.place is not None:
                save_last(trainer, kept.directory / LAST)
                self.place = None
                tell()

    return Keeper()


def save_last(trainer: Any, path: pathlib.Path) -> None:
    """Saves the checkpoint to resume from. If it fails, the one before stays, and the training continues."""
    try:
        trainer.save_checkpoint(path)
    except Exception:  # such as a full disk, which costs epochs only if the worker ends now
        traceback.print_exc()
