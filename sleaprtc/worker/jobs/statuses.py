"""Sends a job's statuses to its client."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable

import attrs
import trio

from ...base.logs import get_logger
from ...protocol.jobs import JobStatus, StatusDetails
from ...protocol.limits import STATUS_INTERVAL_SEC

_log = get_logger(__name__)


class StatusReporter:
    """Sends each status as it comes, and repeats the last one every 5 seconds.

    Args:
        job_id: The job.
        send: Sends one status to the client, or drops it if the client can't be reached.
        after: The last status of an earlier process of the worker, if any: progress and numbers continue.

    Attributes:
        progress: The last reported progress, 0.0 to 1.0.
        last: The last status that was sent.
    """

    def __init__(
        self, job_id: str, send: Callable[[JobStatus], Awaitable[None]], after: JobStatus | None = None
    ) -> None:
        self._job_id = job_id
        self._send = send
        self.progress = 0.0 if after is None else after.progress
        self.last = after
        self._queue_send, self._queue = trio.open_memory_channel[JobStatus](math.inf)

    def report(
        self,
        status: str,
        progress: float = 0.0,
        *,
        details: StatusDetails | None = None,
        message: str | None = None,
    ) -> None:
        """Queues a status; ``progress`` is 0.0 to 1.0."""
        self.progress = min(max(progress, 0.0), 1.0)
        if message is not None:
            _log.info(message, job=self._job_id, status=status)
        elif details is not None:
            fields = attrs.asdict(details, filter=lambda _, value: value is not None)
            _log.debug("The job has a status.", job=self._job_id, status=status, **fields)
        self._queue_send.send_nowait(
            JobStatus(self._job_id, status, self.progress, details or StatusDetails(), message)
        )

    def finish(self) -> None:
        """Lets :meth:`run` end once everything queued is sent."""
        self._queue_send.close()

    async def run(self) -> None:
        """Sends until :meth:`finish`."""
        last: JobStatus | None = None
        while True:
            try:
                with trio.move_on_after(STATUS_INTERVAL_SEC):
                    last = await self._queue.receive()
            except trio.EndOfChannel:
                return
            if last is not None:
                await self.send(last)

    async def send(self, status: JobStatus) -> None:
        """Sends a status at once, with the next number."""
        seq = 1 + ((self.last.seq or 0) if self.last is not None else 0)
        self.last = attrs.evolve(status, seq=seq, timestamp=time.time())
        await self._send(self.last)
