"""Moves a job's result from the folder in which it arrives to its destination."""

from __future__ import annotations

import contextlib
import shutil
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final

import attrs
import trio

from ...base.private_files import PRIVATE_MODE
from ...base.sentences import as_clause, as_sentence
from ...errors import BrokenResultError, NetworkError, StorageError, TransferError, UsageError
from ...protocol.jobs import JobComplete
from ...protocol.limits import MIB
from ...protocol.transfer import FileOffer
from ...transfer import disk
from ...transfer.archive import unpack
from ...transfer.checkpoints import unsafe_imports
from ...transfer.names import printable
from ..events.job import Completed, Emit, Notice
from ..events.losses import ModelLosses
from .report import complete_reports

LITTLE_SPACE_MB: Final = 200.0

UNPACKED_FACTOR: Final = 2
"""A result and what is unpacked from it are on the disk together; checkpoints hardly shrink when packed."""

RESULT_STAYS: Final = (StorageError, TransferError, NetworkError)
"""Errors that keep a result from coming here, and cost nothing: it can be fetched again."""

LEFTOVER_SEC: Final = 7 * 86_400.0
INCOMING_PREFIX: Final = ".incoming-"
TRY_ELSEWHERE: Final = "Try again, with another worker if there is one (--worker)."


@attrs.frozen
class JobOutcome:
    """A job's result as received.

    Attributes:
        files: The files that arrived.
        complete: The worker's ``job_complete``, if it arrived.
        losses: The losses that the worker's statuses reported.
    """

    files: tuple[Path, ...]
    complete: JobComplete | None
    losses: tuple[ModelLosses, ...] = ()


class Destination(ABC):
    """The place for a job's result."""

    @property
    @abstractmethod
    def folder(self) -> Path:
        """The folder for the result. A hidden folder inside holds files that are still arriving."""

    @property
    def file_name(self) -> str | None:
        """The name of the result if it's a single file, otherwise None."""
        return None

    @property
    def replaces(self) -> bool:
        """Whether the result replaces an existing file."""
        return False

    @abstractmethod
    async def lay_down(self, job_id: str, worker_id: str, outcome: JobOutcome, emit: Emit) -> Completed:
        """Puts the result in its place and returns the event that reports it.

        Raises:
            BrokenResultError: The result can't be used; it's kept where it arrived.
            StorageError: It can't be written.
        """


@attrs.frozen
class ModelFolders(Destination):
    """Model folders in ``out_dir``; existing folders are kept."""

    out_dir: Path

    @property
    def folder(self) -> Path:
        """See :class:`Destination`."""
        return self.out_dir

    async def lay_down(self, job_id: str, worker_id: str, outcome: JobOutcome, emit: Emit) -> Completed:
        """Puts the models in their place.

        A checkpoint that would run code when it is loaded gets another name, and a notice reports it.

        Raises:
            BrokenResultError: No model arrived, or the archive may not be unpacked.
            StorageError: The models can't be written.
        """
        return await _finish(job_id, worker_id, outcome, self.out_dir, emit)


def incoming_dir_of(out_dir: Path, job_id: str) -> Path:
    """Returns the folder in which a job's files arrive."""
    return out_dir / f"{INCOMING_PREFIX}{job_id}"


