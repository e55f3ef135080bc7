"""One job of a worker, from the assignment to the delivery of what came of it."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import trio

from ...base.exception_groups import single_error
from ...base.logs import get_logger
from ...base.nurseries import contained, keep_running, run_contained
from ...base.sentences import as_clause, as_sentence
from ...errors import JobFailedError, SleapRTCError, StorageError, TrainerError, TransferError
from ...jobs import life
from ...jobs.life import Cause, State
from ...protocol.jobs import (
    JobComplete,
    JobFailed,
    JobMessage,
    JobRequest,
    JobStatus,
    StatusDetails,
)
from ...protocol.vocabulary import ErrorCode, Phase
from ..journal.page import JobNotes
from ..journal.past_trainings import EpochClock
from ..journal.store import JournalEntry
from ..trainer import Trainer
from .cache import JobCache
from .connection import ClientConnection
from .disk import WorkerDisk
from .folder import remove_all_but
from .inputs import JobInputs, receive_inputs
from .job_types import WORK, Product, WorkOrder
from .messages import failed_unexpectedly, failure
from .slot import JobSlot
from .statuses import StatusReporter
from .work_left import MOST_RESUMES, WorkLeft, write_inputs

RESULT_WAIT_SEC: Final = 15 * 60.0
"""How long a finished job waits for its client. After that only the journal has it, for an attach."""

LAST_WORD_SEC: Final = 8.0
"""How long a worker that has handed over its result tries to send its last word. Without the server, or over
a half-open connection, a new connection takes seven seconds; our client waits two seconds longer."""

_log = get_logger(__name__)

OnWorked = Callable[[EpochClock], None]


class Job:
    """A job that this worker has accepted.

    Args:
        request: The client's request.
        job_dir: A folder of the job's own.
        connection: The data channel to the job's client; a later process of the client may replace it.
        cache: Files of earlier jobs, or None if none are kept.
        max_dataset_bytes: The largest dataset that the worker's owner allows.
        disk: The worker's disk, if jobs reserve their share of it.
        notes: The job's page in the journal.
        deliver: Sends a job message to a client as soon as that is possible.
        try_send: Sends a job message to a client, or drops it if the client can't be reached now.
        state: The job's present state.
        left: What is left of the job's work if it was interrupted.

    Attributes:
        client_id: The peer that gets statuses and the last word. A later process of a client has another id.
        state: How the job stands. The journal follows, a little later if it can't be written.
        was_told: Whether the client was told that the result is ready.
        was_connected: Whether the job's client has ever connected.
        is_cancelled: Whether the job was cancelled. Who cancels it also deletes what is kept of it.
    """

    def __init__(
        self,
        *,
        request: JobRequest,
        job_dir: Path,
        connection: ClientConnection,
        cache: JobCache | None,
        max_dataset_bytes: float,
        disk: WorkerDisk | None,
        notes: JobNotes,
        deliver: Callable[[str, JobMessage], Awaitable[None]],
        try_send: Callable[[str, JobMessage], Awaitable[None]],
        state: State,
        left: WorkLeft | None = None,
    ) -> None:
        self.request = request
        self.connection = connection
        self.client_id = connection.remote_id
        self.state = state
        self.was_told = False
        self.is_cancelled = False
        self._job_dir = job_dir
        self._cache = cache
        self._max_dataset_bytes = max_dataset_bytes
        self._disk = disk
        self._notes = notes
        self._deliver = deliver
        self._try_send = try_send
        self._clock = EpochClock()
        self._stop = trio.Event()
        self._scope = trio.CancelScope()
        self._waiting: trio.CancelScope | None = None
        self._kind = WORK[request.job_type]
        self._left = left
        self._reporter = StatusReporter(
            self.job_id, self._send_status, None if left is None else left.last_status
        )
        self._epoch: tuple[int | None, int | None] = (None, None)
        self._has_to_get_on = left is not None
        self._is_worked = False
        self.was_connected = left is not None
        self._ended = trio.Event()
        if left is not None and left.is_stopping:
            self._stop.set()

    @property
    def job_id(self) -> str:
        """The client's name for the job."""
        return self.request.job_id

    def stop(self) -> None:
        """Ends the work early. The best model so far, or the predictions so far, are kept and sent."""
        self._stop.set()

    @property
    def is_stopping(self) -> bool:
        """Whether the job was asked to end early."""
        return self._stop.is_set()

    async def cancel(self, cause: Cause) -> None:
        """Ends the job for ``cause`` and waits until nothing of it is left, running or on disk.

        The journal's page is the caller's.
        """
        self.is_cancelled = True
        self._change_state(cause)
        self._scope.cancel()
        await self._ended.wait()
        shutil.rmtree(self._job_dir, ignore_errors=True)

    async def interrupt(self) -> bool:
        """Ends the work until the worker is started again, and tells the client; False if there is none.

        What is kept of the work is safe at every moment: only the end of its processes is waited for.
        """
        if self._change_state(Cause.INTERRUPTED):
            await self._notes.move(Cause.INTERRUPTED)
        elif self.state is not State.INTERRUPTED:
            return False
        self._scope.cancel()
        await self._ended.wait()
        if life.after(self.state, Cause.RESUMED) is None:
            return False  # it was done just now
        await self._reporter.send(
            JobStatus(
                self.job_id,
                Phase.RUNNING,
                self._reporter.progress,
                StatusDetails(interrupted=True),
                "The worker's owner has stopped it. The job continues when the worker is started again.",
            )
        )
        return True

    async def end(self, word: JobFailed) -> None:
        """Ends a job whose work hasn't begun, with a last word to its client."""
        if not self._change_state(Cause.WORK_FAILED):
            return
        self._scope.cancel()
        await self._notes.move(Cause.WORK_FAILED, last_word=word)
        await self._try_send(self.client_id, word)

    @property
    def place(self) -> str:
        """How far the work is, for the end of a sentence; empty before the first epoch."""
        epoch, total = self._epoch
        return f" after epoch {epoch} of {total or '?'}" if epoch else ""

    def expect_client(self) -> bool:
        """Restarts the wait for a client that is about to connect. Returns False if the wait is over."""
        if self._waiting is None:
            return not self._ended.is_set()
        if self._waiting.cancel_called:
            return False
        self._waiting.deadline = trio.current_time() + RESULT_WAIT_SEC
        return True

    async def catch_up(self) -> None:
        """Writes into the journal what couldn't be written so far, if that is possible now."""
        await self._notes.catch_up()

    async def wait_ended(self) -> None:
        """Waits until the job needs nothing more of this worker; an unfetched result may still be kept."""
        await self._ended.wait()

    async def run(self, trainer: Trainer, thread_count: int, slot: JobSlot, on_worked: OnWorked) -> None:
        """Does the job. Every failure is reported to the client; nothing is raised.

        Args:
            trainer: Trains and predicts.
            thread_count: The number of CPU threads for it.
            slot: The job's slot. The job fails if it loses the slot.
            on_worked: Called once, with the timed epochs, when the job no longer needs its slot.
        """

        async def work() -> None:
            finished = await self._work_to_the_end(trainer, thread_count, slot, on_worked)
            if finished is not None:
                await self._hand_over(*finished)

        try:
            await self._serve(work)
        finally:
            self._mark_worked(on_worked)

    async def run_delivery(self, entry: JournalEntry) -> None:
        """Hands over the result of a job that completed earlier, as :meth:`run` does at its end."""

        async def work() -> None:
            if isinstance(entry.last_word, JobComplete) and entry.archive is not None:
                await self._hand_over(entry.last_word, entry.archive)

        await self._serve(work)

    async def _serve(self, work: Callable[[], Awaitable[None]]) -> None:
        """Runs the work beside the connection; keeps the job's folder only as long as its state says.

        A failure of the connection costs the connection, and the client makes another one. A failure of the
        work costs the job.
        """
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(keep_running, "Offers can't be answered.", self.connection.run)
                    await work()
                    nursery.cancel_scope.cancel()
        finally:
            if not life.keeps_files(self.state):
                # Synchronous, so that neither cancellation nor shutdown leaves a dataset behind.
                shutil.rmtree(self._job_dir, ignore_errors=True)
            self._ended.set()

    def _mark_worked(self, on_worked: OnWorked) -> None:
        if not self._is_worked:
            self._is_worked = True
            on_worked(self._clock)

    def _change_state(self, cause: Cause) -> bool:
        following = life.after(self.state, cause)
        if following is None:
            return False
        self.state = following
        return True

    async def _move(
        self, cause: Cause, *, last_word: JobComplete | JobFailed | None = None, archive: Path | None = None
    ) -> None:
        """Moves the job on, here at once and then in the journal, unless it has been ended meanwhile."""
        await trio.lowlevel.checkpoint_if_cancelled()  # else it would be moved here, and not in the journal
        if self._change_state(cause):
            await self._notes.move(cause, last_word=last_word, archive=archive)
        elif not self._scope.cancel_called:
            # A fault of this program: nobody but the job's own task moves a job that goes on.
            _log.error("The job's state stays as it is.", job=self.job_id, state=self.state, cause=str(cause))

    # --- work -------------------------------------------------------------------------------

    async def _work_to_the_end(
        self, trainer: Trainer, thread_count: int, slot: JobSlot, on_worked: OnWorked
    ) -> tuple[JobComplete, Path] | None:
        try:
            with single_error():
                product = await self._work_in_slot(trainer, thread_count, slot)
        except SleapRTCError as error:
            failed = failure(self.job_id, error)
        except OSError as error:
            sentence = f"The job's folder can't be used: {as_clause(error)}."
            unusable = StorageError(sentence)
            unusable.__cause__ = error
            failed = failure(self.job_id, unusable)
        except Exception:
            # Not contained(): here the failure is the job's last word, which is kept and delivered.
            _log.exception("The job failed unexpectedly.", job=self.job_id)
            failed = failed_unexpectedly(self.job_id)
        else:
            _log.info("The job is done.", peer=self.client_id)
            with trio.CancelScope(shield=True):  # a worker that ends just now doesn't lose it
                await self._move(Cause.WORK_DONE, last_word=product.complete, archive=product.file)
            # Only now: a worker that is killed before resumes from what is in the folder.
            with contained("The job's files can't be deleted."):
                await trio.to_thread.run_sync(remove_all_but, self._job_dir, product.file)
            self._mark_worked(on_worked)
            return product.complete, product.file
        _log.warning(
            "The job failed.", peer=self.client_id, code=failed.error.code, error=failed.error.message
        )
        if slot.is_lost and not self.was_connected:
            await self._move(Cause.SLOT_LOST)  # the client has done nothing for the job but ask for it
        else:
            await self._keep_log()
            await self._move(Cause.WORK_FAILED, last_word=failed)
        self._mark_worked(on_worked)
        await self._deliver(self.client_id, failed)
        return None

    async def _work_in_slot(self, trainer: Trainer, thread_count: int, slot: JobSlot) -> Product:
        """Works for as long as the job has its slot."""

        async def confirm() -> None:
            await self.connection.transfers.wait_connected()
            self.was_connected = True
            slot.confirm()

        async def fail_when_lost() -> None:
            raise await slot.wait_lost()

        problem: Exception | None = None
        # A failure in here costs the job, whose last word it becomes, see _work_to_the_end().
        async with trio.open_nursery() as nursery:
            nursery.start_soon(confirm)
            nursery.start_soon(fail_when_lost)
            nursery.start_soon(self._note_stop)
            try:
                product = await self._work_and_report(trainer, thread_count, slot)
            except Exception as error:
                problem = error
            nursery.cancel_scope.cancel()
        if problem is not None:
            raise problem
        return product

    async def _note_stop(self) -> None:
        await self._stop.wait()
        await self._notes.note_stop()

    async def _work_and_report(self, trainer: Trainer, thread_count: int, slot: JobSlot) -> Product:
        """Works and sends statuses meanwhile; returns or raises only once the last status is sent.

        A failure in the reporter costs one status (:meth:`_send_status`).
        """
        problem: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._reporter.run)
            try:
                product = await self._produce(trainer, thread_count, slot)
            except Exception as error:
                problem = error
            self._reporter.finish()
        if problem is not None:
            raise problem
        return product

    async def _send_status(self, status: JobStatus) -> None:
        with contained("A status can't be sent."):
            await self._notes.add_status(status)
            details = status.details
            if details.current_epoch is not None:
                self._epoch = details.current_epoch, details.total_epochs
            if self._has_to_get_on and (details.current_epoch or details.frames_done):
                self._has_to_get_on = False
                await self._notes.note_progress()
            await self._try_send(self.client_id, status)

    async def _produce(self, trainer: Trainer, thread_count: int, slot: JobSlot) -> Product:
        left = self._left
        inputs = await self._receive_inputs() if left is None else left.inputs
        order = WorkOrder(
            request=self.request,
            job_dir=self._job_dir,
            inputs=inputs or JobInputs(self._job_dir / "job"),
            trainer=trainer,
            thread_count=thread_count,
            stop=self._stop,
            reporter=self._reporter,
            cache=self._cache,
            clock=self._clock,
            lacks_disk=self._lacks_disk,
        )
        if left is None:
            product = await self._work(order)
        elif left.obstacle is None:
            await self._resume(slot)
            product = await self._work(order, left.resumes + 1)
        else:
            cut = JobFailedError(left.obstacle, error_code=ErrorCode.WORKER_RESTARTED, recoverable=True)
            product = await self._salvage(order, cut)
        await self._keep_log()
        return product

    async def _receive_inputs(self) -> JobInputs:
        self._reporter.report(Phase.STARTING, message="Waiting for the client's connection.")
        inputs = await receive_inputs(
            self.job_id,
            self._job_dir,
            self.connection.transfers,
            self._reporter,
            self._cache,
            self._max_dataset_bytes,
            self._kind.takes,
            self._check_space,
        )
        await trio.to_thread.run_sync(write_inputs, self._job_dir, inputs)
        await self._move(Cause.INPUTS_ARRIVED)
        return inputs

    async def _resume(self, slot: JobSlot) -> None:
        reporter = self._reporter
        reporter.report(
            Phase.RUNNING,
            reporter.progress,
            message="The worker is back. The job continues as soon as it has a slot.",
        )
        await slot.wait_held()
        await self._move(Cause.RESUMED)
        _log.info("The job is resumed.", job=self.job_id)

    async def _work(self, order: WorkOrder, resumes: int = 0) -> Product:
        """Does the work. Work that was cut short resumes from what is kept of it, as often as that helps."""
        while True:
            count = self._clock.count
            try:
                return await self._kind.do(order)
            except TrainerError as error:
                was_killed = error.error_code == ErrorCode.KILLED and self._clock.count > 0
                if self._left is None and not was_killed:
                    raise
                resumes = 1 if self._clock.count > count else resumes + 1
                if resumes > MOST_RESUMES:
                    return await self._salvage(order, error)
                _log.warning("The job is resumed after a failure.", job=self.job_id, error=str(error))
                message = f"{as_sentence(error)} Resuming from the last epoch."
                self._reporter.report(Phase.RUNNING, self._reporter.progress, message=message)

    async def _salvage(self, order: WorkOrder, error: TrainerError | JobFailedError) -> Product:
        """Makes a result of what the work has left; raises the error that ended it if that is nothing."""
        product = await self._kind.salvage(order, str(error))
        if product is None:
            raise error
        _log.warning("The job was cut short.", job=self.job_id, error=str(error))
        return product

    def _check_space(self, size_bytes: int) -> None:
        if self._disk is not None:
            self._disk.check_file(self.job_id, size_bytes)

    def _lacks_disk(self) -> bool:
        return self._disk is not None and self._disk.has_to_end(self.job_id)

    async def _keep_log(self) -> None:
        if not self.request.ephemeral:
            await self._notes.keep_log(self._job_dir)

    # --- delivery ---------------------------------------------------------------------------

    async def _hand_over(self, complete: JobComplete, archive: Path) -> None:
        """Sends the result, whether or not the last word can be sent through the server.

        A failure here costs this delivery: the result is kept, and the client can attach to fetch it.
        """
        told = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                run_contained, "The last word can't be sent.", self._send_last_word, complete, told
            )
            nursery.start_soon(keep_running, "The journal can't be written.", self._notes.keep_trying)
            with (
                contained("The result can't be sent."),
                trio.move_on_after(RESULT_WAIT_SEC) as self._waiting,
            ):
                try:
                    await self.connection.transfers.send_file(
                        archive, purpose=self._kind.gives, job_id=self.job_id
                    )
                except (TransferError, StorageError) as error:
                    _log.warning("The result wasn't accepted.", peer=self.client_id, error=str(error))
                else:
                    await self._move(Cause.RESULT_FETCHED)
            if not life.keeps_result(self.state):
                with trio.move_on_after(LAST_WORD_SEC):
                    await told.wait()
            # Leaving closes the channel, which tells the client that we know it has the result.
            nursery.cancel_scope.cancel()
        if life.keeps_result(self.state):
            await self._notes.keep_trying()  # until then, only this job knows that its result waits
            _log.info("The result is kept until it is fetched.", job=self.job_id, path=str(archive))

    async def _send_last_word(self, complete: JobComplete, told: trio.Event) -> None:
        await self._deliver(self.client_id, complete)
        self.was_told = True
        told.set()
