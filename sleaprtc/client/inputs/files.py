"""The files that a job sends to its worker, and where its results go."""

from __future__ import annotations

from pathlib import Path

import attrs

from ...protocol.vocabulary import JobType
from ...transfer.names import plain_name, printable


@attrs.frozen
class OutgoingFile:
    """A file for a job; ``purpose`` is the protocol's: ``config``, ``model`` or ``dataset``."""

    path: Path
    purpose: str

    @property
    def name(self) -> str:
        """The name under which it is sent."""
        return plain_name(self.path.name)


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

    def under_own_names(self, text: str) -> str:
        """Returns a worker's sentence, or a name, with the files' own names in place of those it knows."""
        for file in self.inputs:
            own = printable(file.path.name)
            if own != file.name:
                text = text.replace(file.name, own)
        return text
