"""Reads a job's statuses from its worker's journal, and what its trainer printed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import attrs
import trio

from ....errors import SignalingLostError, WorkerAwayError
from ....jobs.life import is_underway
from ....protocol.jobs import JobLog
from .ask import Asker

FOLLOW_INTERVAL_SEC: Final = 1.0
AWAY_PATIENCE_SEC: Final = 60.0
"""How long to keep following a log while the worker or the server is away."""


async def read_log(asker: Asker, *, follow: bool) -> AsyncIterator[JobLog]:
    """Yields the parts of a job's log, each ending with a whole line; with ``follow``, until the job is over.

    Raises:
        WorkerAwayError: The worker isn't in the room, or doesn't answer.
        UnknownJobError: It doesn't know the job (any more).
        JobFailedError: It can't be asked for a log.
    """
    seq, offset_bytes, begun_line = 0, None, ""
    while True:
        log = await _next(asker, seq, offset_bytes, patience_sec=AWAY_PATIENCE_SEC if follow else 0.0)
        seq = max([seq, *(status.seq or 0 for status in log.statuses)])
        offset_bytes = log.log_offset_bytes
        is_last = not log.has_more and not (follow and is_underway(log.state))
        lines, newline, rest = (begun_line + log.trainer_log).rpartition("\n")
        if is_last:
            yield attrs.evolve(log, trainer_log=lines + newline + rest)
            return
        begun_line = rest
        yield attrs.evolve(log, trainer_log=lines + newline)
        if not log.has_more:
            await trio.sleep(FOLLOW_INTERVAL_SEC)


async def _next(asker: Asker, seq: int, offset_bytes: int | None, *, patience_sec: float) -> JobLog:
    deadline = trio.current_time() + patience_sec
    while True:
        try:
            return await asker.log(seq, offset_bytes)
        except (WorkerAwayError, SignalingLostError):
            if trio.current_time() >= deadline:
                raise
        await trio.sleep(FOLLOW_INTERVAL_SEC)
