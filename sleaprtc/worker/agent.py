"""The worker in its room: it judges requests, holds slots, runs jobs and publishes its status."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio

from ..base.limited_log import LimitedLog
from ..base.logs import bind, get_logger
from ..base.nurseries import contained, keep_running
from ..base.rate import KeyedBuckets, TokenBucket
from ..base.sentences import as_sentence
from ..errors import ProtocolError, RefusedError, SignalingLostError, SleapRTCError, StorageError
from ..jobs.capacity import Loss, refusal_reason
from ..jobs.disk import DiskUse
from ..jobs.estimate import estimated_duration_minutes
from ..jobs.life import owes_inputs
from ..jobs.properties import WorkerProperties, as_json, read_client
from ..jobs.request_proof import is_proven
from ..protocol.codec import decode_job_message
from ..protocol.jobs import (
    AppError,
    ConnectionCheck,
    JobAssignment,
    JobAttach,
    JobCancel,
    JobError,
    JobFailed,
    JobLogRequest,
    JobMessage,
    JobPurge,
    JobRequest,
    JobResponse,
    JobStop,
    WorkerHeartbeat,
    WorkerInfo,
)
from ..protocol.limits import HEARD_MESSAGE_BURST, HEARD_MESSAGES_PER_SEC, MAX_NAME_CHARS
from ..protocol.messages import ErrorMessage, Metadata, Offer, PeerMessage
from ..protocol.vocabulary import ErrorCode, Refusal, WorkerStatus
from ..rtc.secret import RoomSecret
from ..signaling.link import Link
from ..signaling.session import Inbound, sender_of
from .jobs.job import Job
from .jobs.messages import FAILED_UNEXPECTEDLY, failed_unexpectedly, stopped_by_owner
from .jobs.pending import PendingRequests
from .jobs.roster import Roster
from .jobs.slot import JobSlot
from .jobs.slots import JobSlots
from .journal.answers import unknown_job
from .journal.past_trainings import History
from .machine.description import capability
from .machine.gpu import GpuInfo
from .trainer import TrainerCapabilities

HEARTBEAT_INTERVAL_SEC: Final = 30.0
PRESENCE_INTERVAL_SEC: Final = 5.0
ABSENCES_COUNTED: Final = 2
"""How many times in a row a client that never connected must be absent. Once may be a reconnect."""

FAREWELL_SEC: Final = 2.0
"""How long a worker that ends may take to tell its room."""

INTERRUPT_SEC: Final = 15.0
"""How long a worker that ends may take to end its trainers and to tell their clients."""

LINES_PER_SEC: Final = 1.0
LINE_BURST: Final = 20
"""Log lines about one peer that has proved nothing."""

ALL_LINES_PER_SEC: Final = 5.0
ALL_LINE_BURST: Final = 200
"""Log lines about all such peers together: a new name costs them nothing."""

MAX_LOGGED_CHARS: Final = 300
"""How much of a peer's own message goes into the log."""

_log = get_logger(__name__)


