"""A training from the question who can do it to the models on disk."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from ..config_options import ConnectionOptions
from ..errors import (
    JobFailedError,
    NoWorkerError,
    WorkerLostError,
)
from ..jobs.attaching import attach_digest
from ..jobs.negotiation import Negotiation, SelectionRule
from ..protocol.jobs import (
    JobRequest,
    JobResponse,
    Requirements,
)
from ..protocol.limits import JOB_RESPONSE_TIMEOUT_SEC, RESERVATION_SEC
from ..protocol.messages import JSONObject
from ..signaling.link import Link
from .dataset import Dataset
from .events import (
    Answered,
    AnswerSummary,
    Completed,
    Emit,
    Event,
    WorkerLost,
    WorkersFound,
    WorkerSummary,
    summarize,
)
from .follow import Follower
from .inbox import Inbox
from .job_files import JobFiles, JobOutcome
from .logbook import Logbook
from .outcome import discard_incoming, finish, make_incoming_dir, warn_of_little_space
from .records import JobRecord

ATTACH_KEY_BYTES: Final = 16
"""128 bits: nobody guesses a job's key."""

ASSIGNMENT_MARGIN_SEC: Final = 2.0
"""A worker that accepts holds its slot for 10 seconds: the assignment has to be there by then."""

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


