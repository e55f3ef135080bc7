"""A job's life: its states, who may cause which transition, and what each party then owes the other.

A job lives twice, and both lives have to agree in the end. One is on its worker: the journal keeps it, and
``job_attached`` reports it (:class:`State`). The other is what its client has seen: a record keeps it
(:class:`Seen`). Everything here is a table or a lookup in one; ``docs/make_diagrams.py`` draws the tables for
``docs/architecture.md``.

States stay ``str`` on the wire and on disk, since a newer version may have written one that isn't here. Every
function that takes a ``str`` accepts such a state, and says what holds for it. A worker that was newer before
leaves a job in such a state alone, with its files: neither a start nor time deletes it, and nothing goes on
with it. Only its client ends it, by cancelling or purging it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Generic, TypeVar

import attrs

from ..protocol.vocabulary import Phase


class Party(StrEnum):
    """Who may cause a transition on a worker."""

    CLIENT = "client"
    WORKER = "worker"
    OWNER = "worker's owner"
    TIME = "time"


class State(StrEnum):
    """A job's state on its worker, as the journal and ``job_attached`` name it."""

    ABSENT = "absent"
    """The worker has no such job: it never had it, dropped it, or has forgotten it. Never written down."""
    QUEUED = "queued"
    """Accepted ahead of a slot."""
    RECEIVING = "receiving"
    """The job has a slot, and its inputs aren't all here yet."""
    TRAINING = "training"
    """Also while a job predicts."""
    INTERRUPTED = "interrupted"
    """The work stopped, and resumes from what is kept of it."""
    HANDED_BACK = "handed_back"
    """The worker won't do the job after all; another one may."""
    COMPLETED = "completed"
    """The result waits on the worker to be fetched."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    """Its client ended it. Of the job, only that is kept, so that every process of the client learns it."""
    DELIVERED = "delivered"
    """The client has the result, and the worker no longer."""


class Cause(StrEnum):
    """What moves a job on, on its worker."""

    ASSIGNED = "assigned"
    ASSIGNED_AHEAD = "assigned ahead of a slot"
    SLOT_FREED = "slot freed"
    SLOT_LOST = "slot lost before the client connected"
    INPUTS_ARRIVED = "inputs arrived"
    WORK_DONE = "work done"
    WORK_FAILED = "work failed"
    CANCELLED = "cancelled"
    RESULT_FETCHED = "result fetched"
    RESTARTED = "worker restarted"
    INTERRUPTED = "work interrupted"
    RESUMED = "work resumed"
    HANDED_BACK = "handed back"
    WITHDRAWN = "withdrawn"
    """Cancelled by a client that won't ask how it ended: it has no key to the job, or has never connected."""
    PURGED = "purged"
    EPHEMERAL_OVER = "over and ephemeral"
    """Its client knows how it ended, and wants nothing of it to stay."""
    KEPT_LONG_ENOUGH = "kept long enough"


CAUSED_BY: Final[Mapping[Cause, Party]] = {
    Cause.ASSIGNED: Party.CLIENT,
    Cause.ASSIGNED_AHEAD: Party.CLIENT,
    Cause.SLOT_FREED: Party.WORKER,
    Cause.SLOT_LOST: Party.WORKER,
    Cause.INPUTS_ARRIVED: Party.CLIENT,
    Cause.WORK_DONE: Party.WORKER,
    Cause.WORK_FAILED: Party.WORKER,
    Cause.CANCELLED: Party.CLIENT,
    Cause.RESULT_FETCHED: Party.CLIENT,
    Cause.RESTARTED: Party.OWNER,
    Cause.INTERRUPTED: Party.OWNER,
    Cause.RESUMED: Party.WORKER,
    Cause.HANDED_BACK: Party.OWNER,
    Cause.WITHDRAWN: Party.CLIENT,
    Cause.PURGED: Party.CLIENT,
    Cause.EPHEMERAL_OVER: Party.WORKER,
    Cause.KEPT_LONG_ENOUGH: Party.TIME,
}