class Agent:
    """Handles everything that a worker does in its room.

    Args:
        link: The worker's place in the room.
        roster: The worker's jobs.
        trainer_capabilities: What the trainer reported about itself.
        read_gpu: Reads the GPU's state; called in a thread.
        history: Past trainings, for estimates.
        max_jobs: How many jobs may run at once.
        secret: The room's secret. Requests that prove it take precedence.
    """

    def __init__(
        self,
        *,
        link: Link,
        roster: Roster,
        trainer_capabilities: TrainerCapabilities,
        read_gpu: Callable[[], GpuInfo],
        history: History,
        max_jobs: int,
        secret: RoomSecret | None,
    ) -> None:
        self._link = link
        self._roster = roster
        self._disk = roster.disk
        self._trainer_capabilities = trainer_capabilities
        self._read_gpu = read_gpu
        self._history = history
        self._secret = secret
        self._slots = JobSlots(max_jobs, has_secret=secret is not None, disk=roster.disk)
        self._ends: dict[str, trio.Event] = {}  # by job id: set when nothing of the job is left
        self._pending = PendingRequests()
        self._message_rates = KeyedBuckets(HEARD_MESSAGES_PER_SEC, HEARD_MESSAGE_BURST)
        self._limited_log = LimitedLog(
            _log, KeyedBuckets(LINES_PER_SEC, LINE_BURST), TokenBucket(ALL_LINES_PER_SEC, ALL_LINE_BURST)
        )
        self._is_leaving = False

    async def run(self) -> None:
        """Serves the room until cancelled.

        A failure in a task of this nursery costs the message or the job that it serves: the job's slot is
        freed, and whoever waits is told. Only what the link itself raises ends the worker.

        Raises:
            RefusedError: The server won't have this worker back: the room is gone. Jobs end before that is
                raised; what they still have to say goes over their data channels.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_running, "The status can't be published.", self._publish_status_changes)
            await self._resume_jobs(nursery)
            nursery.start_soon(self._roster.serve)
            nursery.start_soon(keep_running, "Heartbeats can't be sent.", self._send_heartbeats)
            nursery.start_soon(
                keep_running,
                "Jobs of clients that have left can't be ended.",
                self._end_jobs_of_absent_clients,
            )
            try:
                while True:
                    self._handle_message(await self._link.receive(), nursery)
            except RefusedError as error:
                if self._roster.running():
                    _log.warning(f"{as_sentence(error)} Running jobs continue.")
                for job in self._roster.running():
                    await job.wait_ended()
                raise

    async def leave(self) -> list[Job]:
        """Accepts no more jobs, and interrupts those that run: they resume when the worker is started again.

        A job whose inputs aren't all here fails. A result that waits for its client is kept, and can be
        fetched when the worker is back.

        Returns:
            The interrupted jobs.
        """
        self._is_leaving = True
        self._slots.close()
        interrupted = []

        async def leave_job(job: Job) -> None:
            with contained("A job can't be interrupted."):
                if await job.interrupt():
                    interrupted.append(job)
                elif owes_inputs(job.state):
                    await job.end(stopped_by_owner(job.job_id))

        with trio.move_on_after(FAREWELL_SEC):
            try:
                await self._publish_status(WorkerStatus.MAINTENANCE)
            except SleapRTCError as error:
                _log.debug("The room can't be notified.", error=str(error))
        with trio.move_on_after(INTERRUPT_SEC):
            async with trio.open_nursery() as nursery:
                for job in self._roster.running():
                    nursery.start_soon(leave_job, job)
        return interrupted

    # --- messages ---------------------------------------------------------------------------

    def _handle_message(self, message: Inbound, nursery: trio.Nursery) -> None:
        """Handles one message. Whatever has to wait runs in its own task, so it doesn't block the rest."""
        sender = sender_of(message)
        if sender is not None and not self._is_heard(sender):
            return
        # A failure here costs the message, of which its sender is told.
        with contained("A message can't be handled.") as containment:
            if isinstance(message, ErrorMessage):
                _log.debug("The signaling server reports an error.", error=message.message, code=message.code)
            elif isinstance(message, PeerMessage):
                self._handle_job_message(message, nursery)
            elif not self._roster.take_signal(message) and isinstance(message, Offer):
                nursery.start_soon(self._roster.repeat_failure, message.sender)
        if containment.failure is not None and isinstance(message, PeerMessage):
            reply = AppError(ErrorCode.INTERNAL, FAILED_UNEXPECTEDLY, job_id=_known_job_id(message))
            nursery.start_soon(self._roster.try_send, message.from_peer_id, reply)

    def _is_heard(self, peer_id: str) -> bool:
        """Whether a peer's message is handled. A peer that sends too many gets no answer to the rest."""
        return self._message_rates.take(peer_id, trio.current_time()) == 0 or any(
            job.client_id == peer_id and self._slots.has_connected(job.job_id)
            for job in self._roster.running()
        )

    def _log_limited(self, event: str, peer_id: str, **fields: object) -> None:
        self._limited_log.info(event, peer_id, trio.current_time(), about={"peer": peer_id}, **fields)

    async def _run_handler(
        self, handle: Callable[[], Awaitable[None]], client_id: str, message: JobMessage
    ) -> None:
        """Handles one message. A failure costs that message, and its sender gets ``INTERNAL``."""
        with contained("A message can't be handled.") as containment:
            await handle()
        if containment.failure is not None:
            reply = AppError(ErrorCode.INTERNAL, FAILED_UNEXPECTEDLY, job_id=message.job_id)
            await self._roster.try_send(client_id, reply)

    def _handle_job_message(self, message: PeerMessage, nursery: trio.Nursery) -> None:
        client_id = message.from_peer_id
        try:
            payload = decode_job_message(message.payload)
        except ProtocolError as error:
            if message.payload.get("app_message_type") != AppError.app_message_type:
                reply = AppError(error.code, str(error), job_id=_known_job_id(message))
                nursery.start_soon(self._roster.try_send, client_id, reply)
            return
        if isinstance(payload, JobRequest):
            proven = self._is_proven(client_id, payload)
            if self._pending.begin(client_id, proven):
                handle = partial(self._answer_request, client_id, payload, proven)
                nursery.start_soon(self._run_handler, handle, client_id, payload)
        elif isinstance(payload, JobAssignment):
            self._assign(client_id, payload.job_id, nursery)
        elif isinstance(payload, JobCancel):
            handle = partial(self._cancel_job, client_id, payload)
            nursery.start_soon(self._run_handler, handle, client_id, payload)
        elif isinstance(payload, AppError):
            said = payload.message[:MAX_LOGGED_CHARS]
            self._log_limited("A client reports an error.", client_id, job=payload.job_id, error=said)
        else:
            self._handle_message_about_job(client_id, payload, nursery)

    def _handle_message_about_job(self, client_id: str, payload: JobMessage, nursery: trio.Nursery) -> None:
        """Handles a message about an existing job, from its client or another process of that client."""
        if isinstance(payload, JobStop):
            if not self._roster.stop(client_id, payload):
                nursery.start_soon(self._roster.try_send, client_id, unknown_job(payload.job_id))
        elif isinstance(payload, JobAttach):
            handle = partial(self._roster.attach, client_id, payload, nursery)
            nursery.start_soon(self._run_handler, handle, client_id, payload)
        elif isinstance(payload, JobLogRequest):
            handle = partial(self._roster.tell_log, client_id, payload)
            nursery.start_soon(self._run_handler, handle, client_id, payload)
        elif isinstance(payload, JobPurge):
            handle = partial(self._roster.purge, client_id, payload)
            nursery.start_soon(self._run_handler, handle, client_id, payload)
        elif isinstance(payload, ConnectionCheck):
            proven = self._is_proven(client_id, payload)
            handle = partial(self._roster.answer_check, client_id, payload, proven)
            nursery.start_soon(self._run_handler, handle, client_id, payload)

    # --- requests ---------------------------------------------------------------------------

    def _is_proven(self, client_id: str, request: JobRequest | ConnectionCheck) -> bool:
        if self._secret is None:
            return False
        return is_proven(self._secret.key, request, client_id=client_id, worker_id=self._link.peer_id)

    async def _answer_request(self, client_id: str, request: JobRequest, proven: bool) -> None:
        bind(job=request.job_id, peer=client_id)
        try:
            version = request.requirements.sleap_version or await self._version_of(client_id)
            gpu = await trio.to_thread.run_sync(self._read_gpu)
            disk_use = await self._measure_disk()
            response = self._judge_request(client_id, request, version, gpu, disk_use, proven)
            judged = {"accepted": response.accepted, "reason": response.reason}
            if proven:
                _log.info("A request was judged.", **judged)
            else:
                self._log_limited("A request was judged.", client_id, **judged)
            await self._roster.try_send(client_id, response)
        finally:
            self._pending.end(client_id, proven)

    async def _version_of(self, client_id: str) -> str | None:
        """Returns the version that the client registered with, if any."""
        try:
            peers = await self._link.discover({"properties": {"sleap_version": {"$exists": True}}})
        except SleapRTCError:
            return None
        for peer in peers:
            if peer.peer_id == client_id:
                return read_client(peer.metadata.properties).sleap_version
        return None

    async def _measure_disk(self) -> DiskUse | None:
        """Returns how full the disk is; None if jobs reserve no share of it, or it can't be measured."""
        if self._disk is None:
            return None
        try:
            return await trio.to_thread.run_sync(self._disk.measure)
        except StorageError as error:
            _log.warning("Jobs are accepted without checking the disk.", error=str(error))
            return None

    def _judge_request(
        self,
        client_id: str,
        request: JobRequest,
        client_version: str | None,
        gpu: GpuInfo,
        disk_use: DiskUse | None,
        proven: bool,
    ) -> JobResponse:
        job_id = request.job_id
        if self._is_leaving:
            return JobResponse(job_id, accepted=False, reason=Refusal.MAINTENANCE)
        reason = refusal_reason(request, capability(gpu, self._trainer_capabilities), client_version)
        if reason is not None:
            return JobResponse(job_id, accepted=False, reason=reason)
        if self._disk is not None and disk_use is not None:
            self._slots.release_disk()
            no_room = self._disk.refusal(disk_use, request)
            if no_room is not None:
                return JobResponse(job_id, accepted=False, reason=no_room.reason, message=no_room.sentence)
        waits_for_its_client = self._roster.has(job_id) and not self._slots.runs(job_id)
        if waits_for_its_client or not self._slots.reserve(client_id, request, is_proven=proven):
            return JobResponse(job_id, accepted=False, reason=Refusal.BUSY)
        return JobResponse(
            job_id,
            accepted=True,
            estimated_start_time_sec=0,
            estimated_duration_minutes=estimated_duration_minutes(
                request, self._history.models, has_gpu=gpu.memory_mb > 0
            ),
            worker_info=WorkerInfo(gpu.utilization or 0.0, gpu.available_memory_mb),
        )

    def _assign(self, client_id: str, job_id: str, nursery: trio.Nursery) -> None:
        if self._roster.of_client(job_id, client_id) is not None or self._slots.is_assigned(
            client_id, job_id
        ):
            return
        assigned = self._slots.assign(client_id, job_id)
        if assigned is None:
            failure = JobError(ErrorCode.NOT_RESERVED, "This worker holds no slot for the job.", True)
            nursery.start_soon(self._roster.try_send, client_id, JobFailed(job_id, failure))
        else:
            nursery.start_soon(self._run_assigned_job, client_id, *assigned)

    async def _run_assigned_job(self, client_id: str, request: JobRequest, slot: JobSlot) -> None:
        while (displaced := self._ends.get(request.job_id)) is not None:
            await displaced.wait()  # a job with the same id that has lost its slot and is about to end
        await self._run_job(request.job_id, slot, partial(self._roster.run_new, client_id, request, slot))

    async def _run_job(self, job_id: str, slot: JobSlot, work: Callable[[], Awaitable[None]]) -> None:
        """Runs a job. A bug in this program costs that job and none of the others."""
        bind(job=job_id, peer=slot.client_id)
        ended = self._ends[job_id] = trio.Event()
        try:
            with contained("The job failed unexpectedly.") as containment:
                await work()
            if containment.failure is not None:
                slot.free()
                await self._roster.fail(slot.client_id, failed_unexpectedly(job_id))
        finally:
            del self._ends[job_id]
            ended.set()

    async def _resume_jobs(self, nursery: trio.Nursery) -> None:
        """Resumes the jobs that were interrupted, before any other job is accepted."""
        try:
            jobs = await self._roster.take_up_interrupted()
        except StorageError as error:
            _log.warning("Interrupted jobs can't be resumed.", error=str(error))
            return
        for job in jobs:
            slot = self._slots.await_slot(job.client_id, job.job_id)
            nursery.start_soon(self._run_job, job.job_id, slot, partial(self._roster.resume, job, slot))
        self._slots.give_to_waiting()

    async def _cancel_job(self, client_id: str, request: JobCancel) -> None:
        self._slots.withdraw(client_id, request.job_id)
        await self._roster.cancel(client_id, request)

    async def _end_jobs_of_absent_clients(self) -> None:
        """Ends jobs whose clients left the room without ever connecting, such as killed ones."""
        absences: Counter[str] = Counter()
        while True:
            await trio.sleep(PRESENCE_INTERVAL_SEC)
            waiting = self._slots.unconfirmed()
            if not waiting or not self._link.is_settled:
                absences.clear()  # they may not be back in the room yet
                continue
            try:
                present = {peer.peer_id for peer in await self._link.discover({})}
            except SleapRTCError:
                continue
            absent = {job_id for job_id, slot in waiting.items() if slot.client_id not in present}
            absences = Counter({job_id: absences[job_id] + 1 for job_id in absent})
            for job_id in absent:
                slot = waiting[job_id]
                if absences[job_id] >= ABSENCES_COUNTED and not slot.is_confirmed:
                    slot.lose(Loss.NOT_CONNECTED)
                    slot.free()

    # --- signs of life -----------------------------------------------------------------------------

    async def _send_heartbeats(self) -> None:
        while True:
            await trio.sleep(HEARTBEAT_INTERVAL_SEC)
            jobs = self._roster.running()
            if jobs:
                gpu = await trio.to_thread.run_sync(self._read_gpu)
                for job in jobs:
                    heartbeat = WorkerHeartbeat(
                        time.time(), self._slots.status, gpu.utilization or 0.0, len(jobs), job.job_id
                    )
                    await self._roster.try_send(job.client_id, heartbeat)

    async def _publish_status(self, status: WorkerStatus) -> None:
        await self._link.update_metadata(Metadata(properties=as_json(WorkerProperties(status=status))))

    async def _publish_status_changes(self) -> None:
        """Publishes the status whenever the slots change: after a message, or when a reservation expires."""
        published = self._slots.status
        while True:
            await self._slots.wait_change()
            if self._slots.status != published and not self._is_leaving:
                published = self._slots.status
                try:
                    await self._publish_status(published)
                except SignalingLostError as error:
                    _log.debug("The status will be published with the next registration.", error=str(error))


def _known_job_id(message: PeerMessage) -> str | None:
    """Returns the job id of a message that can't be read, if it has a usable one."""
    job_id = message.payload.get("job_id")
    return job_id if isinstance(job_id, str) and len(job_id) <= MAX_NAME_CHARS else None
