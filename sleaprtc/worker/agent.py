"""The worker in its room: judges requests, holds slots, runs jobs, keeps its status true."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import trio

from ..errors import NetworkError, ProtocolError, RefusedError, SignalingLostError, SleapRTCError
from ..jobs.capacity import BUSY, MAINTENANCE, Slots, refusal_reason
from ..jobs.estimate import PastJob, estimated_duration_minutes
from ..protocol.codec import decode_job_message
from ..protocol.jobs import (
    AppError,
    JobAssignment,
    JobCancel,
    JobCancelled,
    JobError,
    JobFailed,
    JobMessage,
    JobRequest,
    JobResponse,
    JobStop,
    WorkerInfo,
)
from ..protocol.messages import ErrorMessage, IceServer, Metadata, PeerMessage
from ..rtc.peer import IceSettings
from ..signaling.link import Link
from ..signaling.session import Inbound
from .connection import ClientConnection, Signal
from .description import capability
from .gpu import GpuInfo
from .history import History
from .job import Job
from .trainers.base import Trainer, TrainerCapabilities, TrainingOutcome

FAREWELL_SEC: Final = 2.0
"""How long a worker that ends takes to tell its clients."""

MAX_PENDING_REQUESTS: Final = 64
"""Requests being judged at once; more of them are a flood and are dropped."""

_log = logging.getLogger(__name__)


@attrs.frozen
class WorkerSettings:
    """What the worker's owner decides.

    Attributes:
        jobs_dir: Where jobs keep their files while they run.
        max_jobs: How many jobs may run at once.
        threads_per_job: CPU threads for one training.
        ice_loopback: Whether 127.0.0.1 takes part in connecting.
        ice_servers: The owner's own, besides those that the signaling server hands out.
        engine: Which WebRTC engine to use.
    """

    jobs_dir: Path
    max_jobs: int
    threads_per_job: int
    ice_loopback: bool
    ice_servers: tuple[IceServer, ...]
    engine: str


class Agent:
    """A worker's conduct in its room.

    Args:
        link: The worker's place in the room.
        trainer: What trains.
        trainer_capabilities: What the trainer said of itself.
        read_gpu: Reads the GPU's state; called in a thread.
        history: Past trainings, for estimates.
        settings: What the owner decided.
    """

    def __init__(
        self,
        *,
        link: Link,
        trainer: Trainer,
        trainer_capabilities: TrainerCapabilities,
        read_gpu: Callable[[], GpuInfo],
        history: History,
        settings: WorkerSettings,
    ) -> None:
        self._link = link
        self._trainer = trainer
        self._trainer_capabilities = trainer_capabilities
        self._read_gpu = read_gpu
        self._history = history
        self._settings = settings
        self._slots = Slots(settings.max_jobs)
        self._requests: dict[str, tuple[str, JobRequest]] = {}
        self._jobs: dict[str, Job] = {}
        self._connections: dict[str, ClientConnection] = {}
        self._slots_changed = trio.Event()
        self._pending_requests = 0
        self._is_leaving = False

    async def run(self) -> None:
        """Serves the room until cancelled.

        Raises:
            RefusedError: The server won't have this worker back: the room is gone. Jobs end before that is
                raised; what they still have to say goes over their data channels.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_status_true)
            try:
                while True:
                    self._take(await self._link.receive(), nursery)
            except RefusedError as error:
                if self._jobs:
                    _log.warning("%s The jobs that run go on.", error)
                for job in list(self._jobs.values()):
                    await job.wait_ended()
                raise

    async def leave(self) -> None:
        """Takes no more jobs, tells the clients of those that run, and ends them."""
        self._is_leaving = True
        with trio.move_on_after(FAREWELL_SEC):
            for job in list(self._jobs.values()):
                failure = JobError("WORKER_STOPPED", "The worker was stopped by its owner.", True)
                await self._try_send(job.client_id, JobFailed(job.job_id, failure))
            await self._link.update_metadata(Metadata(properties={"status": MAINTENANCE}))

    # --- messages ---------------------------------------------------------------------------

    def _take(self, message: Inbound, nursery: trio.Nursery) -> None:
        """Acts on one message; whatever waits runs in a task of its own, so that nobody blocks the rest."""
        if isinstance(message, ErrorMessage):
            _log.info("The signaling server says: %s", message.message)
        elif isinstance(message, PeerMessage):
            self._take_job_message(message, nursery)
        elif (connection := self._connections.get(message.sender)) is not None:
            connection.take(message)

    def _take_job_message(self, message: PeerMessage, nursery: trio.Nursery) -> None:
        client_id = message.from_peer_id
        try:
            payload = decode_job_message(message.payload)
        except ProtocolError as error:
            if message.payload.get("app_message_type") != AppError.app_message_type:
                reply = AppError(error.code, str(error))
                nursery.start_soon(self._try_send, client_id, reply)
            return
        if isinstance(payload, JobRequest):
            if self._pending_requests < MAX_PENDING_REQUESTS:
                self._pending_requests += 1
                nursery.start_soon(self._answer, client_id, payload)
        elif isinstance(payload, JobAssignment):
            self._assign(client_id, payload.job_id, nursery)
        elif isinstance(payload, JobCancel):
            nursery.start_soon(self._cancel, client_id, payload.job_id)
        elif isinstance(payload, JobStop):
            self._stop(client_id, payload.job_id)
        elif isinstance(payload, AppError):
            _log.info("%s says: %s", client_id, payload.message)

    async def _try_send(self, client_id: str, message: JobMessage) -> None:
        try:
            await self._link.send_job_message(client_id, message)
        except (NetworkError, SleapRTCError) as error:
            _log.debug("A message to %s was dropped: %s", client_id, error)

    async def _deliver(self, client_id: str, message: JobMessage) -> None:
        try:
            await self._link.deliver_job_message(client_id, message)
        except SleapRTCError as error:
            _log.warning("%s can't be told: %s", client_id, error)

    # --- requests ---------------------------------------------------------------------------

    async def _answer(self, client_id: str, request: JobRequest) -> None:
        try:
            version = request.requirements.sleap_version or await self._version_of(client_id)
            gpu = await trio.to_thread.run_sync(self._read_gpu)
            response = self._judge(client_id, request, version, gpu)
            await self._try_send(client_id, response)
        finally:
            self._pending_requests -= 1

    async def _version_of(self, client_id: str) -> str | None:
        """What the client registered as its version, if it did."""
        try:
            peers = await self._link.discover({"properties": {"sleap_version": {"$exists": True}}})
        except SleapRTCError:
            return None
        for peer in peers:
            if peer.peer_id == client_id and peer.metadata.properties is not None:
                version = peer.metadata.properties.get("sleap_version")
                return version if isinstance(version, str) else None
        return None

    def _judge(
        self, client_id: str, request: JobRequest, client_version: str | None, gpu: GpuInfo
    ) -> JobResponse:
        job_id = request.job_id
        if self._is_leaving:
            return JobResponse(job_id, accepted=False, reason=MAINTENANCE)
        reason = refusal_reason(request, capability(gpu, self._trainer_capabilities), client_version)
        if reason is not None:
            return JobResponse(job_id, accepted=False, reason=reason)
        if not self._slots.reserve(job_id, client_id, trio.current_time()):
            return JobResponse(job_id, accepted=False, reason=BUSY)
        self._requests[job_id] = (client_id, request)
        self._slots_changed.set()
        return JobResponse(
            job_id,
            accepted=True,
            estimated_start_time_sec=0,
            estimated_duration_minutes=estimated_duration_minutes(
                request, self._history.jobs, has_gpu=gpu.memory_mb > 0
            ),
            worker_info=WorkerInfo(gpu.utilization or 0.0, gpu.available_memory_mb),
        )

    # --- jobs -------------------------------------------------------------------------------

    def _assign(self, client_id: str, job_id: str, nursery: trio.Nursery) -> None:
        running = self._jobs.get(job_id)
        if running is not None and running.client_id == client_id:
            return  # said twice
        if not self._slots.assign(job_id, client_id, trio.current_time()):
            failure = JobError("NOT_RESERVED", "This worker holds no slot for the job.", True)
            nursery.start_soon(self._try_send, client_id, JobFailed(job_id, failure))
            return
        self._slots_changed.set()
        _, request = self._requests.pop(job_id)
        connection = ClientConnection(
            local_id=self._link.peer_id,
            remote_id=client_id,
            send=self._send_signal,
            ice=self._ice_settings,
            engine=self._settings.engine,
        )
        self._connections[client_id] = connection
        nursery.start_soon(self._run_job, client_id, request, connection)

    def _ice_settings(self) -> IceSettings:
        servers = (*self._settings.ice_servers, *self._link.ice_servers)
        return IceSettings(servers, self._settings.ice_loopback)

    async def _send_signal(self, signal: Signal) -> None:
        await self._link.send(signal)

    async def _run_job(self, client_id: str, request: JobRequest, connection: ClientConnection) -> None:
        async def deliver(message: JobMessage) -> None:
            await self._deliver(client_id, message)

        async def try_send(message: JobMessage) -> None:
            await self._try_send(client_id, message)

        def on_trained(outcome: TrainingOutcome | None) -> None:
            self._slots.finish(request.job_id)
            self._slots_changed.set()
            if outcome is not None:
                self._history.add(_past_job(request, outcome))

        _log.info("Job %s of %s begins.", request.job_id, client_id)
        try:
            job_dir = Path(tempfile.mkdtemp(prefix="job-", dir=self._settings.jobs_dir))
        except OSError as error:
            on_trained(None)
            failure = JobError("STORAGE", f"The worker can't store the job: {error.strerror}.", True)
            await deliver(JobFailed(request.job_id, failure))
            return
        job = Job(
            request=request,
            client_id=client_id,
            job_dir=job_dir,
            connection=connection,
            trainer=self._trainer,
            thread_count=self._settings.threads_per_job,
            deliver=deliver,
            try_send=try_send,
        )
        self._jobs[request.job_id] = job
        try:
            await job.run(on_trained)
        finally:
            del self._jobs[request.job_id]
            if self._connections.get(client_id) is connection:
                del self._connections[client_id]
            _log.info("Job %s of %s has ended.", request.job_id, client_id)

    def _stop(self, client_id: str, job_id: str) -> None:
        job = self._jobs.get(job_id)
        if job is not None and job.client_id == client_id:
            job.stop()

    async def _cancel(self, client_id: str, job_id: str) -> None:
        job = self._jobs.get(job_id)
        if job is not None:
            if job.client_id != client_id:
                await self._try_send(
                    client_id, AppError("UNKNOWN_JOB", "This worker has no such job of yours.")
                )
                return
            await job.cancel()
        elif self._slots.release(job_id, client_id):
            self._slots_changed.set()
        await self._try_send(client_id, JobCancelled(job_id))

    # --- status -----------------------------------------------------------------------------

    async def _keep_status_true(self) -> None:
        """Publishes the status whenever the slots change, by a message or by the end of a reservation."""
        published = self._slots.status
        while True:
            expiry = self._slots.next_expiry
            with trio.move_on_at(float("inf") if expiry is None else expiry):
                await self._slots_changed.wait()
            self._slots_changed = trio.Event()
            self._slots.expire(trio.current_time())
            self._requests = {
                job_id: asked for job_id, asked in self._requests.items() if self._slots.holds(job_id)
            }
            if self._slots.status != published and not self._is_leaving:
                published = self._slots.status
                try:
                    await self._link.update_metadata(Metadata(properties={"status": published}))
                except SignalingLostError as error:
                    _log.debug("The status will be told with the next registration: %s", error)


def _past_job(request: JobRequest, outcome: TrainingOutcome) -> PastJob:
    frames = request.dataset_info.frame_count
    return PastJob(
        model_type=str(request.config.get("model_type") or "other"),
        frame_count=frames if frames and frames > 0 else 1,
        epochs=max(outcome.total_epochs // max(len(outcome.model_dirs), 1), 1),
        duration_sec=outcome.duration_sec,
    )
