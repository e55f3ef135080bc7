"""The options that commands which submit jobs share with their actions."""

from __future__ import annotations

import attrs

from ...access.place import PeerOptions
from ..jobs.order.filters import WhichWorker
from ..jobs.order.persistence import Persistence


@attrs.frozen
class JobOptions:
    """How to submit a job.

    Attributes:
        peer: Server, room and connection.
        which: Which worker gets the job.
        persistence: How long to wait for a worker, and how often to retry, and how far to follow the job.
    """

    peer: PeerOptions
    which: WhichWorker
    persistence: Persistence
