"""What came back from a worker, laid down as model folders."""

from __future__ import annotations

from pathlib import Path

import trio

from ..errors import StorageError, UsageError
from ..transfer.archive import unpack
from .events import Completed
from .follow import JobOutcome


def make_incoming_dir(out_dir: Path, job_id: str) -> Path:
    """Makes the folder in which a job's files arrive; the same one for every process that follows it.

    Raises:
        UsageError: ``out_dir`` can't be written.
    """
    incoming_dir = out_dir / f".incoming-{job_id}"
    try:
        incoming_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The models can't be written to {out_dir}: {error.strerror}.") from error
    return incoming_dir


async def finish(job_id: str, worker_id: str, outcome: JobOutcome, out_dir: Path) -> Completed:
    """Lays the models into ``out_dir`` and says what came of the job.

    Raises:
        InvalidArchiveError: What came back may not be unpacked.
        StorageError: The models can't be written.
    """
    model_dirs = await trio.to_thread.run_sync(_lay_down_models, outcome.files, out_dir)
    result = outcome.complete.result if outcome.complete else None
    return Completed(
        job_id=job_id,
        worker=worker_id,
        model_dirs=tuple(str(path) for path in model_dirs),
        final_loss=result.final_loss if result else None,
        total_epochs=result.total_epochs if result else None,
        training_duration_minutes=result.training_duration_minutes if result else None,
        model_size_mb=result.model_size_mb if result else None,
        device=result.device if result else None,
    )


def _free_path(wanted: Path) -> Path:
    """An earlier training's models stay: the next ones get a number."""
    number, path = 0, wanted
    while path.exists():
        number += 1
        path = wanted.with_name(f"{wanted.name}-{number}")
    return path


def _lay_down_models(files: tuple[Path, ...], out_dir: Path) -> list[Path]:
    laid_down = []
    for file in files:
        entries = [file]
        if file.suffix.lower() == ".zip":  # a PyTorch checkpoint is a zip file too, and stays one
            entries = unpack(file, file.with_name(f"{file.name}.unpacked"))
        for entry in entries:
            target = _free_path(out_dir / entry.name)
            try:
                entry.rename(target)
            except OSError as error:
                raise StorageError(f"{target} can't be written: {error.strerror}.") from error
            laid_down.append(target)
    return laid_down
