"""One job on one worker: connect, send the dataset, watch, bring the model home."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from ...access.place import ConnectionOptions
from ...base.exception_groups import single_error
from ...base.nurseries import contained
from ...base.sentences import as_sentence
from ...errors import (
    BrokenResultError,
    ChannelClosedError,
    JobFailedError,
    NetworkError,
    NobodyReadsError,
    RefusedError,
    SignalingLostError,
    SleapRTCError,
    TransferAbortedError,
    TransferError,
    WorkerLostError,
)
from ...jobs.life import has_begun
from ...jobs.properties import read_worker
from ...protocol.jobs import (
    AppError,
    JobAssignment,
    JobAttached,
    JobCancel,
    JobComplete,
    JobMessage,
    JobStatus,
)
from ...protocol.limits import RESERVATION_SEC
from ...signaling.link import Link
from ...transfer.stream import IncomingFile, TransferProgress
from ..events.job import Emit, Notice, StatusChanged, Transferred, is_at_work
from ..events.losses import LossHistory
from ..inbox import Inbox, decline_late
from ..inputs.files import JobFiles
from ..results.delivery import TRY_ELSEWHERE, JobOutcome
from ..results.limits import ResultAllowance
from .inquiry import Inquiry, is_laid_down, last_word_of
from .last_words import CANCEL_DELIVERY_SEC, cancel_on_worker, end_of, taken_over
from .worker_channel import WorkerChannel

CHECK_INTERVAL_SEC: Final = 1.0
SILENCE_SEC: Final = 6.0
"""Workers report every 5 seconds. After a longer silence, the room is asked whether the worker is there."""

ABSENCES_COUNTED: Final = 2
"""How often in a row a silent worker must be missing; once can be its coming back from a lost connection."""

FURTHER_FILE_SEC: Final = 2.0
"""How soon the next of several files is offered by a worker that doesn't say how many there are."""

LONG_SILENCE_SEC: Final = 10.0
"""After which a worker is lost that promised to report every 5 seconds, or whose data channel is gone."""

CHANNEL_SILENCE_SEC: Final = 60.0
"""The same while the data channel to it is there: its connection to the server may be half open, which it
notices within 45 seconds."""

LINGER_SEC: Final = 1.0
"""Closing may cut off our word that the model is here: the worker, when it has it, may close first."""

REFUSAL_WAIT_SEC: Final = 2.0
"""A worker that refuses a file says with `job_failed`, a little later, why the job can't go on."""

MODEL_WAIT_SEC: Final = 120.0