def make_incoming_dir(out_dir: Path, job_id: str) -> Path:
    """Creates the folder in which a job's files arrive, the same for every process that follows the job.

    Raises:
        UsageError: ``out_dir`` can't be written.
    """
    incoming_dir = incoming_dir_of(out_dir, job_id)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)  # the user's own folder, so the user's umask applies
        incoming_dir.mkdir(mode=PRIVATE_MODE, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The result can't be written to {out_dir}: {as_clause(error)}.") from error
    return incoming_dir


def check_space(out_dir: Path, emit: Emit) -> None:
    """Checks the disk before the job starts; emits a notice if less than :data:`LITTLE_SPACE_MB` is free.

    Raises:
        StorageError: So little is free that no result at all could be received.
    """
    free_bytes = shutil.disk_usage(out_dir).free
    if free_bytes < disk.DISK_RESERVE_BYTES:
        raise StorageError(
            f"Only {free_bytes / MIB:.0f} MiB are free in {out_dir}: no result would fit. Make room, or name "
            "a folder on another disk (--out)."
        )
    if free_bytes / MIB < LITTLE_SPACE_MB:
        emit(Notice(f"Only {free_bytes / MIB:.0f} MiB are free in {out_dir}; the result may not fit."))


def check_room_for(model: FileOffer, incoming_dir: Path) -> None:
    """Checks, before a model is received, whether it and what is unpacked from it fit on the disk.

    Raises:
        DiskFullError: They don't.
        StorageError: The free space can't be determined.
    """
    name = printable(model.name)
    try:
        free_bytes = shutil.disk_usage(incoming_dir).free
        arrived_bytes = sum(path.stat().st_size for path in incoming_dir.glob("*") if path.is_file())
    except OSError as error:
        raise StorageError(f"{name} can't be written: {as_clause(error)}.") from error
    needed_bytes = UNPACKED_FACTOR * model.size_bytes - min(arrived_bytes, model.size_bytes)
    if needed_bytes + disk.DISK_RESERVE_BYTES > free_bytes:
        raise disk.DiskFullError(
            f"{name} needs {needed_bytes / MIB:.1f} MiB to be received and unpacked, and "
            f"{disk.DISK_RESERVE_BYTES / MIB:.0f} MiB to spare, and the disk has {free_bytes / MIB:.1f} MiB "
            "free."
        )


def arrived_files(incoming_dir: Path) -> tuple[Path, ...]:
    """Returns the files that have arrived completely and aren't in their place yet."""
    found = (path for path in incoming_dir.glob("*") if not path.name.startswith(".") and path.is_file())
    return tuple(sorted(found))


def discard_incoming(incoming_dir: Path) -> None:
    """Removes the folder, unless it holds a complete file, which may not be available a second time.

    Folders kept for that reason, or left behind by killed processes, are removed after a week.
    """
    if not arrived_files(incoming_dir):
        shutil.rmtree(incoming_dir, ignore_errors=True)
    for other in incoming_dir.parent.glob(f"{INCOMING_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - other.stat().st_mtime > LEFTOVER_SEC:
                shutil.rmtree(other, ignore_errors=True)


async def _finish(job_id: str, worker_id: str, outcome: JobOutcome, out_dir: Path, emit: Emit) -> Completed:
    try:
        model_dirs, heads = await trio.to_thread.run_sync(
            _lay_down_models, outcome.files, out_dir, incoming_dir_of(out_dir, job_id)
        )
    except StorageError as error:
        raise StorageError(f"{as_sentence(error)} {_kept(outcome.files)}".rstrip()) from error
    except BrokenResultError as error:
        raise BrokenResultError(
            f"What {worker_id} sent can't be used: {as_sentence(error)} {TRY_ELSEWHERE} "
            f"{_kept(outcome.files)}".rstrip()
        ) from error
    for sentence in await trio.to_thread.run_sync(_set_aside_unsafe, model_dirs):
        emit(Notice(sentence))
    result = outcome.complete.result if outcome.complete else None
    completed = Completed(
        job_id=job_id,
        worker=worker_id,
        model_dirs=tuple(str(path) for path in model_dirs),
        final_loss=result.final_loss if result else None,
        total_epochs=result.total_epochs if result else None,
        training_duration_minutes=result.training_duration_minutes if result else None,
        model_size_mb=result.model_size_mb if result else None,
        device=result.device if result else None,
        cut_short=result.cut_short if result else None,
        report=await trio.to_thread.run_sync(complete_reports, model_dirs, heads, outcome.losses),
    )
    for file in outcome.files:  # last, so that after a kill the next process finds them
        file.unlink(missing_ok=True)
    return completed


def _set_aside_unsafe(laid_down: list[Path]) -> list[str]:
    """Renames checkpoints that hold more than weights, and returns a sentence about each.

    In ``laid_down``, it replaces the paths of renamed entries.
    """
    sentences = []
    for number, entry in enumerate(laid_down):
        for path in [entry] if entry.is_file() else sorted(entry.rglob("*")):
            imports = unsafe_imports(path) if path.is_file() else []
            if imports:
                aside = free_path(path.with_name(f"{path.name}.unsafe"))
                path.rename(aside)
                if path == entry:
                    laid_down[number] = aside
                found = ", ".join(imports[:3])
                sentences.append(
                    f"{path.name} holds more than weights ({found}), which would run when it is loaded: "
                    f"it is kept as {aside}. Load it only if you trust the worker."
                )
    return sentences


def free_path(wanted: Path, suffix: str = "") -> Path:
    """Returns ``wanted`` if nothing is there, or else that name with a number added before ``suffix``."""
    number, path = 0, wanted
    while path.exists():
        number += 1
        path = wanted.with_name(f"{wanted.name.removesuffix(suffix)}-{number}{suffix}")
    return path


def _kept(files: tuple[Path, ...]) -> str:
    return f"What came from the worker is kept as {', '.join(map(str, files))}." if files else ""


def _lay_down_models(
    files: tuple[Path, ...], out_dir: Path, staging_dir: Path
) -> tuple[list[Path], list[str]]:
    """Moves received models to ``out_dir``; returns their paths, and the names that the worker gave them.

    Everything is unpacked before anything is moved, on the disk of ``out_dir``: the files may have arrived in
    another folder, whose disk was full then. Hidden files are left out, because some of them would be
    executed in a home folder.
    """
    entries = [
        entry
        for number, file in enumerate(files)
        for entry in _unpacked(file, staging_dir / f".unpacked-{number}")
    ]
    entries = [entry for entry in entries if not entry.name.startswith(".")]
    if not any(_has_content(entry) for entry in entries):
        raise BrokenResultError("there is no model in it.")
    laid_down = []
    for entry in entries:
        target = free_path(out_dir / entry.name)
        try:
            shutil.move(entry, target)
        except OSError as error:
            raise StorageError(f"{target} can't be written: {as_clause(error)}.") from error
        laid_down.append(target)
    return laid_down, [entry.name for entry in entries]


def _unpacked(file: Path, folder: Path) -> list[Path]:
    if file.suffix.lower() != ".zip":  # a PyTorch checkpoint is a zip file, too, but must stay packed
        return [file]
    return unpack(file, folder, error=BrokenResultError)


def _has_content(entry: Path) -> bool:
    files = [entry] if entry.is_file() else entry.rglob("*")
    return any(path.is_file() and path.stat().st_size for path in files)
