"""A job that is offered until a worker takes it, and retried after failures that weren't its own."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import trio

from ....access.place import ConnectionOptions, PeerOptions
from ....base.exception_groups import single_error
from ....base.sentences import as_sentence
from ....errors import (
    JobFailedError,
    NetworkError,
    NobodyReadsError,
    NoWorkerError,
    UnknownJobError,
    WorkerLostError,
)
from ....jobs.life import Seen
from ....protocol.vocabulary import ErrorCode
from ....signaling.link import Link
from ...events.job import Completed, Detached, Emit, Event, JobBegun, Notice, Retrying
from ...inbox import Inbox
from ...records.files import JobRecord, forget_old, reread
from ...room import open_room
from ..inquiries.ask import Asker
from ..order.control import JobControl
from ..order.persistence import Persistence
from .submit import JobOrder, Submission
from .wait import WorkerQueue

T = TypeVar("T", Completed, Detached)

RETRY_PAUSE_SEC: Final = 1.0

END_LOST_SEC: Final = 10.0
"""How long a returned worker may take to end the job that was given up."""


class Endeavour:
    """One order, retried as new jobs as often as its persistence allows.

    Args:
        order: What to do.
        link: The client's connection to the room.
        inbox: Messages from the room.
        connection: How to connect.
        persistence: How long to wait, and how often to retry.
        emit: Called with what happens.
        control: What a person wants of the jobs.
    """

    def __init__(
        self,
        order: JobOrder,
        *,
        link: Link,
        inbox: Inbox,
        connection: ConnectionOptions,
        persistence: Persistence,
        emit: Emit,
        control: JobControl | None = None,
    ) -> None:
        self._order = order
        self._link = link
        self._inbox = inbox
        self._connection = connection
        self._persistence = persistence
        self._emit = emit
        self._control = JobControl() if control is None else control
        self._lost: list[JobRecord] = []

    async def run(self) -> Completed:
        """Runs the order to its result; raises what :meth:`Submission.run` does."""
        return await self._carry_out(Submission.run)

    async def begin(self) -> Detached:
        """Runs the order until the work has begun; raises what :meth:`Submission.begin` does."""
        return await self._carry_out(Submission.begin)

    async def _carry_out(self, work: Callable[[Submission], Awaitable[T]]) -> T:
        failure: JobFailedError | None = None
        tried: set[str] = set()
        attempts = self._persistence.retries + 1
        for attempt in range(1, attempts + 1):
            submission = self._submission()
            submission.avoided = frozenset(tried)
            try:
                return await self._until_stopped(submission, work, is_retry=failure is not None)
            except NoWorkerError as error:
                if failure is None:
                    raise
                raise _not_again(failure, error) from error
            except JobFailedError as error:
                if attempt == attempts or not (error.recoverable or isinstance(error, WorkerLostError)):
                    raise
                failure = error
            tried |= {submission.worker_id or ""}
            if isinstance(failure, WorkerLostError) and submission.record is not None:
                self._lost.append(submission.record)
            reason = failure.sentence if isinstance(failure, WorkerLostError) else str(failure)
            self._emit(Retrying(submission.job_id, submission.worker_id, reason, attempt + 1, attempts))
            await trio.sleep(RETRY_PAUSE_SEC)
        raise AssertionError("unreachable")

    async def _until_stopped(
        self, submission: Submission, work: Callable[[Submission], Awaitable[T]], *, is_retry: bool
    ) -> T:
        """Makes one attempt. If jobs are to end early, one that hasn't begun has nothing to keep."""
        results: list[T] = []

        async def give_up(attempt: trio.CancelScope) -> None:
            await self._control.stop_wanted.wait()
            if submission.job_id not in self._control.running and not submission.is_complete:
                attempt.cancel()

        with single_error():
            async with trio.open_nursery() as nursery:  # what the attempt raises ends it
                nursery.start_soon(give_up, nursery.cancel_scope)
                results.append(await self._attempt(submission, work, is_retry=is_retry))
                nursery.cancel_scope.cancel()
        if not results:
            raise JobFailedError("It was given up before its work began.", error_code=ErrorCode.CANCELLED)
        return results[0]

    async def _end_lost(self) -> None:
        """Ends the jobs of lost workers that are back, which would otherwise train for nobody, in a slot."""
        for record in tuple(self._lost):
            if reread(record).state == Seen.LOST:  # else another process has taken it up
                with trio.move_on_after(END_LOST_SEC) as waiting:
                    try:
                        await Asker(record, self._link, self._inbox).cancel()
                    except UnknownJobError:
                        pass  # there is nothing to end
                    except (JobFailedError, NetworkError):
                        continue  # it isn't there yet
                if waiting.cancelled_caught:
                    continue
            self._lost.remove(record)

    def _submission(self) -> Submission:
        submission = Submission(
            link=self._link,
            inbox=self._inbox,
            order=self._order,
            connection=self._connection,
            away_sec=self._persistence.away_sec,
            emit=self._emit,
            control=self._control,
        )
        self._emit(
            JobBegun(submission.job_id, str(self._order.dataset.named.absolute()), self._order.job_type)
        )
        return submission

    async def _attempt(
        self, submission: Submission, work: Callable[[Submission], Awaitable[T]], *, is_retry: bool
    ) -> T:
        async def ask() -> T:
            await self._end_lost()
            try:
                return await work(submission)
            except NoWorkerError:
                if not submission.avoided:
                    raise
                submission.avoided = frozenset()  # better the worker that failed than none
                return await work(submission)

        queue = WorkerQueue(
            link=self._link,
            inbox=self._inbox,
            filters=self._order.which.filters,
            worker=self._order.which.worker,
            patience=self._persistence.patience(
                is_retry=is_retry, is_worth_waiting=lambda: submission.is_worth_waiting
            ),
            emit=self._emit,
        )
        await self._persistence.turn.take()
        try:
            return await queue.until_taken(ask)
        finally:
            self._persistence.turn.give_back()


