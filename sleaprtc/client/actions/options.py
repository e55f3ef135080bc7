"""What commands and their actions share: the options of those that submit jobs, and how jobs are named."""

from __future__ import annotations

from typing import Final

import attrs

from ...access.place import PeerOptions
from ..jobs.filters import WhichWorker
from ..jobs.persistence import Persistence

SHOWN_ID_LENGTH: Final = 8
"""The characters of a job's id that tables show, which are enough to name it."""


@attrs.frozen
class JobOptions:
    """How to submit a job.

    Attributes:
        peer: Server, room and connection.
        which: Which worker gets the job.
        persistence: How long to wait for a worker, and how often to begin again.
        detach: Whether to leave the job to its worker once the work has begun.
    """

    peer: PeerOptions
    which: WhichWorker
    persistence: Persistence
    detach: bool
