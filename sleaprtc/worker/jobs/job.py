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
from ...base.sentences import as_clause
from ...errors import SleapRTCError, StorageError, TransferError
from ...protocol.jobs import JobComplete, JobError, JobFailed, JobMessage, JobRequest, JobStatus
from ..journal.page import JobNotes
from ..journal.past_trainings import EpochClock
from ..journal.store import COMPLETED, DELIVERED, FAILED, TRAINING, JournalEntry
from ..trainer import Trainer
from .cache import FileCache
from .connection import ClientConnection
from .inputs import receive_inputs
from .job_types import WORK, Product, WorkOrder
from .messages import FAILED_UNEXPECTEDLY, failure
from .slot import JobSlot
from .statuses import StatusReporter

RESULT_WAIT_SEC: Final = 15 * 60.0
"""How long a finished job waits for its client before it lies down in the journal, to be attached to."""

LAST_WORD_SEC: Final = 8.0
"""How long a worker that has handed over its result tries to say what it is like, without the server or over
a half-open connection, which takes it seven seconds to replace; our client waits two seconds longer."""

_log = get_logger(__name__)

OnWorked = Callable[[EpochClock], None]


class Job:
    """A job that this worker has taken on.

    Args:
        request: What the client asked for.
        job_dir: A folder of the job's own.
        connection: The data channel to the client, whoever that is at the time.
        cache: Files of earlier jobs, or None where none are kept.
        max_dataset_bytes: The largest dataset that the owner takes.
        notes: The job's page in the journal.
        deliver: Takes a job message to a client, whenever that is possible.
        try_send: The same, but drops the message where the client can't be reached just now.

    Attributes:
        client_id: Who gets statuses and last word; a later process of the same client has another name.
    """

    def __init__(
        self,
        *,
        request: JobRequest,
        job_dir: Path,
        connection: ClientConnection,
        cache: FileCache | None,
        max_dataset_bytes: float,
        notes: JobNotes,
        deliver: Callable[[str, JobMessage], Awaitable[None]],
        try_send: Callable[[str, JobMessage], Awaitable[None]],
    ) -> None:
        self.request = request
        self.connection = connection
        self.client_id = connection.remote_id
        self._job_dir = job_dir
        self._cache = cache
        self._max_dataset_bytes = max_dataset_bytes
        self._notes = notes
        self._deliver = deliver
        self._try_send = try_send
        self._clock = EpochClock()
        self._stop = trio.Event()
        self._scope = trio.CancelScope()
        self._waiting: trio.CancelScope | None = None
        self._kind = WORK[request.job_type]
        self._is_worked = False
        self._was_connected = False
        self._keep = False
        self._ended = trio.Event()

    @property
    def job_id(self) -> str:
        """The client's name for the job."""
        return self.request.job_id

    def stop(self) -> None:
        """Ends the work early; the best model, or the predictions, so far are kept and sent."""
        self._stop.set()

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to end early."""
        return self._stop.is_set()

    async def cancel(self) -> None:
        """Ends the job and waits until nothing of it is left, running or on disk."""
        self._scope.cancel()
        await self._ended.wait()
        shutil.rmtree(self._job_dir, ignore_errors=True)

    def expect_client(self) -> bool:
        """Waits its full time anew for a client that is about to connect; False if the waiting is over."""
        if self._waiting is None:
            return not self._ended.is_set()
        if self._waiting.cancel_called:
            return False
        self._waiting.deadline = trio.current_time() + RESULT_WAIT_SEC
        return True

    async def wait_ended(self) -> None:
        """Waits until the job needs nothing more of this worker, but for a result that nobody fetched."""
        await self._ended.wait()

    async def run(self, trainer: Trainer, thread_count: int, slot: JobSlot, on_worked: OnWorked) -> None:
        """Does the job. Everything that goes wrong is told to the client; nothing is raised.

        Args:
            trainer: What trains and predicts.
            thread_count: CPU threads for it.
            slot: The job's; where it is lost, the job fails.
            on_worked: Called once, when the job no longer needs its slot: with its epochs, however it ended.
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
        """Hands over the result of a job that was done before, as :meth:`run` does at its end."""

        async def work() -> None:
            if isinstance(entry.last_word, JobComplete) and entry.archive is not None:
                self._keep = True
                await self._hand_over(entry.last_word, entry.archive)

        await self._serve(work)

    async def _serve(self, work: Callable[[], Awaitable[None]]) -> None:
        """Works with the connection beside it; keeps the job's folder only for a result that waits.

        A failure of the connection costs the connection, and the client makes another one; a failure of the
        work costs the job.
        """
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(keep_running, "Offers can't be answered.", self.connection.run)
                    await work()
                    nursery.cancel_scope.cancel()
        finally:
            if not self._keep:
                # Synchronous, so that neither cancellation nor shutdown leaves a dataset behind.
                shutil.rmtree(self._job_dir, ignore_errors=True)
            self._ended.set()

    def _mark_worked(self, on_worked: OnWorked) -> None:
        if not self._is_worked:
            self._is_worked = True
            on_worked(self._clock)

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
            failed = JobFailed(self.job_id, JobError("INTERNAL", FAILED_UNEXPECTEDLY, True))
        else:
            self._keep = True
            _log.info("The job is done.", peer=self.client_id)
            await self._notes.change(COMPLETED, last_word=product.complete, archive=product.file)
            self._mark_worked(on_worked)
            return product.complete, product.file
        _log.warning(
            "The job failed.", peer=self.client_id, code=failed.error.code, error=failed.error.message
        )
        if slot.is_lost and not self._was_connected:
            await self._notes.forget()  # whoever asked for it has shown nothing but that it can ask
        else:
            await self._notes.keep_log(self._job_dir)
            await self._notes.change(FAILED, last_word=failed)
        self._mark_worked(on_worked)
        await self._deliver(self.client_id, failed)
        return None

    async def _work_in_slot(self, trainer: Trainer, thread_count: int, slot: JobSlot) -> Product:
        """Works for as long as the slot is the job's."""

        async def confirm() -> None:
            await self.connection.transfers.wait_connected()
            self._was_connected = True
            slot.confirm()

        async def fail_when_lost() -> None:
            raise await slot.wait_lost()

        problem: Exception | None = None
        # A failure in here costs the job, whose last word it becomes, see _work_to_the_end().
        async with trio.open_nursery() as nursery:
            nursery.start_soon(confirm)
            nursery.start_soon(fail_when_lost)
            try:
                product = await self._work_and_report(trainer, thread_count)
            except Exception as error:
                problem = error
            nursery.cancel_scope.cancel()
        if problem is not None:
            raise problem
        return product

    async def _work_and_report(self, trainer: Trainer, thread_count: int) -> Product:
        """Works with statuses going out beside it; how it ends is known only when the last one is sent.

        A failure in the reporter costs one status (:meth:`_send_status`).
        """
        reporter = StatusReporter(self.job_id, self._send_status)
        problem: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reporter.run)
            try:
                product = await self._produce(trainer, thread_count, reporter)
            except Exception as error:
                problem = error
            reporter.finish()
        if problem is not None:
            raise problem
        return product

    async def _send_status(self, status: JobStatus) -> None:
        with contained("A status can't be told."):
            await self._notes.add_status(status)
            await self._try_send(self.client_id, status)

    async def _produce(self, trainer: Trainer, thread_count: int, reporter: StatusReporter) -> Product:
        reporter.report("starting", message="Waiting for the client's connection.")
        inputs = await receive_inputs(
            self.job_id,
            self._job_dir,
            self.connection.transfers,
            reporter,
            self._cache,
            self._max_dataset_bytes,
            self._kind.takes,
        )
        await self._notes.change(TRAINING)
        product = await self._kind.do(
            WorkOrder(
                request=self.request,
                job_dir=self._job_dir,
                inputs=inputs,
                trainer=trainer,
                thread_count=thread_count,
                stop=self._stop,
                reporter=reporter,
                cache=self._cache,
                clock=self._clock,
            )
        )
        await self._notes.keep_log(self._job_dir)
        await trio.to_thread.run_sync(_remove_all_but, self._job_dir, product.file)
        return product

    # --- delivery ---------------------------------------------------------------------------

    async def _hand_over(self, complete: JobComplete, archive: Path) -> None:
        """Sends the result, whether or not the server is there to say so.

        A failure here costs this delivery: the result stays for the client to attach to.
        """
        told = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                run_contained, "The client can't be told.", self._tell_completed, complete, told
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
                    _log.warning("The result wasn't taken.", peer=self.client_id, error=str(error))
                else:
                    self._keep = False
                    await self._notes.change(DELIVERED)
            if not self._keep:
                with trio.move_on_after(LAST_WORD_SEC):
                    await told.wait()
            # Leaving closes the channel, by which the client sees that we have its last word.
            nursery.cancel_scope.cancel()
        if self._keep:
            await self._notes.keep_trying()  # until then, only this job knows that its result waits
            _log.info("The result is kept until it is fetched.", job=self.job_id, path=str(archive))

    async def _tell_completed(self, complete: JobComplete, told: trio.Event) -> None:
        await self._deliver(self.client_id, complete)
        told.set()


def _remove_all_but(folder: Path, kept: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path != kept:
            path.unlink(missing_ok=True)