def _not_again(failure: JobFailedError, reason: NoWorkerError) -> JobFailedError:
    """Returns the last failure with the reason why it isn't retried; what to do about it comes last."""
    if isinstance(failure, WorkerLostError):
        sentence = f"{as_sentence(failure.sentence)} It wasn't begun again: {reason}"
        return type(failure)(sentence, way_back=failure.way_back)
    sentence = f"{as_sentence(failure)} It wasn't begun again: {reason}"
    return JobFailedError(sentence, error_code=failure.error_code, recoverable=failure.recoverable)


def _to_somebody(emit: Emit) -> Emit:
    """Raises NobodyReadsError from ``emit`` once the reader of the output, such as `head`, has exited."""

    def show(event: Event) -> None:
        try:
            emit(event)
        except BrokenPipeError as error:
            raise NobodyReadsError("Nobody reads any more what this command prints.") from error

    return show


@asynccontextmanager
async def open_endeavour(
    order: JobOrder,
    options: PeerOptions,
    persistence: Persistence,
    emit: Emit,
    control: JobControl | None = None,
) -> AsyncIterator[Endeavour]:
    """Joins the room to run an order; leaving the block leaves the room and removes the order's scratch.

    Raises:
        UsageError: No room is given.
        NetworkError: The server can't be reached.
        RefusedError: The server refuses the client.
    """
    forget_old(time.time())
    emit = _to_somebody(emit)

    def notice(sentence: str) -> None:
        emit(Notice(sentence))

    with order.scratch:
        async with open_room(
            options.endpoints, options.room, on_change=notice, to_remember=options.to_remember
        ) as (link, inbox):
            yield Endeavour(
                order,
                link=link,
                inbox=inbox,
                connection=options.connection,
                persistence=persistence,
                emit=emit,
                control=control,
            )
