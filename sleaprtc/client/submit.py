"""A training from the question who can do it to the models on disk."""

from __future__ import annotations

import shutil
import tempfile
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from ..errors import (
    JobFailedError,
    NoWorkerError,
    StorageError,
    UsageError,
    WorkerLostError,
)
from ..jobs.negotiation import Negotiation, SelectionRule
from ..protocol.jobs import (
    JobRequest,
    JobResponse,
    Requirements,
)
from ..protocol.limits import JOB_RESPONSE_TIMEOUT_SEC
from ..protocol.messages import JSONObject, PeerInfo
from ..rtc.peer import IceSettings
from ..signaling.link import Link
from ..transfer.archive import unpack
from .dataset import Dataset
from .events import (
    Answered,
    AnswerSummary,
    Completed,
    Emit,
    WorkerLost,
    WorkersFound,
    WorkerSummary,
)
from .follow import Follower, JobFiles, JobOutcome
from .inbox import Inbox

DISCOVERY_ROUNDS: Final = 3
"""How often workers are sought anew when those chosen vanish before they begin."""


@attrs.frozen
class TrainingRequest:
    """What to train, with what, where.

    Attributes:
        dataset: What :func:`sleaprtc.client.dataset.read_dataset` found.
        configs: Model configurations to send along, in training order.
        settings: ``model_type epochs batch_size learning_rate``, those that were given.
        out_dir: Where the model folders go.
        filters: Which workers fit.
        min_gpu_memory_mb: What a worker must have.
        worker: The only worker to ask, if not all that fit.
        rule: Which of those that accept is the best.
        response_timeout_sec: How long to wait for answers.
        sleap_version: The client's own, where it has one.
    """

    dataset: Dataset
    configs: tuple[Path, ...]
    settings: Mapping[str, Any]
    out_dir: Path
    filters: JSONObject
    min_gpu_memory_mb: float = 0
    worker: str | None = None
    rule: SelectionRule = SelectionRule.FASTEST
    response_timeout_sec: float = JOB_RESPONSE_TIMEOUT_SEC
    sleap_version: str | None = None


@attrs.frozen
class Connections:
    """How data channels are made: 127.0.0.1 or not, own ICE servers, engine."""

    ice: IceSettings
    engine: str


def summarize(peer: PeerInfo) -> WorkerSummary:
    """Takes from a worker's metadata what a person wants to see; what has the wrong type is left out."""
    properties = peer.metadata.properties or {}

    def text(key: str) -> str | None:
        value = properties.get(key)
        return value if isinstance(value, str) else None

    memory_mb = properties.get("gpu_memory_mb")
    models = properties.get("supported_models")
    return WorkerSummary(
        worker=peer.peer_id,
        gpu_model=text("gpu_model"),
        gpu_memory_mb=memory_mb if isinstance(memory_mb, int | float) else None,
        sleap_version=text("sleap_version"),
        status=text("status"),
        supported_models=tuple(m for m in models if isinstance(m, str)) if isinstance(models, list) else (),
        hostname=text("hostname"),
    )