class Submission:
    """One training, over as many workers as it takes to find one that begins.

    Args:
        link: The client's place in the room.
        inbox: What arrives in it; its ``run`` is the caller's.
        request: What to train.
        connection: How to connect.
        emit: Takes what happens.
    """

    def __init__(
        self,
        *,
        link: Link,
        inbox: Inbox,
        request: TrainingRequest,
        connection: ConnectionOptions,
        emit: Emit,
    ) -> None:
        self._link = link
        self._inbox = inbox
        self._request = request
        self._connection = connection
        self._emit = emit
        self.job_id = str(uuid.uuid4())
        self._logbook: Logbook | None = None
        self._attach_key = secrets.token_urlsafe(ATTACH_KEY_BYTES)

    async def run(self) -> Completed:
        """Finds a worker, trains, and lays the models into ``out_dir``.

        Raises:
            NoWorkerError: None fits, or none that fits accepted.
            JobFailedError: The job failed, or its worker was lost while it trained.
            TransferError: The dataset or the model didn't get across.
            StorageError: The models can't be written.
        """
        incoming_dir = make_incoming_dir(self._request.out_dir, self.job_id)
        warn_of_little_space(self._request.out_dir, self._emit)
        try:
            worker_id, outcome = await self._train_somewhere(incoming_dir)
            completed = await finish(self.job_id, worker_id, outcome, self._request.out_dir, self._note)
        except BaseException as error:
            if self._logbook is not None:
                self._logbook.fail(error)
            raise
        finally:
            discard_incoming(incoming_dir)
        self._note(completed)
        return completed

    def _note(self, event: Event) -> None:
        if self._logbook is not None:
            self._logbook.see(event)
        self._emit(event)

    def _open_logbook(self, worker_id: str, digest_algorithm: str) -> None:
        request, membership = self._request, self._link.membership
        self._logbook = Logbook(
            JobRecord(
                job_id=self.job_id,
                attach_key=self._attach_key,
                worker=worker_id,
                ws_url=membership.endpoints.ws_url,
                http_url=membership.endpoints.http_url,
                room_id=membership.room.room_id,
                token=membership.room.token,
                dataset=str(request.dataset.path.absolute()),
                configs=tuple(str(path.absolute()) for path in request.configs),
                out_dir=str(request.out_dir.absolute()),
                started_at=time.time(),
                secret=None if self._connection.secret is None else self._connection.secret.text,
                ca_file=membership.endpoints.ca_file,
                digest_algorithm=digest_algorithm,
            )
        )

    async def _train_somewhere(self, incoming_dir: Path) -> tuple[str, JobOutcome]:
        lost: dict[str, str] = {}
        for _ in range(DISCOVERY_ROUNDS):
            workers = {worker.worker: worker for worker in await self._discover(lost)}
            negotiation = await self._ask(list(workers))
            chosen: str | None = self._choose(negotiation)
            others = negotiation.ranked(self._request.rule)[1:]
            while chosen is not None:
                digest_algorithm = workers[chosen].best_digest_algorithm
                follower = self._follower(chosen, incoming_dir, digest_algorithm)
                self._open_logbook(chosen, digest_algorithm)
                try:
                    return chosen, await follower.run(others)
                except JobFailedError as error:
                    if follower.has_started and isinstance(error, WorkerLostError):
                        way_back = f"When it is back: sleap-rtc client attach {self.job_id[:8]}"
                        raise WorkerLostError(f"{error} {way_back}") from error
                    if follower.has_started or not _is_worth_another(error):
                        raise
                    lost[chosen] = str(error)
                    self._emit(WorkerLost(chosen, str(error)))
                    negotiation.withdraw(chosen)
                chosen, others = await self._next_that_accepts(negotiation), []
        raise NoWorkerError(f"No worker began the job. {' '.join(lost.values())}")

    def _follower(self, worker_id: str, incoming_dir: Path, digest_algorithm: str) -> Follower:
        return Follower(
            link=self._link,
            inbox=self._inbox,
            worker_id=worker_id,
            job_id=self.job_id,
            files=JobFiles(self._request.configs, self._request.dataset.path, incoming_dir, digest_algorithm),
            connection=self._connection,
            emit=self._note,
        )

    # --- who --------------------------------------------------------------------------------

    async def _discover(self, lost: Mapping[str, str]) -> list[WorkerSummary]:
        """Finds the workers that fit, without those that had their chance."""
        peers = await self._link.discover(self._request.filters)
        workers = [summarize(peer) for peer in peers if peer.peer_id not in lost]
        if self._request.worker is not None:
            workers = [worker for worker in workers if worker.worker == self._request.worker]
        self._emit(WorkersFound(tuple(workers)))
        if not workers:
            raise NoWorkerError(" ".join([*lost.values(), await self._why_none(lost)]))
        return workers

    async def _why_none(self, lost: Mapping[str, str]) -> str:
        """Says who is there, for a person who expected somebody to fit."""
        peers = await self._link.discover({"role": "worker"})
        others = [summarize(peer) for peer in peers if peer.peer_id not in lost]
        if not others:
            return "There is no other worker in the room." if lost else "There is no worker in the room."
        present = "; ".join(_in_short(worker) for worker in others)
        if self._request.worker is not None and all(w.worker != self._request.worker for w in others):
            return f"There is no worker named {self._request.worker} in the room, but {present}."
        return f"No worker in the room fits the job. There is {present}."

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
            attach_digest=attach_digest(self._attach_key),
        )

    async def _ask(self, worker_ids: list[str]) -> Negotiation:
        """Asks all at once and collects answers until everyone has answered or the time is over."""
        negotiation = Negotiation(self.job_id, worker_ids)
        for worker_id in worker_ids:
            await self._inbox.send(worker_id, self._job_request())
        with trio.move_on_after(self._request.response_timeout_sec) as waiting:
            while not negotiation.is_complete:
                sender, message = await self._inbox.next_job_message()
                if not isinstance(message, JobResponse) or not negotiation.record(sender, message):
                    continue
                if message.accepted:
                    held_until = trio.current_time() + RESERVATION_SEC - ASSIGNMENT_MARGIN_SEC
                    waiting.deadline = min(waiting.deadline, held_until)
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


def _in_short(worker: WorkerSummary) -> str:
    memory_mb = worker.gpu_memory_mb
    parts = [worker.gpu_model, None if memory_mb is None else f"{memory_mb:.0f} MiB", worker.status]
    return f"{worker.worker} ({', '.join(part for part in parts if part)})"


def _in_words(answer: AnswerSummary) -> str:
    if answer.accepted is None:
        return f"{answer.worker} didn't answer"
    return f"{answer.worker} said {answer.reason or 'no'}"
