"""What goes to a worker for a job, and where what comes back is laid down."""

from __future__ import annotations

from pathlib import Path

import attrs

from ...protocol.vocabulary import JobType


@attrs.frozen
class OutgoingFile:
    """A file for a job; ``purpose`` is the protocol's: ``config``, ``model`` or ``dataset``."""

    path: Path
    purpose: str


@attrs.frozen
class JobFiles:
    """What goes to the worker, and where what comes back is laid down.

    Attributes:
        inputs: In the order in which they're sent; the dataset is the last, and with it work begins.
        incoming_dir: Where received files appear.
        digest_algorithm: What the worker is known to check files by.
        job_type: ``training`` or ``inference``.
    """

    inputs: tuple[OutgoingFile, ...]
    incoming_dir: Path
    digest_algorithm: str
    job_type: str = JobType.TRAINING
