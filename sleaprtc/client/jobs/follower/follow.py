"""Follows one job on one worker: connects, sends the inputs, watches, and fetches the result."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import attrs
import trio

from ....access.place import ConnectionOptions
from ....base.exception_groups import single_error
from ....base.nurseries import contained
from ....errors import JobFailedError, NetworkError, RefusedError, SignalingLostError, SleapRTCError
from ....jobs.life import owes_inputs
from ....protocol.jobs import JobAssignment, JobAttached, JobCancel, JobStop
from ....protocol.limits import RESERVATION_SEC
from ....protocol.vocabulary import CancelReason, JobType
from ....signaling.link import Link
from ...events.job import Emit, Event, Notice, StatusChanged
from ...inbox import Inbox, decline_late
from ...inputs.files import JobFiles
from ...records.limits import obey_limit
from ...results.delivery import JobOutcome
from ..order.control import JobControl, RunningJob
from ..order.persistence import Until
from .exchange import FileExchange
from .inquiry import Inquiry, is_laid_down
from .last_words import CANCEL_DELIVERY_SEC, cancel_on_worker
from .progress import JobProgress
from .watch import Forbearance, WorkerWatcher
from .worker_channel import WorkerChannel

ASSIGN_AGAIN_SEC: Final = 10.0
"""An answer to the assignment may be lost where the worker is back at the server before the client is."""

STOP_AGAIN_SEC: Final = 5.0
"""How soon a worker is told again to end its work early, until it is done."""

LINGER_SEC: Final = 1.0
"""Closing may cut off our acknowledgement of the result. The worker closes first when it has that."""


class Follower:
    """Follows one job on the worker it is assigned to.

    Args:
        link: The client's place in the room.
        inbox: What arrives in it.
        worker_id: The job's worker.
        job_id: The client's name for the job.
        attach_key: The job's key, which shows the worker that a message comes from the job's client.
        can_ask: Whether the worker answers when it is asked for the job's state.
        files: What to send and the folder for what comes back.
        connection: How to connect.
        forbearance: How long the worker may be away.
        emit: Called with each event.
        control: What a person wants of the job.

    Attributes:
        is_cancelled: Whether the worker has confirmed, when the job was left, that it dropped it.
        left: The job, if it was left running.
    """

    def __init__(
        self,
        *,
        link: Link,
        inbox: Inbox,
        worker_id: str,
        job_id: str,
        attach_key: str,
        can_ask: bool,
        files: JobFiles,
        connection: ConnectionOptions,
        forbearance: Forbearance,
        emit: Emit,
        control: JobControl | None = None,
    ) -> None:
        self._link = link
        self._inbox = inbox
        self._worker_id = worker_id
        self._job_id = job_id
        self._attach_key = attach_key
        self._channel = WorkerChannel(
            link=link,
            inbox=inbox,
            worker_id=worker_id,
            connection=connection,
            digest_algorithm=files.digest_algorithm,
            emit=emit,
        )
        self._inquiry = Inquiry(
            inbox, worker_id=worker_id, job_id=job_id, attach_key=attach_key, can_ask=can_ask
        )
        self._progress = JobProgress(
            worker_id=worker_id,
            job_id=job_id,
            emit=_with_own_names(emit, files),
            is_unknown_job=self._inquiry.is_unknown_job,
        )
        self._exchange = FileExchange(
            self._channel.transfers, files, worker_id=worker_id, job_id=job_id, emit=emit
        )
        self._watcher = WorkerWatcher(
            link=link,
            inbox=inbox,
            channel=self._channel,
            exchange=self._exchange,
            progress=self._progress,
            inquiry=self._inquiry,
            worker_id=worker_id,
            job_id=job_id,
            work="prediction" if files.job_type == JobType.INFERENCE else "training",
            forbearance=forbearance,
            emit=emit,
        )
        self._limit = connection.limit
        self._forbearance = forbearance
        self._emit = emit
        self._control = JobControl() if control is None else control
        self._job = RunningJob(job_id, worker_id, files.job_type, can_be_left=can_ask)
        self._is_begun_here = True
        self._files = files
        self._is_assigned = False
        self.is_cancelled = False
        self.left: RunningJob | None = None

    @property
    def has_started(self) -> bool:
        """Whether the work began; a worker that is lost later isn't replaced."""
        return self._progress.has_started

    @property
    def is_complete(self) -> bool:
        """Whether the worker has reported the job done, or has offered its result."""
        return self._progress.complete is not None or self._exchange.is_offered

    async def run(self, others: Iterable[str] = (), until: Until = Until.RESULT) -> JobOutcome:
        """Assigns the job, and follows it to its end or until its work has begun.

        Leaving before the work has begun cancels the job on the worker. Later it continues there, and its
        result can be fetched by attaching, unless the person wants it thrown away or the worker can't be
        attached to.

        Args:
            others: Other workers that accepted; they are released.
            until: How far to follow it. A job that is left when its work has begun has no files yet.

        Raises:
            JobFailedError: The worker reports that the job failed, with its sentence.
            WorkerLostError: The worker is gone, or no data channel to it can be made.
            RefusedError: The worker doesn't prove that it knows the room's secret, or asks for one.
            TakenOverError: Another process has attached to the job.
            BrokenResultError: The worker sends more than a result can be.
            TransferError: A file was refused, or the result didn't come.
            StorageError: What comes back can't be written.
            SignalingLostError: The server can't be reached to assign the job.
        """
        return await self._follow(send_inputs=True, assigns=True, others=others, until=until)

    async def run_attached(self, *, after_seq: int, send_inputs: bool) -> JobOutcome:
        """Follows a job that another process began. Leaving early leaves the job alone.

        Args:
            after_seq: Statuses up to this one have been seen before.
            send_inputs: Whether the worker still waits for the inputs.

        Raises:
            The same as :meth:`run`.
        """
        self._progress.last_seq = after_seq
        self._is_begun_here = False
        return await self._follow(send_inputs=send_inputs)

    async def run_resumed(self, attached: JobAttached) -> JobOutcome:
        """Follows a job again that this process had assigned, and taken for lost.

        Args:
            attached: What the worker has just answered: the job continues there, or its result is there.

        Raises:
            The same as :meth:`run`.
        """
        self._is_assigned = True
        self._progress.take(attached, trio.current_time())
        if is_laid_down(attached):
            await self._inquiry.take_up(self._progress.last_seq)
        return await self._follow(send_inputs=owes_inputs(attached.state))

    async def _follow(
        self,
        *,
        send_inputs: bool,
        assigns: bool = False,
        others: Iterable[str] = (),
        until: Until = Until.RESULT,
    ) -> JobOutcome:
        progress, exchange = self._progress, self._exchange
        unreleased = list(others)
        try:
            if assigns:
                await self._assign()
            await self._release(unreleased, CancelReason.ASSIGNED_ELSEWHERE)
            with single_error():
                async with trio.open_nursery() as nursery:  # what one of these tasks raises ends this job
                    nursery.start_soon(self._keep_connected)
                    if send_inputs:
                        nursery.start_soon(exchange.send_inputs)
                    nursery.start_soon(self._watcher.run)
                    nursery.start_soon(self._catch_up)
                    nursery.start_soon(self._read_messages)
                    nursery.start_soon(self._stop_when_wanted)
                    nursery.start_soon(obey_limit, self._job_id, self._limit, self._emit)
                    if until is Until.BEGUN:
                        await progress.begun.wait()
                        progress.end()
                    else:
                        await self._receive_to_the_end()
                    nursery.cancel_scope.cancel()
        except JobFailedError as error:
            error.args = (self._files.under_own_names(str(error)),)
            raise
        finally:
            self._control.end(self._job_id)
            if self._is_begun_here and not progress.is_over and not self.is_complete:
                with trio.CancelScope(shield=True):
                    await self._release_on_leaving(unreleased)
                    await self._leave_job()
        return JobOutcome(tuple(exchange.received), progress.complete, progress.losses.models)

    async def _keep_connected(self) -> None:
        await self._channel.keep_connected(
            is_over=lambda: self._progress.is_over,
            has_begun=lambda: self.has_started or self.is_complete,
            has_result=lambda: bool(self._exchange.received),
            waits_for_answer=not self._forbearance.is_replaceable,
            on_loss=self._inquiry.ask,
        )

    async def _receive_to_the_end(self) -> None:
        await self._exchange.receive_result(lambda: self._progress.announced_files)
        if not self._link.has_ended:
            await self._inquiry.hear_last_word(
                self._progress.completed,
                is_connected=self._link.is_connected,
                on_wait=lambda sentence: self._emit(Notice(sentence)),
            )
        self._progress.end()
        with trio.move_on_after(LINGER_SEC):
            await self._channel.transfers.wait_disconnected()

    # --- messages ---------------------------------------------------------------------------

    async def _read_messages(self) -> None:
        while True:
            sender, message = await self._inbox.next_job_message()
            if sender != self._worker_id:
                await decline_late(self._inbox, sender, message)
            elif message.job_id in (None, self._job_id):
                with contained("A message can't be handled.", let_through=(SleapRTCError,)):
                    self._progress.take(message, trio.current_time())
                self._tell_control()
                if isinstance(message, JobAttached) and is_laid_down(message) and not self._exchange.received:
                    await self._inquiry.take_up(self._progress.last_seq)

    async def _catch_up(self) -> None:
        """Repeats and asks for what may have been lost with a connection to the server."""
        while True:
            with trio.move_on_after(ASSIGN_AGAIN_SEC if self._is_unheard else math.inf) as silence:
                await self._link.wait_return()
            if self._is_unheard:
                with suppress(NetworkError):
                    await self._inbox.send(self._worker_id, JobAssignment(self._job_id))
            elif not silence.cancelled_caught:
                await self._inquiry.ask()

    @property
    def _is_unheard(self) -> bool:
        """Whether the worker may not know of its assignment, or its answer may be lost."""
        return self._is_assigned and not (self._progress.was_heard or self._channel.was_connected)

    # --- what a person wants ----------------------------------------------------------------

    def _tell_control(self) -> None:
        """Keeps up to date whether the job is one that a person can be asked about."""
        if self.is_complete or self._progress.is_over:
            self._control.end(self._job_id)
        elif self._progress.has_started:
            self._control.begin(self._job)

    async def _stop_when_wanted(self) -> None:
        """Ends the work early when that is wanted. Repeats it: a worker that is away doesn't hear it."""
        await self._control.stop_wanted.wait()
        while not self.is_complete:
            with suppress(RefusedError):  # without the room the job continues to its end
                await self._inbox.deliver(self._worker_id, JobStop(self._job_id, self._attach_key))
            await trio.sleep(STOP_AGAIN_SEC)

    async def _leave_job(self) -> None:
        """Leaves a job whose work has begun to its worker, unless it is to be thrown away."""
        if self._progress.has_started and self._job.can_be_left and not self._control.is_discarding:
            self.left = self._job
            self._control.leave(self._job)
        else:
            await self._cancel_job()

    # --- assigning, releasing, cancelling ---------------------------------------------------

    async def _assign(self) -> None:
        # A worker whose slot is free again by then says so, and is asked again.
        with trio.move_on_after(max(self._forbearance.away_sec, RESERVATION_SEC)) as delivery:
            await self._inbox.deliver(self._worker_id, JobAssignment(self._job_id))
        if delivery.cancelled_caught:
            raise SignalingLostError("The signaling server can't be reached to assign the job.")
        self._is_assigned = True

    async def _release(self, unreleased: list[str], reason: str) -> None:
        """Tells other workers that accepted that they won't get the job; removes them from the list."""
        while unreleased:
            await self._inbox.send(unreleased[0], JobCancel(self._job_id, reason))
            del unreleased[0]

    async def _release_on_leaving(self, unreleased: list[str]) -> None:
        # Without the server they can't be told: their reservations end by themselves.
        with trio.move_on_after(CANCEL_DELIVERY_SEC), suppress(NetworkError, RefusedError):
            if self._link.is_connected:
                await self._release(unreleased, CancelReason.CLIENT_LEFT)

    async def _cancel_job(self) -> None:
        """Cancels the job and waits until the worker confirms that nothing of it is left."""
        cancel = JobCancel(self._job_id, CancelReason.CLIENT_LEFT, self._attach_key)
        if self._link.is_connected:
            self.is_cancelled |= await cancel_on_worker(self._inbox, self._worker_id, cancel)


def _with_own_names(emit: Emit, files: JobFiles) -> Emit:
    """Returns ``emit`` for a worker's events: its sentences get the names that the user gave the files."""

    def emit_renamed(event: Event) -> None:
        if isinstance(event, StatusChanged) and event.message is not None:
            event = attrs.evolve(event, message=files.under_own_names(event.message))
        emit(event)

    return emit_renamed