class Follower:
    """Follows one job on the worker it is assigned to.

    Args:
        link: The client's place in the room.
        inbox: What arrives in it.
        worker_id: Whose job it is now.
        job_id: The client's name for the job.
        attach_key: The job's key, which says that a word on it comes from its client.
        can_ask: Whether the worker answers when it is asked how the job stands.
        files: What to send and where to receive.
        connection: How to connect.
        emit: Takes what happens.

    Attributes:
        has_started: Whether training began; a worker that is lost later isn't replaced.
        is_cancelled: Whether the worker said, when the job was left, that it has dropped it.
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
        emit: Emit,
    ) -> None:
        self._link = link
        self._inbox = inbox
        self._worker_id = worker_id
        self._job_id = job_id
        self._attach_key = attach_key
        self._files = files
        self._emit = emit
        self._channel = WorkerChannel(
            link=link,
            inbox=inbox,
            worker_id=worker_id,
            connection=connection,
            digest_algorithm=files.digest_algorithm,
            emit=emit,
        )
        self._transfers = self._channel.transfers
        self._inquiry = Inquiry(
            inbox, worker_id=worker_id, job_id=job_id, attach_key=attach_key, can_ask=can_ask
        )
        self._last_activity = trio.current_time()
        self._received: list[Path] = []
        self._complete: JobComplete | None = None
        self._is_offered = False
        self._has_result = False
        self._completed = trio.Event()
        self._begun = trio.Event()
        self._last_seq = 0
        self._losses = LossHistory()
        self._cancel_on_leave = True
        self._was_heard = False
        self._is_assigned = False
        self._promises_statuses = False
        self._is_over = False  # nothing is left to be done or undone on the worker
        self.has_started = False
        self.is_cancelled = False

    @property
    def is_complete(self) -> bool:
        """Whether the worker has said that the job is done, or has offered its result."""
        return self._complete is not None or self._is_offered

    async def run(self, others: Iterable[str] = ()) -> JobOutcome:
        """Assigns the job and follows it to its end.

        Leaving by any way before the job is complete cancels it on the worker, but for work that has begun
        and is left because nobody reads any more what is shown. A model that is complete stays there, to be
        fetched by attaching.

        Args:
            others: Workers that accepted too and are told that the job went elsewhere.

        Raises:
            JobFailedError: The worker says that the job failed, with its sentence.
            WorkerLostError: The worker is gone, or no data channel to it comes about.
            RefusedError: The worker doesn't prove that it knows the room's secret, or asks for one.
            TakenOverError: Another process has attached to the job.
            BrokenResultError: The worker sends more than a result can be.
            TransferError: A file was refused, or the model didn't come.
            StorageError: What comes back can't be written.
            SignalingLostError: The server can't be reached to assign the job.
        """
        return await self._follow(send_inputs=True, assigns=True, others=others)

    async def run_until_begun(self, others: Iterable[str] = ()) -> None:
        """Assigns the job, sends the dataset, and leaves the job to its worker once the work has begun.

        Leaving before that cancels the job on the worker. Arguments and errors are those of :meth:`run`.
        """
        await self._follow(send_inputs=True, assigns=True, others=others, until_begun=True)

    async def run_attached(self, *, after_seq: int, send_inputs: bool) -> JobOutcome:
        """Follows a job that another process began. Leaving early leaves the job alone.

        Args:
            after_seq: Statuses up to this one have been seen before.
            send_inputs: Whether the worker still waits for the dataset.

        Raises:
            The same as :meth:`run`.
        """
        self._last_seq = after_seq
        self._cancel_on_leave = False
        return await self._follow(send_inputs=send_inputs)

    async def _assign(self) -> None:
        with trio.move_on_after(RESERVATION_SEC) as delivery:
            await self._inbox.deliver(self._worker_id, JobAssignment(self._job_id))
        if delivery.cancelled_caught:
            raise SignalingLostError("The signaling server can't be reached to assign the job.")
        self._is_assigned = True

    async def _follow(
        self,
        *,
        send_inputs: bool,
        assigns: bool = False,
        others: Iterable[str] = (),
        until_begun: bool = False,
    ) -> JobOutcome:
        untold = list(others)
        try:
            if assigns:
                await self._assign()
            await self._release(untold, "assigned_elsewhere")
            with single_error():
                async with trio.open_nursery() as nursery:  # what one of these tasks raises ends this job
                    nursery.start_soon(
                        self._channel.keep_connected,
                        lambda: self._is_over,
                        lambda: bool(self._received),
                        self._inquiry.ask,
                    )
                    if send_inputs:
                        nursery.start_soon(self._send_inputs)
                    nursery.start_soon(self._watch_worker)
                    nursery.start_soon(self._catch_up)
                    nursery.start_soon(self._read_messages)
                    if until_begun:
                        await self._begun.wait()
                        self._is_over = True
                    else:
                        await self._receive_to_the_end()
                    nursery.cancel_scope.cancel()
        except NobodyReadsError:
            self._cancel_on_leave = not self.has_started
            raise
        finally:
            if self._cancel_on_leave and not self._is_over and not self.is_complete:
                with trio.CancelScope(shield=True):
                    await self._release_on_leaving(untold)
                    await self._cancel_job()
        return JobOutcome(tuple(self._received), self._complete, self._losses.models)

    async def _receive_to_the_end(self) -> None:
        await self._receive_results()
        self._has_result = True
        if not self._link.has_ended:
            await self._inquiry.hear_last_word(self._completed, is_connected=self._link.is_connected)
        self._is_over = True
        with trio.move_on_after(LINGER_SEC):
            await self._transfers.wait_disconnected()

    async def _release(self, untold: list[str], reason: str) -> None:
        """Tells workers that accepted too that the job won't be theirs; takes those that were told away."""
        while untold:
            await self._inbox.send(untold[0], JobCancel(self._job_id, reason))
            del untold[0]

    async def _release_on_leaving(self, untold: list[str]) -> None:
        # Without the server they can't be told: what they hold for this job ends by itself.
        with trio.move_on_after(CANCEL_DELIVERY_SEC), suppress(NetworkError, RefusedError):
            if self._link.is_connected:
                await self._release(untold, "client_left")

    async def _cancel_job(self) -> None:
        """Tells the worker and waits for its word that nothing is left there."""
        cancel = JobCancel(self._job_id, "client_left", self._attach_key)
        if self._link.is_connected:
            self.is_cancelled |= await cancel_on_worker(self._inbox, self._worker_id, cancel)

    # --- files ------------------------------------------------------------------------------

    async def _send_inputs(self) -> None:
        try:
            for file in self._files.inputs:
                await self._transfers.send_file(
                    file.path, purpose=file.purpose, job_id=self._job_id, progress=self._reporting("send")
                )
        except TransferError as error:
            await trio.sleep(REFUSAL_WAIT_SEC)
            raise type(error)(f"{self._worker_id}: {as_sentence(error)}") from error

    def _reporting(self, direction: str) -> Callable[[TransferProgress], None]:
        def report(progress: TransferProgress) -> None:
            self._last_activity = trio.current_time()
            self._emit(
                Transferred(
                    direction,
                    progress.name,
                    progress.size_bytes,
                    progress.received_bytes,
                    progress.offset_bytes,
                )
            )

        return report

    async def _receive_results(self) -> None:
        allowance = ResultAllowance()
        while (incoming := await self._next_result()) is not None:
            excess = allowance.excess(incoming.offer)
            if excess is not None:
                await incoming.refuse("TOO_LARGE", f"A client takes no result of {excess}.")
                await trio.to_thread.run_sync(_remove, self._received)
                raise BrokenResultError(
                    f"{self._worker_id} sent {excess} as its result; none of it is kept. {TRY_ELSEWHERE}"
                )
            if incoming.offer.purpose not in ("model", "predictions"):
                await incoming.refuse("UNEXPECTED_FILE", "A client takes models and predictions.")
                allowance.end()
                continue
            self._is_offered = True
            allowance.begin(incoming.offer)
            try:
                path = await incoming.accept(self._files.incoming_dir, progress=self._reporting("receive"))
            except (ChannelClosedError, TransferAbortedError) as error:
                self._emit(Notice(f"{as_sentence(error)} Waiting for the worker to try again."))
                if isinstance(error, TransferAbortedError):
                    allowance.end()
                continue
            allowance.end()
            self._received.append(path)

    async def _next_result(self) -> IncomingFile | None:
        """Waits for a file; where nobody said how many there are, the last is followed by silence."""
        announced = self._complete.result.file_count if self._complete else None
        if announced is not None and len(self._received) >= announced:
            return None
        with trio.move_on_after(FURTHER_FILE_SEC if self._received else math.inf):
            return await self._transfers.next_offer()
        return None

    # --- the worker -------------------------------------------------------------------------

    async def _read_messages(self) -> None:
        while True:
            sender, message = await self._inbox.next_job_message()
            if sender != self._worker_id:
                await decline_late(self._inbox, sender, message)
            elif message.job_id in (None, self._job_id):
                with contained("A message can't be handled.", let_through=(SleapRTCError,)):
                    self._take(message)
                if isinstance(message, JobAttached) and is_laid_down(message) and not self._received:
                    await self._inquiry.take_up(self._last_seq)

    async def _catch_up(self) -> None:
        """Repeats and asks for what may have been lost with a connection to the server."""
        while True:
            await self._link.wait_return()
            if self._was_heard or not self._is_assigned:
                await self._inquiry.ask()
            else:
                with suppress(NetworkError):
                    await self._inbox.send(self._worker_id, JobAssignment(self._job_id))

    def _take(self, message: JobMessage) -> None:
        if isinstance(message, JobStatus):
            self._take_status(message)
        elif isinstance(message, JobComplete):
            self._take_completion(message)
        elif isinstance(message, JobAttached):
            self._take_state(message)
        elif (end := end_of(message, self._job_id)) is not None:
            self._is_over = True
            raise end
        elif isinstance(message, AppError) and self._inquiry.is_unknown_job(message):
            self._is_over = True
            raise JobFailedError(
                f"{self._worker_id} doesn't know the job any more.",
                error_code="UNKNOWN_JOB",
                recoverable=True,
            )
        elif isinstance(message, AppError):
            self._emit(Notice(f"{self._worker_id}: {message.message}"))

    def _take_completion(self, message: JobComplete) -> None:
        if self._complete is None:
            self._last_activity = trio.current_time()
        self._complete = message
        self._completed.set()
        self._begun.set()
        if not message.ready_for_download:
            raise JobFailedError("The worker completed the job but has no result to fetch.")

    def _take_state(self, attached: JobAttached) -> None:
        """Takes the answer to a question for what was missed."""
        word = last_word_of(attached)
        if attached.last_status is not None:
            self._take_status(attached.last_status)
        if word is not None:
            if self._complete is None:
                self._take(word)
        elif attached.follows is False:
            self._is_over = True
            raise taken_over()

    def _take_status(self, status: JobStatus) -> None:
        self._was_heard = True
        if status.seq is not None:
            if status.seq <= self._last_seq:
                return  # told again to a process that attached
            self._last_seq = status.seq
        self.has_started |= has_begun(status.status)
        if is_at_work(status):
            self._begun.set()
        event = StatusChanged.of(self._worker_id, status)
        self._losses.see(event)
        self._emit(event)

    async def _watch_worker(self) -> None:
        """Raises once the worker is silent and no longer in the room, or silent after its last word.

        A worker that is gone once its result is here has lost nothing.
        """
        absences = 0
        while not self._has_result:
            undelivered = False
            with trio.move_on_after(CHECK_INTERVAL_SEC):
                await self._inbox.undeliverable.wait()
                undelivered = True
            silence_sec = self._silence_sec()
            if self._complete is not None and trio.current_time() - self._last_activity > MODEL_WAIT_SEC:
                raise TransferError(f"{self._worker_id} completed the job but didn't send its result.")
            if self._link.is_connected and not self._link.is_settled:
                absences = 0  # the worker may not be back yet
                continue
            is_silent = silence_sec > SILENCE_SEC
            if (undelivered or is_silent) and await self._is_missing():
                absences += 1
            else:
                absences = 0
                if is_silent and self._was_heard:
                    await self._inquiry.ask()
            if absences >= ABSENCES_COUNTED or (absences and undelivered):
                self._lose("has left the room")
            elif self._link.is_connected and silence_sec > self._patience_sec():
                self._lose("has fallen silent")

    def _patience_sec(self) -> float:
        """How long a silence may be: a promise of the worker's counts, and else only a lost data channel."""
        if self._transfers.is_connected:
            return CHANNEL_SILENCE_SEC if self._promises_statuses else math.inf
        return LONG_SILENCE_SEC if self._channel.was_connected else math.inf

    def _lose(self, how: str) -> None:
        if self._has_result:
            return  # it came while the room was asked
        self._is_over = True
        work = "prediction" if self._files.job_type == "inference" else "training"
        when = f"during {work}" if self.has_started else f"before {work} began"
        raise WorkerLostError(f"{self._worker_id} {how} {when}.")

    def _silence_sec(self) -> float:
        heard = self._inbox.last_heard.get(self._worker_id, self._last_activity)
        return trio.current_time() - max(heard, self._last_activity)

    async def _is_missing(self) -> bool:
        try:
            peers = await self._link.discover({})
        except SleapRTCError:
            return False  # without the server nobody knows; the data channel tells in its own time
        for peer in peers:
            if peer.peer_id == self._worker_id:
                promised_sec = read_worker(peer.metadata.properties).status_interval_sec
                self._promises_statuses = promised_sec is not None
                return False
        return True


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        with suppress(OSError):
            file.unlink()
