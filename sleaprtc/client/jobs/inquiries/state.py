"""A job's state: by its worker's answer, or else as it was last seen here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import attrs

from ....errors import NetworkError, RefusedError, SleapRTCError, UnknownJobError, WorkerAwayError
from ....jobs.life import Seen, State, is_underway
from ....protocol.jobs import JobAttached
from ....protocol.messages import JSONObject
from ....protocol.vocabulary import ErrorCode
from ...records.files import JobRecord
from .ask import note_answer, open_asker

UNKNOWN: Final = "unknown"

_SHOWN: Final[Mapping[str, str]] = {
    State.QUEUED: State.QUEUED,
    State.RECEIVING: State.RECEIVING,
    State.TRAINING: Seen.RUNNING,
    State.INTERRUPTED: State.INTERRUPTED,
    State.HANDED_BACK: State.HANDED_BACK,
    State.COMPLETED: Seen.COMPLETED,
    State.DELIVERED: Seen.COMPLETED,
    State.FAILED: Seen.FAILED,
    State.CANCELLED: Seen.CANCELLED,
}
"""How a job's state on its worker is shown: in the words of a person's records, as far as those have one."""

_EXPLAINED: Final = frozenset(
    {Seen.FAILED, Seen.CANCELLED, Seen.LOST, Seen.NOT_FETCHED, Seen.COMPLETED, State.HANDED_BACK}
)
"""States of which a record says why; of a completed job, why less was trained than was asked for."""


@attrs.frozen
class JobState:
    """A job's state, as it is shown.

    Attributes:
        state: ``queued``, ``receiving``, ``running``, ``interrupted``, ``handed_back`` (its worker won't do
            it), ``completed``, ``failed``, ``cancelled``, ``lost``, ``not_fetched`` (its result couldn't come
            here), or ``unknown`` (the worker forgot it). A newer worker's word may be another one.
        answered: Whether the worker has just answered; otherwise this is what was last seen.
        fetched: Whether the result has been brought here.
        stopping: Whether the job is ending early.
        since: When the state began, in Unix epoch seconds, if that is known.
        seen_at: When ``status`` was sent, in Unix epoch seconds, if that is known.
        status: The last status, with the fields of :class:`~sleaprtc.client.events.job.StatusChanged`.
        message: Why the job failed, was cancelled or lost, gave less than was asked for, or why its result
            isn't here.
        unanswered: Why the worker didn't answer.
    """

    event: ClassVar[str] = "job_state"
    job_id: str
    job_type: str
    worker: str
    dataset: str
    state: str
    answered: bool
    fetched: bool
    stopping: bool
    started_at: float
    since: float | None
    seen_at: float | None
    status: JSONObject | None
    final_loss: float | None
    message: str | None
    unanswered: str | None
    out_dir: str
    results: tuple[str, ...]


@attrs.frozen
class Look:
    """A job's state; ``error`` is set if the server couldn't be reached or the room is gone."""

    state: JobState
    error: SleapRTCError | None = None


async def look(record: JobRecord) -> Look:
    """Returns a job's state; asks the worker unless the job is known to be completed or cancelled."""
    if record.state in (Seen.COMPLETED, Seen.CANCELLED):
        return Look(picture(record, None, None))
    try:
        async with open_asker(record) as asker:
            attached = await asker.state()
    except (WorkerAwayError, UnknownJobError) as error:
        forgotten = isinstance(error, UnknownJobError) and not record.is_over
        shown = attrs.evolve(record, state=UNKNOWN) if forgotten else record
        return Look(picture(shown, None, str(error)))
    except (NetworkError, RefusedError) as error:
        return Look(picture(record, None, str(error)), error)
    return Look(picture(note_answer(record, attached), attached, None))


def picture(record: JobRecord, attached: JobAttached | None, problem: str | None) -> JobState:
    """Combines a job's record with its worker's answer.

    Args:
        record: What was seen of the job here.
        attached: The worker's answer, if there is one.
        problem: Why there is none.
    """
    state, since = record.state, record.ended_at
    fetched = record.state == Seen.COMPLETED
    final_loss: float | None = None
    cut_short: str | None = None
    is_stopping = False
    if attached is not None and not fetched:
        is_stopping = attached.stop_requested and is_underway(attached.state)
        if not (state == Seen.NOT_FETCHED and attached.state == State.COMPLETED):
            state, since = _SHOWN.get(attached.state, attached.state), attached.since
        if attached.error is not None and attached.error.code == ErrorCode.CANCELLED:
            state = Seen.CANCELLED
        fetched = attached.state == State.DELIVERED
        final_loss = None if attached.result is None else attached.result.final_loss
        cut_short = None if attached.result is None else attached.result.cut_short
    return JobState(
        job_id=record.job_id,
        job_type=record.job_type,
        worker=record.worker,
        dataset=record.dataset,
        state=state,
        answered=attached is not None,
        fetched=fetched,
        stopping=is_stopping,
        started_at=record.started_at,
        since=since,
        seen_at=record.last_seen_at,
        status=record.last_status,
        final_loss=final_loss,
        message=(record.message if state in _EXPLAINED else None) or cut_short,
        unanswered=problem,
        out_dir=record.out_dir,
        results=record.results,
    )
