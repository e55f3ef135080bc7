"""The files that a job sends to its worker, and where its results go."""

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
    """The files that a job sends, and where its results go.

    Attributes:
        inputs: In the order of sending; the dataset is last, and work begins when it has arrived.
        incoming_dir: Where received files appear.
        digest_algorithm: One that the worker supports.
        job_type: ``training`` or ``inference``.
    """

    inputs: tuple[OutgoingFile, ...]
    incoming_dir: Path
    digest_algorithm: str
    job_type: str = JobType.TRAINING
