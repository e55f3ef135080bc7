"""What commands print with ``--json`` about a job that another process may follow."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

import attrs


@attrs.frozen
class Stopping:
    """The worker ends the job early and keeps what it has, or the job is finished already."""

    event: ClassVar[str] = "stopping"
    job_id: str
    worker: str


@attrs.frozen
class Cancelled:
    """The job is ended, and nothing of it is left on its worker."""

    event: ClassVar[str] = "cancelled"
    job_id: str
    worker: str


@attrs.frozen
class Purged:
    """The worker has deleted everything that it had of the job."""

    event: ClassVar[str] = "purged"
    job_id: str
    worker: str


@attrs.frozen
class Limited:
    """The limit of what is transferred for the job in a second is changed; None is no limit."""

    event: ClassVar[str] = "limited"
    job_id: str
    bytes_per_sec: float | None


@attrs.frozen
class LogLine:
    """A line that a job's trainer printed."""

    event: ClassVar[str] = "log"
    job_id: str
    line: str


OrderDone: TypeAlias = Stopping | Cancelled | Purged | Limited
