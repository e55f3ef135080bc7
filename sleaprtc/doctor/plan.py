"""What is to be examined."""

from __future__ import annotations

from pathlib import Path

import attrs

from ..access.place import ConnectionOptions
from ..signaling.http import Endpoints, Room


@attrs.frozen
class Plan:
    """What to examine.

    Attributes:
        endpoints: The signaling server.
        is_configured: Whether anybody named it, or it is the default.
        room: Which room, or None for one that is made for the time of the examination.
        connection: How data channels are made.
        worker: Name of the worker to connect to, or None.
        work_dir: Where a worker here would keep its jobs.
        state_dir: Where clients keep what they remember.
        trainer_python: The Python that sleap-nn is in; None for this one.
    """

    endpoints: Endpoints
    is_configured: bool
    room: Room | None
    connection: ConnectionOptions
    worker: str | None
    work_dir: Path
    state_dir: Path
    trainer_python: Path | None