class Seen(StrEnum):
    """A job's state as far as its client has seen it, as records name it."""

    RUNNING = "running"
    NOT_FETCHED = "not_fetched"
    """The worker is done with it, and the result isn't here: it is on its way, or it couldn't be received."""
    COMPLETED = "completed"
    """The result is in its place here."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """Nothing more is heard of it. It may continue, and may be found again."""


class Sign(StrEnum):
    """What a client sees of a job."""

    ASSIGNED = "assigned to a worker"
    HEARD = "heard of"
    """A status, or an answer of a worker that still has the job."""
    DONE = "worker is done"
    RESULT_IN_PLACE = "result in place"
    FAILURE = "failure"
    """The worker reports one, or the client can't continue."""
    CANCELLATION = "cancelled"
    SILENCE = "silence"


PLANNED_CAUSES: Final = frozenset({Cause.ASSIGNED_AHEAD, Cause.SLOT_FREED, Cause.HANDED_BACK})
"""Have their rows although no worker causes them yet; the same for the states that only they lead to."""

S = TypeVar("S", bound=StrEnum)
C = TypeVar("C", bound=StrEnum)


@attrs.frozen
class Row(Generic[S, C]):
    """One transition: in ``state``, ``cause`` leads to ``next``."""

    state: S
    cause: C
    next: S


def _rows(state: S, moves: Mapping[C, S]) -> tuple[Row[S, C], ...]:
    return tuple(Row(state, cause, following) for cause, following in moves.items())


_ONCE_OVER: Final[Mapping[Cause, State]] = {
    # by the client whose job it is, which then has no use for an earlier result
    Cause.ASSIGNED: State.RECEIVING,
    Cause.ASSIGNED_AHEAD: State.QUEUED,
    Cause.CANCELLED: State.CANCELLED,
    Cause.WITHDRAWN: State.ABSENT,
    Cause.PURGED: State.ABSENT,
    Cause.KEPT_LONG_ENOUGH: State.ABSENT,
}

ON_WORKER: Final[tuple[Row[State, Cause], ...]] = (
    *_rows(State.ABSENT, {Cause.ASSIGNED: State.RECEIVING, Cause.ASSIGNED_AHEAD: State.QUEUED}),
    *_rows(
        State.QUEUED,
        {
            Cause.SLOT_FREED: State.RECEIVING,
            Cause.RESTARTED: State.QUEUED,
            Cause.HANDED_BACK: State.HANDED_BACK,
            Cause.WORK_FAILED: State.FAILED,
            Cause.CANCELLED: State.CANCELLED,
            Cause.WITHDRAWN: State.ABSENT,
        },
    ),
    *_rows(
        State.RECEIVING,
        {
            Cause.INPUTS_ARRIVED: State.TRAINING,
            Cause.WORK_FAILED: State.FAILED,
            Cause.SLOT_LOST: State.ABSENT,
            Cause.RESTARTED: State.FAILED,
            Cause.HANDED_BACK: State.HANDED_BACK,
            Cause.CANCELLED: State.CANCELLED,
            Cause.WITHDRAWN: State.ABSENT,
        },
    ),
    *_rows(
        State.TRAINING,
        {
            Cause.WORK_DONE: State.COMPLETED,
            Cause.WORK_FAILED: State.FAILED,
            Cause.RESTARTED: State.INTERRUPTED,
            Cause.INTERRUPTED: State.INTERRUPTED,
            Cause.HANDED_BACK: State.HANDED_BACK,
            Cause.CANCELLED: State.CANCELLED,
            Cause.WITHDRAWN: State.ABSENT,
        },
    ),
    *_rows(
        State.INTERRUPTED,
        {
            Cause.RESUMED: State.TRAINING,
            Cause.RESTARTED: State.INTERRUPTED,
            Cause.WORK_DONE: State.COMPLETED,
            Cause.WORK_FAILED: State.FAILED,
            Cause.HANDED_BACK: State.HANDED_BACK,
            Cause.CANCELLED: State.CANCELLED,
            Cause.WITHDRAWN: State.ABSENT,
        },
    ),
    *_rows(State.HANDED_BACK, _ONCE_OVER),
    *_rows(State.COMPLETED, {Cause.RESULT_FETCHED: State.DELIVERED, **_ONCE_OVER}),
    *_rows(State.FAILED, _ONCE_OVER),
    *_rows(State.CANCELLED, {**_ONCE_OVER, Cause.EPHEMERAL_OVER: State.ABSENT}),
    *_rows(State.DELIVERED, {**_ONCE_OVER, Cause.EPHEMERAL_OVER: State.ABSENT}),
)
"""A job on its worker. Whatever has no row here changes nothing."""

