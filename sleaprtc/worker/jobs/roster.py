"""A worker's jobs: begins them, finds them, and hands them to later processes of their clients."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import trio

from ...base.logs import bind, get_logger
from ...base.nurseries import contained, run_contained
from ...base.sentences import as_clause
from ...errors import SleapRTCError, StorageError
from ...jobs import life
from ...jobs.keys import is_key_of
from ...jobs.life import Cause, State
from ...protocol.jobs import (
    ConnectionCheck,
    ConnectionCheckAnswer,
    JobAttach,
    JobCancel,
    JobCancelled,
    JobFailed,
    JobLogRequest,
    JobMessage,
    JobPurge,
    JobPurged,
    JobRequest,
    JobStatus,
    JobStop,
)
from ...protocol.vocabulary import Refusal
from ...rtc.peer import IceSettings
from ...signaling.link import Link
from ...signaling.post import Signal, SignalSorter
from ..journal.answers import describe, page_of_log, taken_over, unknown_job
from ..journal.page import JobNotes
from ..journal.past_trainings import EpochClock, History, past_models
from ..journal.recovery import JOB_DIR_PREFIX, WallClock
from ..journal.store import Journal, JournalEntry
from ..trainer import Trainer
from .cache import JobCache
from .checks import ConnectionChecks
from .connection import Answerer, ClientConnection
from .disk import WorkerDisk
from .job import Job
from .messages import cancelled, failure
from .purge import Purge, cache_name
from .settings import WorkerSettings
from .slot import JobSlot
from .unheard import UnheardFailures
from .work_left import WorkLeft, read_inputs

FORGET_INTERVAL_SEC: Final = 3600.0

_log = get_logger(__name__)


class Roster:
    """The jobs of one worker, and the connections to their clients.

    Args:
        link: The worker's place in the room.
        trainer: Trains and predicts.
        history: Past trainings, for estimates.
        journal: The worker's journal.
        failed: The jobs that failed because the worker ended last time, from the journal.
        settings: The owner's settings.
    """

    def __init__(
        self,
        *,
        link: Link,
        trainer: Trainer,
        history: History,
        journal: Journal,
        failed: Sequence[JournalEntry],
        settings: WorkerSettings,
    ) -> None:
        self._link = link
        self._trainer = trainer
        self._history = history
        self._journal = journal
        self._failed = failed
        self._settings = settings
        self._jobs: dict[str, Job] = {}
        self._signals = SignalSorter()
        self._unheard = UnheardFailures()
        self._answerer = Answerer(
            local_id=link.peer_id,
            send=link.send,
            ice=self._ice_settings,
            engine=settings.connection.engine,
            secret=settings.connection.secret,
            limit=settings.connection.limit,
        )
        self._purge = Purge(journal, settings.cache)
        self._checks = ConnectionChecks(self._answerer)

    @property
    def disk(self) -> WorkerDisk | None:
        """The worker's disk, if jobs reserve their share of it."""
        return self._settings.disk

    def running(self) -> list[Job]:
        """Returns the jobs that aren't over, including those whose result waits for its client."""
        return list(self._jobs.values())

    def has(self, job_id: str) -> bool:
        """Whether a job isn't over yet, even if only its result waits for its client."""
        return job_id in self._jobs

    def of_client(self, job_id: str, client_id: str) -> Job | None:
        """Returns a job if it is this client's own."""
        job = self._jobs.get(job_id)
        return job if job is not None and job.client_id == client_id else None

    def take_signal(self, signal: Signal) -> bool:
        """Hands a WebRTC signal to its sender's connection; returns False if the sender has none."""
        return self._signals.sort(signal) or self._checks.take_signal(signal)

    async def repeat_failure(self, client_id: str) -> None:
        """Repeats why a job failed to a client that wants to connect for it, and so can't have heard."""
        failed = self._unheard.of(client_id)
        if failed is not None:
            await self.try_send(client_id, failed)

    async def answer_check(self, asker: str, request: ConnectionCheck, proven: bool) -> None:
        """Lets a peer measure its connection to this worker, unless it has one already."""
        if self._signals.has(asker):
            await self.try_send(
                asker, ConnectionCheckAnswer(request.job_id, accepted=False, reason=Refusal.BUSY)
            )
        else:
            await self._checks.answer(asker, request, proven, self.try_send)

    async def serve(self) -> None:
        """Looks after the jobs of earlier runs until cancelled. A failure costs one round."""
        await run_contained("The clients of earlier jobs can't be notified.", self._tell_failed)
        await self._forget_old_jobs()

    # --- messages ---------------------------------------------------------------------------

    async def try_send(self, client_id: str, message: JobMessage) -> None:
        """Sends a job message, or drops it if the client can't be reached now."""
        with contained("A message can't be sent."):  # a failure costs the message
            try:
                await self._link.send_job_message(client_id, message)
            except SleapRTCError as error:
                _log.debug("A message was dropped.", peer=client_id, error=str(error))

    async def deliver(self, client_id: str, message: JobMessage) -> None:
        """Sends a job's last word as soon as the server can be reached; returns when the server has it."""
        if isinstance(message, JobFailed):
            self._unheard.add(client_id, message)
        with contained("A message can't be delivered."):  # a failure costs the message
            try:
                await self._link.deliver_job_message(client_id, message)
            except SleapRTCError as error:
                _log.warning("The client can't be notified.", peer=client_id, error=str(error))

    # --- jobs -------------------------------------------------------------------------------

    def _new_connection(self, client_id: str) -> ClientConnection:
        connection = ClientConnection(self._answerer, client_id)
        self._signals.direct(client_id, connection.signals)
        return connection

    async def _ice_settings(self) -> IceSettings:
        return await self._settings.connection.ice_settings(self._link.ice_servers)

    def _new_job(
        self,
        request: JobRequest,
        job_dir: Path,
        connection: ClientConnection,
        state: State,
        left: WorkLeft | None = None,
    ) -> Job:
        files = self._settings.cache
        return Job(
            request=request,
            job_dir=job_dir,
            connection=connection,
            cache=None if files is None else JobCache(files, cache_name(request), request.ephemeral),
            max_dataset_bytes=self._settings.max_dataset_bytes,
            disk=self._settings.disk,
            notes=JobNotes(self._journal, request.job_id),
            deliver=self.deliver,
            try_send=self.try_send,
            state=state,
            left=left,
        )

    async def run_new(self, client_id: str, request: JobRequest, slot: JobSlot) -> None:
        """Does an assigned job, and frees its slot when the job no longer needs it."""
        self._unheard.forget(client_id)
        connection = self._new_connection(client_id)
        try:
            job_dir = await trio.to_thread.run_sync(self._begin, client_id, request)
        except StorageError as error:
            slot.free()
            self._drop_connection(connection)
            await self.deliver(client_id, failure(request.job_id, error))
            return
        except BaseException:
            self._drop_connection(connection)
            raise
        await self._work(self._new_job(request, job_dir, connection, State.RECEIVING), slot)

    async def take_up_interrupted(self) -> list[Job]:
        """Returns the jobs that are resumed here, those that were under way for longest first.

        From then on their clients can attach to them; :meth:`resume` continues each.

        Raises:
            StorageError: The journal can't be read.
        """

        def look() -> list[tuple[JournalEntry, WorkLeft]]:
            return [
                (entry, self._look_at_work_left(entry))
                for entry in self._journal.entries()
                if life.after(entry.state, Cause.RESUMED) is not None
            ]

        taken_up = []
        for entry, left in await trio.to_thread.run_sync(look):
            with contained("An interrupted job can't be resumed."):  # a failure costs that job
                connection = self._new_connection(entry.client_id)
                job = self._new_job(entry.request, entry.directory, connection, State(entry.state), left)
                self._jobs[entry.job_id] = job
                taken_up.append(job)
        return taken_up

    def _look_at_work_left(self, entry: JournalEntry) -> WorkLeft:
        return WorkLeft(
            inputs=read_inputs(entry.directory),
            last_status=self._journal.last_status(entry.job_id),
            resumes=entry.resumes,
            is_stopping=entry.is_stopping,
            goes_on=self._settings.resumes,
        )

    async def resume(self, job: Job, slot: JobSlot) -> None:
        """Resumes an interrupted job; as :meth:`run_new` otherwise."""
        await self._work(job, slot)

    async def _work(self, job: Job, slot: JobSlot) -> None:
        def on_worked(clock: EpochClock) -> None:
            slot.free()
            if models := past_models(job.request, clock):
                self._history.add(models)

        await self._run(job, partial(job.run, self._trainer, self._settings.threads_per_job, slot, on_worked))

    async def fail(self, client_id: str, word: JobFailed) -> None:
        """Ends a job that a fault of this program has ended, here and for its client."""
        try:
            entry = await trio.to_thread.run_sync(self._journal.find, word.job_id)
            if entry is not None and life.is_underway(entry.state):
                move = partial(self._journal.move, word.job_id, Cause.WORK_FAILED, last_word=word)
                await trio.to_thread.run_sync(move)
                shutil.rmtree(entry.directory, ignore_errors=True)
            elif entry is not None and isinstance(entry.last_word, JobFailed):
                word = entry.last_word  # the job had ended before
        except StorageError as error:
            _log.warning("The journal can't be written.", job=word.job_id, error=str(error))
        await self.try_send(client_id, word)

    def _begin(self, client_id: str, request: JobRequest) -> Path:
        """Makes the job's folder and its page in the journal."""
        earlier = self._journal.find(request.job_id)
        if earlier is not None and _is_anothers(earlier, request):
            raise StorageError("another job has the same job_id, and is kept for its client.")
        try:
            job_dir = Path(tempfile.mkdtemp(prefix=JOB_DIR_PREFIX, dir=self._settings.jobs_dir))
        except OSError as error:
            raise StorageError(f"The worker can't store the job: {as_clause(error)}.") from error
        try:
            if self._settings.disk is not None:
                self._settings.disk.begin(request, job_dir)
            if earlier is not None and life.is_underway(earlier.state):
                # Nothing works on it any more: its end couldn't be written.
                self._journal.move(request.job_id, Cause.WORK_FAILED)
            self._journal.begin(request.job_id, client_id, request, job_dir)
        except StorageError:
            shutil.rmtree(job_dir, ignore_errors=True)
            raise
        if earlier is not None:
            shutil.rmtree(earlier.directory, ignore_errors=True)
        return job_dir

    async def _run(self, job: Job, work: Callable[[], Awaitable[None]]) -> None:
        bind(job=job.job_id, peer=job.client_id)
        _log.info("The job begins.")
        self._jobs[job.job_id] = job
        try:
            await work()
            is_over = not (life.is_underway(job.state) or life.keeps_result(job.state))
            if job.request.ephemeral and is_over and not job.is_cancelled:
                await self._purge.keep_nothing(job)
        finally:
            if self._jobs.get(job.job_id) is job:
                del self._jobs[job.job_id]
            self._drop_connection(job.connection)
            _log.info("The job has ended.", peer=job.client_id)

    def _drop_connection(self, connection: ClientConnection) -> None:
        self._signals.withdraw(connection.remote_id, connection.signals)

    def stop(self, client_id: str, request: JobStop) -> bool:
        """Ends a client's own job early. Returns False if the client has no such job."""
        job = self._jobs.get(request.job_id)
        if job is None or not _is_own(job, client_id, request.attach_key):
            return False
        job.stop()
        return True

    async def cancel(self, client_id: str, request: JobCancel) -> None:
        """Ends a client's own job and confirms that. A job that isn't there counts as cancelled.

        With the job's key, a result that waits to be fetched is deleted too.
        """
        job_id = request.job_id
        job = self._jobs.get(job_id)
        if job is not None:
            if not _is_own(job, client_id, request.attach_key):
                await self.try_send(client_id, unknown_job(job_id))
                return
            if job.client_id != client_id:
                await self.try_send(job.client_id, cancelled(job_id))
            # Who has done nothing for a job but ask for it leaves nothing in the journal.
            keeps = job.was_connected and job.request.attach_digest is not None
            cause = Cause.CANCELLED if keeps else Cause.WITHDRAWN
            await job.cancel(cause)
            await self._note_cancelled(job_id, cause)
            if job.request.ephemeral:
                await self._purge.keep_nothing(job)
        elif request.attach_key is not None and not await self._discard(request):
            await self.try_send(client_id, unknown_job(job_id))
            return
        await self.try_send(client_id, JobCancelled(job_id))

    async def _discard(self, request: JobCancel) -> bool:
        """Deletes what is left of a job that is over. Returns False if that isn't possible or allowed."""
        try:
            entry = await trio.to_thread.run_sync(self._journal.find, request.job_id)
        except StorageError as error:
            _log.warning("The journal can't be read.", job=request.job_id, error=str(error))
            return False
        if entry is None:
            return True
        if not is_key_of(entry.request, request.attach_key):
            return False
        shutil.rmtree(entry.directory, ignore_errors=True)
        await self._note_cancelled(request.job_id, Cause.CANCELLED)
        return True

    async def purge(self, client_id: str, request: JobPurge) -> None:
        """Deletes everything of a client's own job that is over, and confirms that it is gone."""
        bind(job=request.job_id, peer=client_id)
        job = self._jobs.get(request.job_id)
        answer = await self._purge.answer(request, job)
        if job is not None and isinstance(answer, JobPurged) and job.client_id != client_id:
            await self.try_send(job.client_id, cancelled(request.job_id))
        await self.try_send(client_id, answer)

    async def _note_cancelled(self, job_id: str, cause: Cause) -> None:
        """Notes the end of a job whose folder is deleted. A failure costs the note."""
        note = partial(self._journal.move, job_id, cause, last_word=cancelled(job_id))
        try:
            await trio.to_thread.run_sync(note)
        except StorageError as error:
            _log.warning("The journal can't be written.", job=job_id, error=str(error))

    # --- attaching --------------------------------------------------------------------------

    async def attach(self, client_id: str, request: JobAttach, nursery: trio.Nursery) -> None:
        """Hands a job over to a later process of its client, with the messages that it missed."""
        bind(job=request.job_id, peer=client_id)
        try:
            await self._attach(client_id, request, nursery)
        except StorageError as error:
            # it is asked for again
            _log.warning("The job can't be attached to just now.", error=str(error))

    async def _attach(self, client_id: str, request: JobAttach, nursery: trio.Nursery) -> None:
        entry = await trio.to_thread.run_sync(self._journal.find, request.job_id)
        if entry is None or not is_key_of(entry.request, request.attach_key):
            await self.try_send(client_id, unknown_job(request.job_id))
            return
        if request.follow:
            await self._admit(client_id, entry, nursery)
        if request.follow and life.is_underway(entry.state):
            await trio.to_thread.run_sync(self._journal.hand_over, entry.job_id, client_id)
        job = self._jobs.get(entry.job_id)
        is_stopping = job is not None and job.is_stopping
        follows = None if job is None else job.client_id == client_id
        if request.follow and not life.is_closed(entry.state):
            follows = True
        attached = await trio.to_thread.run_sync(describe, self._journal, entry, is_stopping, follows)
        await self.try_send(client_id, attached)
        if not request.follow:
            return
        entry = await self._tell_missed(client_id, entry, request.after_seq)
        # Nothing is awaited since the journal was read: from here on, messages go to the new client.
        job = self._jobs.get(entry.job_id)
        if job is not None:
            job.client_id = client_id
        if entry.last_word is not None:
            await self.deliver(client_id, entry.last_word)

    async def tell_log(self, client_id: str, request: JobLogRequest) -> None:
        """Sends the next part of a job's log to a process that has the job's key."""
        try:
            answer = await trio.to_thread.run_sync(page_of_log, self._journal, request)
        except StorageError as error:
            # it is asked for again
            _log.warning("The job's log can't be read just now.", job=request.job_id, error=str(error))
            return
        await self.try_send(client_id, answer)

    async def _tell_missed(self, client_id: str, entry: JournalEntry, seq: int) -> JournalEntry:
        """Sends the statuses after ``seq`` until there are no more; returns the job's entry as it is then."""

        def look() -> tuple[list[JobStatus], JournalEntry | None]:
            return self._journal.statuses_after(entry.job_id, seq), self._journal.find(entry.job_id)

        while True:
            statuses, found = await trio.to_thread.run_sync(look)
            if not statuses:
                return found or entry
            for status in statuses:
                await self.try_send(client_id, status)
                seq = max(seq + 1, status.seq or 0)

    async def _admit(self, client_id: str, entry: JournalEntry, nursery: trio.Nursery) -> None:
        """Lets a later process of the client make the connection over which the result is sent."""
        job = self._jobs.get(entry.job_id)
        if job is not None and not job.expect_client():
            await job.wait_ended()
            job = None
        if job is not None:
            earlier_id = job.connection.remote_id
            self._drop_connection(job.connection)
            job.connection.remote_id = client_id
            self._signals.direct(client_id, job.connection.signals)
            if earlier_id != client_id:
                await self.try_send(earlier_id, taken_over(job.job_id))
        elif life.keeps_result(entry.state):
            connection = self._new_connection(client_id)
            job = self._new_job(entry.request, entry.directory, connection, State(entry.state))
            # A failure here costs this delivery; the journal has the result for the next one.
            deliver = partial(job.run_delivery, entry)
            nursery.start_soon(run_contained, "A result can't be handed over.", self._run, job, deliver)

    async def _tell_failed(self) -> None:
        """Tells clients that are still there which of their jobs failed as this worker last ended."""
        for entry in self._failed:
            if entry.last_word is not None:
                await self.try_send(entry.client_id, entry.last_word)

    async def _forget_old_jobs(self) -> None:
        clock = WallClock(time.time(), trio.current_time())
        while True:
            now = time.time()
            jump_sec = clock.jump_sec(now, trio.current_time())
            with contained("Old jobs can't be forgotten."):
                try:
                    await trio.to_thread.run_sync(
                        self._purge.forget_old, now, self._settings.keep_results_sec, jump_sec
                    )
                    clock = WallClock(now, trio.current_time())
                except StorageError as error:
                    _log.warning(str(error))
            await trio.sleep(FORGET_INTERVAL_SEC)


def _is_anothers(earlier: JournalEntry, request: JobRequest) -> bool:
    """Whether an earlier job with the same id certainly belongs to another client."""
    digest = earlier.request.attach_digest
    return digest is not None and digest != request.attach_digest


def _is_own(job: Job, client_id: str, attach_key: str | None) -> bool:
    """Whether a job may be ended by this peer.

    A peer with the job's key may. The peer's name counts only for a client that made no key, since somebody
    else can take the name while the client is away.
    """
    if job.request.attach_digest is not None:
        return is_key_of(job.request, attach_key)
    return job.client_id == client_id
