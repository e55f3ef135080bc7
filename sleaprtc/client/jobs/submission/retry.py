"""A job that is offered until a worker takes it, and retried after failures that weren't its own."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from ....access.place import ConnectionOptions, PeerOptions
from ....base.exception_groups import single_error
from ....base.sentences import as_sentence
from ....errors import (
    JobFailedError,
    NobodyReadsError,
    NoWorkerError,
    WorkerLostError,
)
from ....protocol.vocabulary import ErrorCode
from ....signaling.link import Link
from ...events.job import Completed, Detached, Emit, Event, JobBegun, Notice, Retrying
from ...inbox import Inbox
from ...records.files import forget_old
from ...room import open_room
from ..order.control import JobControl
from ..order.job_order import JobOrder
from ..order.persistence import Persistence
from .lost import LostJobs
from .submit import Submission
from .wait import WorkerQueue

RETRY_PAUSE_SEC: Final = 1.0


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
        self._lost = LostJobs(link, inbox, emit)
        self._tried: set[str] = set()
        self._current: Submission | None = None

    async def run(self) -> Completed | Detached:
        """Runs the order as far as its persistence says; raises what :meth:`Submission.run` does."""
        failure: JobFailedError | None = None
        attempts = self._persistence.retries + 1
        for attempt in range(1, attempts + 1):
            try:
                return await self._attempt(is_retry=failure is not None)
            except NoWorkerError as error:
                if failure is None:
                    raise
                raise _not_again(failure, error) from error
            except JobFailedError as error:
                if attempt == attempts or not (error.recoverable or isinstance(error, WorkerLostError)):
                    raise
                failure = error
            job = self._current
            assert job is not None
            self._tried |= {job.worker_id or ""}
            if isinstance(failure, WorkerLostError):
                self._lost.add(job)
            reason = failure.sentence if isinstance(failure, WorkerLostError) else str(failure)
            self._emit(Retrying(job.job_id, job.worker_id, reason, attempt + 1, attempts))
            await trio.sleep(RETRY_PAUSE_SEC)
        raise AssertionError("unreachable")

    def _announce(self, job: Submission) -> None:
        """Makes a job the one that the events to come are about."""
        self._current = job
        self._emit(JobBegun(job.job_id, str(self._order.dataset.named.absolute()), self._order.job_type))

    def _new_job(self) -> Submission:
        job = Submission(
            link=self._link,
            inbox=self._inbox,
            order=self._order,
            connection=self._connection,
            away_sec=self._persistence.away_sec,
            until=self._persistence.until,
            emit=self._emit,
            control=self._control,
        )
        job.avoided = frozenset(self._tried)
        self._announce(job)
        return job

    async def _attempt(self, *, is_retry: bool) -> Completed | Detached:
        """Makes an attempt, and another if it is given up for a lost job that has turned up again."""
        results: list[Completed | Detached] = []
        while not results:
            job = self._new_job()
            with single_error():
                async with trio.open_nursery() as nursery:  # a failure of the attempt ends it
                    nursery.start_soon(self._lost.watch, job, nursery.cancel_scope)
                    nursery.start_soon(self._give_up_when_stopped, nursery.cancel_scope)
                    results.append(await self._until_taken(job, is_retry=is_retry))
                    nursery.cancel_scope.cancel()
            if not results and self._control.stop_wanted.is_set():
                raise JobFailedError("It was given up before its work began.", error_code=ErrorCode.CANCELLED)
        return results[0]

    async def _give_up_when_stopped(self, give_up: trio.CancelScope) -> None:
        """Gives an attempt up when jobs are to end early: one that hasn't begun has nothing to keep."""
        await self._control.stop_wanted.wait()
        current = self._current
        if current is None or not (current.job_id in self._control.running or current.is_complete):
            give_up.cancel()

    async def _until_taken(self, job: Submission, *, is_retry: bool) -> Completed | Detached:
        async def ask() -> Completed | Detached:
            if (found := await self._lost.find()) is not None:
                lost, attached = found
                self._announce(lost)
                self._emit(Notice(f"{lost.worker_id} is back and has the job, so it isn't retried."))
                return await lost.resume(attached)
            try:
                return await job.run()
            except NoWorkerError:
                if not job.avoided:
                    raise
                job.avoided = frozenset()  # better the worker that failed than none
                return await job.run()

        queue = WorkerQueue(
            link=self._link,
            inbox=self._inbox,
            filters=self._order.which.filters,
            worker=self._order.which.worker,
            patience=self._persistence.patience(
                is_retry=is_retry, is_worth_waiting=lambda: job.is_worth_waiting
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
        sentence = f"{as_sentence(failure.sentence)} It wasn't retried: {reason}"
        return type(failure)(sentence, way_back=failure.way_back)
    sentence = f"{as_sentence(failure)} It wasn't retried: {reason}"
    return JobFailedError(sentence, error_code=failure.error_code, recoverable=failure.recoverable)


def _to_somebody(emit: Emit) -> Emit:
    """Raises NobodyReadsError from ``emit`` once the reader of the output, such as `head`, has exited."""

    def show(event: Event) -> None:
        try:
            emit(event)
        except BrokenPipeError as error:
            raise NobodyReadsError("The output of this command isn't read any more.") from error

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


async def carry_out(
    order: JobOrder,
    options: PeerOptions,
    persistence: Persistence,
    emit: Emit,
    control: JobControl | None = None,
) -> Completed | Detached:
    """Joins the room and runs an order there; raises what :func:`open_endeavour` and the endeavour do."""
    async with open_endeavour(order, options, persistence, emit, control) as endeavour:
        return await endeavour.run()