class Submission:
    """One training, over as many workers as it takes to find one that begins.

    Args:
        link: The client's place in the room.
        inbox: What arrives in it; its ``run`` is the caller's.
        request: What to train.
        connections: How to connect.
        emit: Takes what happens.
    """

    def __init__(
        self,
        *,
        link: Link,
        inbox: Inbox,
        request: TrainingRequest,
        connections: Connections,
        emit: Emit,
    ) -> None:
        self._link = link
        self._inbox = inbox
        self._request = request
        self._connections = connections
        self._emit = emit
        self.job_id = str(uuid.uuid4())

    async def run(self) -> Completed:
        """Finds a worker, trains, and lays the models into ``out_dir``.

        Raises:
            NoWorkerError: None fits, or none that fits accepted.
            JobFailedError: The job failed, or its worker was lost while it trained.
            TransferError: The dataset or the model didn't get across.
            StorageError: The models can't be written.
        """
        incoming_dir = _make_incoming_dir(self._request.out_dir)
        try:
            worker_id, outcome = await self._train_somewhere(incoming_dir)
            model_dirs = await trio.to_thread.run_sync(_lay_down_models, outcome.files, self._request.out_dir)
        finally:
            shutil.rmtree(incoming_dir, ignore_errors=True)
        result = outcome.complete.result if outcome.complete else None
        completed = Completed(
            job_id=self.job_id,
            worker=worker_id,
            model_dirs=tuple(str(path) for path in model_dirs),
            final_loss=result.final_loss if result else None,
            total_epochs=result.total_epochs if result else None,
            training_duration_minutes=result.training_duration_minutes if result else None,
            model_size_mb=result.model_size_mb if result else None,
            device=result.device if result else None,
        )
        self._emit(completed)
        return completed

    async def _train_somewhere(self, incoming_dir: Path) -> tuple[str, JobOutcome]:
        lost: dict[str, str] = {}
        for _ in range(DISCOVERY_ROUNDS):
            workers = await self._discover(lost)
            negotiation = await self._ask([worker.worker for worker in workers])
            chosen: str | None = self._choose(negotiation)
            others = negotiation.ranked(self._request.rule)[1:]
            while chosen is not None:
                follower = self._follower(chosen, incoming_dir)
                try:
                    return chosen, await follower.run(others)
                except JobFailedError as error:
                    if follower.has_started or not _is_worth_another(error):
                        raise
                    lost[chosen] = str(error)
                    self._emit(WorkerLost(chosen, str(error)))
                    negotiation.withdraw(chosen)
                chosen, others = await self._next_that_accepts(negotiation), []
        raise NoWorkerError(f"No worker began the job. {' '.join(lost.values())}")

    def _follower(self, worker_id: str, incoming_dir: Path) -> Follower:
        return Follower(
            link=self._link,
            inbox=self._inbox,
            worker_id=worker_id,
            job_id=self.job_id,
            files=JobFiles(self._request.configs, self._request.dataset.path, incoming_dir),
            ice=self._ice_settings,
            engine=self._connections.engine,
            emit=self._emit,
        )

    def _ice_settings(self) -> IceSettings:
        own = self._connections.ice
        return IceSettings((*own.servers, *self._link.ice_servers), own.loopback)

    # --- who --------------------------------------------------------------------------------

    async def _discover(self, lost: Mapping[str, str]) -> list[WorkerSummary]:
        """Finds the workers that fit, without those that had their chance."""
        peers = await self._link.discover(self._request.filters)
        workers = [summarize(peer) for peer in peers if peer.peer_id not in lost]
        if self._request.worker is not None:
            workers = [worker for worker in workers if worker.worker == self._request.worker]
        self._emit(WorkersFound(tuple(workers)))
        if not workers:
            kind = "other worker" if lost else "worker"
            wanted = f" named {self._request.worker}" if self._request.worker else ""
            raise NoWorkerError(
                " ".join([*lost.values(), f"There is no {kind}{wanted} in the room that fits the job."])
            )
        return workers

    def _job_request(self) -> JobRequest:
        request = self._request
        return JobRequest(
            job_id=self.job_id,
            job_type="training",
            dataset_info=request.dataset.info,
            config=dict(request.settings),
            requirements=Requirements(
                min_gpu_memory_mb=request.min_gpu_memory_mb, sleap_version=request.sleap_version
            ),
            timeout_ms=round(request.response_timeout_sec * 1000),
        )

    async def _ask(self, worker_ids: list[str]) -> Negotiation:
        """Asks all at once and collects answers until everyone has answered or the time is over."""
        negotiation = Negotiation(self.job_id, worker_ids)
        for worker_id in worker_ids:
            await self._link.send_job_message(worker_id, self._job_request())
        with trio.move_on_after(self._request.response_timeout_sec):
            while not negotiation.is_complete:
                sender, message = await self._inbox.next_job_message()
                if isinstance(message, JobResponse):
                    negotiation.record(sender, message)
        return negotiation

    def _choose(self, negotiation: Negotiation) -> str:
        ranked = negotiation.ranked(self._request.rule)
        answers = tuple(_summarize_answer(w, negotiation.response_of(w)) for w in negotiation.asked)
        self._emit(Answered(self.job_id, answers, ranked[0] if ranked else None))
        if not ranked:
            raise NoWorkerError(f"No worker accepted the job: {'; '.join(map(_in_words, answers))}.")
        return ranked[0]

    async def _next_that_accepts(self, negotiation: Negotiation) -> str | None:
        """Asks those that had accepted again, best first: they were told that the job went elsewhere."""
        for worker_id in negotiation.ranked(self._request.rule):
            again = await self._ask([worker_id])
            if again.ranked(self._request.rule):
                return worker_id
            negotiation.withdraw(worker_id)
        return None


def _is_worth_another(error: JobFailedError) -> bool:
    return isinstance(error, WorkerLostError) or error.recoverable


def _summarize_answer(worker_id: str, response: JobResponse | None) -> AnswerSummary:
    if response is None:
        return AnswerSummary(worker_id, None)
    info = response.worker_info
    return AnswerSummary(
        worker_id,
        response.accepted,
        response.reason,
        response.estimated_start_time_sec,
        response.estimated_duration_minutes,
        info.available_memory_mb if info else None,
        info.gpu_utilization if info else None,
    )


def _in_words(answer: AnswerSummary) -> str:
    if answer.accepted is None:
        return f"{answer.worker} didn't answer"
    return f"{answer.worker} said {answer.reason or 'no'}"


def _make_incoming_dir(out_dir: Path) -> Path:
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".incoming-", dir=out_dir))
    except OSError as error:
        raise UsageError(f"The models can't be written to {out_dir}: {error.strerror}.") from error


def _free_path(wanted: Path) -> Path:
    """An earlier training's models stay: the next ones get a number."""
    number, path = 0, wanted
    while path.exists():
        number += 1
        path = wanted.with_name(f"{wanted.name}-{number}")
    return path


def _lay_down_models(files: tuple[Path, ...], out_dir: Path) -> list[Path]:
    laid_down = []
    for file in files:
        entries = [file]
        if zipfile.is_zipfile(file):
            entries = unpack(file, file.with_name(f"{file.name}.unpacked"))
        for entry in entries:
            target = _free_path(out_dir / entry.name)
            try:
                entry.rename(target)
            except OSError as error:
                raise StorageError(f"{target} can't be written: {error.strerror}.") from error
            laid_down.append(target)
    return laid_down
