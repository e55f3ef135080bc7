"""What a worker's owner decides about its jobs."""

from __future__ import annotations

import math
from pathlib import Path

import attrs

from ...access.place import ConnectionOptions
from .cache import FileCache
from .disk import WorkerDisk


@attrs.frozen
class WorkerSettings:
    """The settings of the worker's owner.

    Attributes:
        jobs_dir: The folder for the jobs' folders.
        keep_results_sec: How long jobs that are over, and unfetched results, are kept.
        threads_per_job: The number of CPU threads for one training.
        connection: How to connect to clients.
        cache: Files of earlier jobs, or None if none are kept.
        disk: The worker's disk, if jobs reserve their share of it.
        max_dataset_bytes: The largest dataset that is accepted.
        resumes: Whether interrupted jobs are resumed; otherwise what there is of them is their result.
    """

    jobs_dir: Path
    keep_results_sec: float
    threads_per_job: int
    connection: ConnectionOptions
    cache: FileCache | None = None
    disk: WorkerDisk | None = None
    max_dataset_bytes: float = math.inf
    resumes: bool = True