IN_RECORDS: Final[tuple[Row[Seen, Sign], ...]] = (
    *_rows(
        Seen.RUNNING,
        {
            Sign.ASSIGNED: Seen.RUNNING,  # to another worker than before
            Sign.DONE: Seen.NOT_FETCHED,
            Sign.RESULT_IN_PLACE: Seen.COMPLETED,
            Sign.FAILURE: Seen.FAILED,
            Sign.CANCELLATION: Seen.CANCELLED,
            Sign.SILENCE: Seen.LOST,
        },
    ),
    *_rows(
        Seen.LOST,
        {
            Sign.ASSIGNED: Seen.RUNNING,
            Sign.HEARD: Seen.RUNNING,
            Sign.DONE: Seen.NOT_FETCHED,
            Sign.RESULT_IN_PLACE: Seen.COMPLETED,
            Sign.FAILURE: Seen.FAILED,
            Sign.CANCELLATION: Seen.CANCELLED,
            Sign.SILENCE: Seen.LOST,
        },
    ),
    *_rows(
        Seen.NOT_FETCHED,
        {
            Sign.ASSIGNED: Seen.RUNNING,
            Sign.RESULT_IN_PLACE: Seen.COMPLETED,
            Sign.FAILURE: Seen.FAILED,
            Sign.CANCELLATION: Seen.CANCELLED,
        },
    ),
    *_rows(
        Seen.FAILED,
        {
            Sign.ASSIGNED: Seen.RUNNING,
            Sign.RESULT_IN_PLACE: Seen.COMPLETED,
            Sign.FAILURE: Seen.FAILED,  # for another reason, which is the later one
            Sign.CANCELLATION: Seen.CANCELLED,
        },
    ),
    *_rows(Seen.CANCELLED, {Sign.ASSIGNED: Seen.RUNNING, Sign.RESULT_IN_PLACE: Seen.COMPLETED}),
)
"""A job in its client's records. Whatever has no row here changes nothing."""

_OF_NEWER: Final[Mapping[Cause, State]] = {
    Cause.CANCELLED: State.CANCELLED,
    Cause.PURGED: State.ABSENT,
}
"""What a job may come to that is in a newer version's state: what its client orders, and nothing else."""

_KNOWN: Final[frozenset[str]] = frozenset(State)
_NEXT: Final[Mapping[tuple[str, Cause], State]] = {(row.state, row.cause): row.next for row in ON_WORKER}
_NEXT_SEEN: Final[Mapping[tuple[str, Sign], Seen]] = {(row.state, row.cause): row.next for row in IN_RECORDS}


class Duty(StrEnum):
    """What one party owes the other while a job is in a state."""

    SEND_INPUTS = "sends the inputs"
    SEND_STATUSES = "sends statuses"
    KEEP_WORK = "keeps what it has so far"
    KEEP_RESULT = "keeps the result"
    FETCH_RESULT = "fetches the result"
    REPEAT_LAST_WORD = "repeats its last word to a client that asks"
    ASK_ELSEWHERE = "asks another worker"


@attrs.frozen
class Duties:
    """Who owes what while a job is in a state."""

    worker: tuple[Duty, ...] = ()
    client: tuple[Duty, ...] = ()


OWED: Final[Mapping[State, Duties]] = {
    State.ABSENT: Duties(),
    State.QUEUED: Duties(worker=(Duty.SEND_STATUSES, Duty.KEEP_WORK), client=(Duty.SEND_INPUTS,)),
    State.RECEIVING: Duties(worker=(Duty.SEND_STATUSES,), client=(Duty.SEND_INPUTS,)),
    State.TRAINING: Duties(worker=(Duty.SEND_STATUSES, Duty.KEEP_WORK)),
    State.INTERRUPTED: Duties(worker=(Duty.SEND_STATUSES, Duty.KEEP_WORK)),
    State.HANDED_BACK: Duties(worker=(Duty.REPEAT_LAST_WORD,), client=(Duty.ASK_ELSEWHERE,)),
    State.COMPLETED: Duties(worker=(Duty.KEEP_RESULT, Duty.REPEAT_LAST_WORD), client=(Duty.FETCH_RESULT,)),
    State.FAILED: Duties(worker=(Duty.REPEAT_LAST_WORD,)),
    State.CANCELLED: Duties(worker=(Duty.REPEAT_LAST_WORD,)),
    State.DELIVERED: Duties(worker=(Duty.REPEAT_LAST_WORD,)),
}
"""What is kept here outlives the worker's process: whatever isn't is lost with it, or was fetched."""

