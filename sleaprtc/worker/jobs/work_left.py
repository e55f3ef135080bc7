"""What an ended worker has left of a job's work, and whether the work resumes from it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import attrs

from ...base.json_text import parse_json
from ...base.private_files import write_private_json
from ...protocol.jobs import JobStatus
from ...protocol.vocabulary import Purpose
from .inputs import JobInputs

MOST_RESUMES: Final = 2
"""How often work that makes no progress is resumed."""


@attrs.frozen
class WorkLeft:
    """What an earlier process of the worker has left of a job's work.

    Attributes:
        inputs: The client's files; None if they aren't all there any more.
        last_status: The last status that was sent.
        resumes: How often the work was resumed since it last made progress.
        is_stopping: Whether the client asked to end the job early.
        goes_on: Whether the worker's owner lets the work resume.
    """

    inputs: JobInputs | None
    last_status: JobStatus | None
    resumes: int
    is_stopping: bool
    goes_on: bool

    @property
    def obstacle(self) -> str | None:
        """Why the work can't be resumed, as a sentence; None if it can."""
        if not self.goes_on:
            return "The worker's owner stopped it for good."
        if self.resumes >= MOST_RESUMES:
            return "The worker ended each time the job was resumed."
        return "The job's files aren't on the worker any more." if self.inputs is None else None


INPUTS_FILE: Final = "inputs.json"
"""In a job's folder, beside the folders of its files."""


def write_inputs(job_dir: Path, inputs: JobInputs) -> None:
    """Writes down which files a job has, so that its work can resume after a restart of the worker.

    Raises:
        StorageError: The folder can't be written to.
        OSError: A file can't be looked at.
    """
    files = {name: [_described(path, job_dir) for path in paths] for name, paths in inputs.by_purpose.items()}
    path = job_dir / INPUTS_FILE
    write_private_json(path, files)
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _described(path: Path, job_dir: Path) -> list[object]:
    return [path.relative_to(job_dir).as_posix(), path.stat().st_size]


def read_inputs(job_dir: Path) -> JobInputs | None:
    """Returns the files that :func:`write_inputs` wrote down; None unless all are there, and whole."""
    try:
        files = parse_json((job_dir / INPUTS_FILE).read_text(encoding="utf-8"))
        found: dict[str, list[Path]] = {purpose: [] for purpose in Purpose}
        for purpose, described in files.items():
            for name, size_bytes in described:
                path = job_dir / name
                if path.stat().st_size != size_bytes:
                    return None
                found[purpose].append(path)
        (dataset,) = found[Purpose.DATASET]
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None
    configs, models, validation = (
        tuple(found[purpose]) for purpose in (Purpose.CONFIG, Purpose.MODEL, Purpose.VALIDATION)
    )
    return JobInputs(dataset, configs, models, validation)