OVER: Final[frozenset[str]] = frozenset({Seen.COMPLETED, Seen.FAILED, Seen.CANCELLED})
"""What a client has seen when it expects nothing more of the worker."""

_SIGNS: Final[Mapping[str, Sign]] = {
    State.QUEUED: Sign.HEARD,
    State.RECEIVING: Sign.HEARD,
    State.TRAINING: Sign.HEARD,
    State.INTERRUPTED: Sign.HEARD,
    State.HANDED_BACK: Sign.FAILURE,
    State.COMPLETED: Sign.DONE,
    State.FAILED: Sign.FAILURE,
    State.CANCELLED: Sign.CANCELLATION,
    State.DELIVERED: Sign.DONE,
}

_BEGUN: Final = frozenset({Phase.RUNNING, Phase.SENDING})

_STRENGTH: Final[Mapping[str, int]] = {
    Seen.RUNNING: 0,
    Seen.LOST: 0,
    Seen.NOT_FETCHED: 1,
    Seen.FAILED: 2,
    Seen.CANCELLED: 3,
    Seen.COMPLETED: 4,
}


def after(state: str, cause: Cause) -> State | None:
    """Returns the state that ``cause`` leads to on a worker.

    Returns:
        None if it changes nothing there. In a state of a newer version, only the job's client changes
        something: it cancels the job, or purges it.
    """
    return _NEXT.get((state, cause)) if state in _KNOWN else _OF_NEWER.get(cause)


def seen_after(seen: str, sign: Sign) -> Seen | None:
    """Returns a job's state for its client after one more sign of it; None if that changes nothing."""
    return _NEXT_SEEN.get((seen, sign))


def sign_of(state: str) -> Sign | None:
    """Returns what a worker's state tells its client.

    Returns:
        None for a job that the worker doesn't have, and for a state of a newer version.
    """
    return _SIGNS.get(state)


def ended_without_result(state: str) -> bool:
    """Whether a job is over for its client, and has no result. False for a state of a newer version."""
    return _SIGNS.get(state) in (Sign.FAILURE, Sign.CANCELLATION)


def as_reported(state: str) -> str:
    """Returns the word for a state in a worker's answers.

    A cancelled job is reported as failed, with the error code ``CANCELLED``, which release 0.1.0 knows.
    """
    return State.FAILED if state == State.CANCELLED else state


def is_underway(state: str) -> bool:
    """Whether a worker still works for the job, or is about to. False for a state of a newer version."""
    return _SIGNS.get(state) is Sign.HEARD


def is_closed(state: str) -> bool:
    """Whether a worker has nothing left of a job but its last word. False for a newer version's state."""
    return any(state == known and duties.worker == (Duty.REPEAT_LAST_WORD,) for known, duties in OWED.items())


def owes_inputs(state: str) -> bool:
    """Whether the client still has to send the job's inputs. False for a state of a newer version."""
    return any(state == known and Duty.SEND_INPUTS in duties.client for known, duties in OWED.items())


def keeps_result(state: str) -> bool:
    """Whether a result waits on the worker to be fetched. False for a state of a newer version."""
    return any(state == known and Duty.KEEP_RESULT in duties.worker for known, duties in OWED.items())


def keeps_files(state: str) -> bool:
    """Whether a worker that starts has to leave the job's folder alone.

    True for a newer version's state: what is in the folder may be all there is of a client's work, and the
    newer version may come back.
    """
    kept = {Duty.KEEP_RESULT, Duty.KEEP_WORK}
    return state not in _KNOWN or any(
        state == known and kept & set(duties.worker) for known, duties in OWED.items()
    )


def outranks(known: str, other: str) -> bool:
    """Whether what one process of a client has seen counts for more than what another has.

    What a newer version has seen counts for as little as a running job does.
    """
    return _STRENGTH.get(known, 0) > _STRENGTH.get(other, 0)


def has_begun(status: str) -> bool:
    """Whether a ``job_status`` reports that the worker has the job's inputs and works on it."""
    return status in _BEGUN
