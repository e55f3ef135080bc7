"""A job, from asking workers for it to its result on disk."""

from __future__ import annotations

import math
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from ....access.place import ConnectionOptions
from ....base.logs import bind
from ....errors import (
    JobFailedError,
    NobodyReadsError,
    SleapRTCError,
    TakenOverError,
    WorkerLostError,
)
from ....jobs.keys import attach_digest
from ....jobs.negotiation import Negotiation
from ....jobs.properties import WORKER_ROLE
from ....jobs.request_proof import request_proof
from ....protocol.features import ATTACH_FEATURE, VALIDATION_FEATURE
from ....protocol.jobs import AppError, JobAttached, JobMessage, JobRequest, JobResponse, Requirements
from ....protocol.limits import RESERVATION_SEC
from ....protocol.vocabulary import ErrorCode
from ....signaling.link import Link
from ...events.job import (
    Answered,
    Completed,
    Detached,
    Emit,
    Event,
    Notice,
    WorkerLost,
    WorkersFound,
    WorkerSummary,
    summarize,
)
from ...inbox import Inbox
from ...inputs.files import JobFiles
from ...records.files import JobRecord, connection_fields
from ...records.job_ids import short_id
from ...records.logbook import Logbook
from ...results.delivery import (
    RESULT_STAYS,
    JobOutcome,
    check_space,
    discard_incoming,
    make_incoming_dir,
)
from ...room import room_end_notice
from ..follower.follow import Follower
from ..follower.watch import Forbearance
from ..order.control import JobControl
from ..order.job_order import JobOrder
from ..order.persistence import AWAY_SEC, Until
from .answers import (
    no_validation,
    nobody_accepted,
    nobody_left,
    none_keeps_nothing,
    summarize_answer,
    why_none,
)
from .worker_notices import DeviceWatch, announce_problems

ATTACH_KEY_BYTES: Final = 16
"""128 bits, so that nobody can guess a job's key."""

ASSIGNMENT_MARGIN_SEC: Final = 2.0
"""A worker that accepts holds its slot for 10 seconds: the assignment must arrive by then."""

_ASKED_AGAIN: Final = frozenset({ErrorCode.NOT_RESERVED, ErrorCode.CLIENT_LOST})
"""Failures of a job, before the work began, that say nothing against its worker."""

DISCOVERY_ROUNDS: Final = 3
"""How often to look for workers again when those chosen vanish before they begin."""


class Submission:
    """One job, offered to one worker after another until one begins.

    Args:
        link: The client's connection to the room.
        inbox: Messages from the room; the caller runs it.
        order: What to do.
        connection: How to connect.
        away_sec: How long the worker may be away, see :class:`.watch.Forbearance`.
        until: How far to follow it.
        emit: Called with what happens.
        control: What a person wants of the job.

    Attributes:
        job_id: The client's name for the job.
        avoided: Workers to ask only if no others fit.
    """

    def __init__(
        self,
        *,
        link: Link,
        inbox: Inbox,
        order: JobOrder,
        connection: ConnectionOptions,
        away_sec: float = AWAY_SEC,
        until: Until = Until.RESULT,
        emit: Emit,
        control: JobControl | None = None,
    ) -> None:
        self._control = control
        self._away_sec = away_sec
        self._until = until
        self._missed_at = -math.inf
        self._worker: WorkerSummary | None = None
        self._link = link
        self._inbox = inbox
        self._order = order
        self._connection = connection
        self._emit = emit
        self.job_id = str(uuid.uuid4())
        self.avoided: frozenset[str] = frozenset()
        self._logbook: Logbook | None = None
        self._follower: Follower | None = None
        self._attach_key = secrets.token_urlsafe(ATTACH_KEY_BYTES)

    async def run(self) -> Completed | Detached:
        """Finds a worker, runs the job on it, and saves the result; or leaves it there once it has begun.

        Raises:
            NoWorkerError: None fits, or none that fits accepted.
            JobFailedError: The job failed, or its worker was lost while it worked on it.
            TransferError: A file couldn't be sent or received.
            StorageError: The result can't be written.
        """
        completed = None
        async with self._incoming_dir() as incoming_dir:
            worker_id, outcome = await self._do_somewhere(incoming_dir)
            if self._until is Until.RESULT:
                completed = await self._lay_down(worker_id, outcome)
        if completed is None:
            return self._leave_running()
        self._note(completed)
        return completed

    async def resume(self, attached: JobAttached) -> Completed | Detached:
        """Goes on with the job, which was taken for lost: follows it again, or leaves it to its worker.

        Args:
            attached: Its worker's answer: it continues there, or its result is there.

        Raises:
            As :meth:`run` does.
        """
        if self._until is Until.BEGUN:
            return self._leave_running()
        async with self._incoming_dir() as incoming_dir:
            assert self._worker is not None
            follower = self._follower = self._new_follower(self._worker, incoming_dir, is_replaceable=False)
            try:
                outcome = await follower.run_resumed(attached)
            except WorkerLostError as error:
                raise self._with_way_back(error) from error
            completed = await self._lay_down(self._worker.worker, outcome)
        self._note(completed)
        return completed

    async def _lay_down(self, worker_id: str, outcome: JobOutcome) -> Completed:
        return await self._order.destination.lay_down(self.job_id, worker_id, outcome, self._note)

    @property
    def has_begun(self) -> bool:
        """Whether a worker works on the job, or is done with it."""
        return self._follower is not None and (self._follower.has_started or self._follower.is_complete)

    @property
    def is_worth_waiting(self) -> bool:
        """Whether a worker that refuses the job now is likely to take it soon: it lost this client before."""
        return trio.current_time() - self._missed_at < self._away_sec

    @property
    def worker_id(self) -> str | None:
        """The worker that has the job, or had it last."""
        return None if self.record is None else self.record.worker

    @property
    def is_complete(self) -> bool:
        """Whether the worker is done with the job."""
        return self._follower is not None and self._follower.is_complete

    @property
    def _goes_on(self) -> bool:
        """Whether the job was left running on its worker."""
        return self._follower is not None and self._follower.left is not None

    @property
    def record(self) -> JobRecord | None:
        """The job's record, once the job was assigned."""
        return None if self._logbook is None else self._logbook.record

    @asynccontextmanager
    async def _incoming_dir(self) -> AsyncIterator[Path]:
        """Makes the folder for incoming files, and records how the job ended if there is no result."""
        bind(job=self.job_id)
        destination = self._order.destination
        incoming_dir = make_incoming_dir(destination.folder, self.job_id)
        check_space(destination.folder, self._emit)
        try:
            yield incoming_dir
        except TakenOverError:
            raise  # folder and record belong to the other process now
        except NobodyReadsError:
            discard_incoming(incoming_dir)
            self._leave_unread()
            raise
        except SleapRTCError as error:
            discard_incoming(incoming_dir)
            ended = self._ended(error)
            if ended is error:
                raise
            raise ended from error
        except BaseException:
            self._leave()
            discard_incoming(incoming_dir)
            raise
        else:
            discard_incoming(incoming_dir)

    def _ended(self, error: SleapRTCError) -> SleapRTCError:
        """Records how the job ended; returns the error, with what to do if only its result isn't here."""
        if self._logbook is None:
            return error
        is_done = self._follower is not None and self._follower.is_complete
        if not is_done or not isinstance(error, RESULT_STAYS):
            self._logbook.fail(error, goes_on=self._goes_on)
            return error
        return self._logbook.miss(error)

    def _leave(self) -> None:
        """Records and reports what becomes of a job that this process stops following."""
        if self._logbook is None or self._follower is None:
            return
        if self._goes_on:
            self._leave_running()
            return
        what_became = self._logbook.leave(
            is_cancelled=self._follower.is_cancelled, is_complete=self._follower.is_complete
        )
        if what_became is not None and self._follower.is_complete:
            self._logbook.note_done(what_became, is_final=True)
        if what_became is not None:
            self._emit(Notice(what_became))

    def _leave_running(self) -> Detached:
        """Records and reports that the job continues without this process, and what can be done about it."""
        assert self._logbook is not None, "a job that runs has been assigned"
        self._logbook.detach()
        room_end = room_end_notice(self._link)
        if room_end is not None:
            self._emit(Notice(room_end))
        detached = Detached(self.job_id, self._logbook.record.worker)
        self._emit(detached)
        return detached

    def _leave_unread(self) -> None:
        """Leaves a job whose terminal was closed: work that has begun continues, and can be attached to."""
        if self._logbook is not None and self._follower is not None and self._follower.has_started:
            self._logbook.detach()
            raise NobodyReadsError(
                "The output of this command isn't read any more. The job continues: "
                f"sleap-rtc client attach {short_id(self.job_id)}"
            )
        with suppress(NobodyReadsError):
            self._leave()

    def _note(self, event: Event) -> None:
        if self._logbook is not None:
            self._logbook.see(event)
        self._emit(event)

    def _open_logbook(self, worker_id: str, digest_algorithm: str) -> None:
        order, membership = self._order, self._link.membership
        self._logbook = Logbook(
            JobRecord(
                job_id=self.job_id,
                attach_key=self._attach_key,
                worker=worker_id,
                ws_url=membership.endpoints.ws_url,
                http_url=membership.endpoints.http_url,
                room_id=membership.room.room_id,
                token=membership.room.token,
                dataset=str(order.dataset.named.absolute()),
                configs=tuple(str(path.absolute()) for path in order.configs),
                validation=None if order.validation is None else str(order.validation.named.absolute()),
                out_dir=str(order.destination.folder.absolute()),
                started_at=time.time(),
                secret=None if self._connection.secret is None else self._connection.secret.text,
                ca_file=membership.endpoints.ca_file,
                digest_algorithm=digest_algorithm,
                job_type=order.job_type,
                models=tuple(str(path.absolute()) for path in order.model_dirs),
                out_file=order.destination.file_name,
                replace=order.destination.replaces,
                connection=connection_fields(self._connection),
            )
        )
        self._logbook.begin()

    async def _do_somewhere(self, incoming_dir: Path) -> tuple[str, JobOutcome]:
        tried: dict[str, JobFailedError] = {}
        for _ in range(DISCOVERY_ROUNDS):
            workers = {worker.worker: worker for worker in await self._discover(tried)}
            negotiation = await self._ask(list(workers))
            chosen: str | None = self._choose(negotiation, workers)
            ranked = partial(negotiation.ranked, self._order.which.rule)
            others = ranked()[1:]
            while chosen is not None:
                digest_algorithm = workers[chosen].best_digest_algorithm
                self._worker = workers[chosen]
                follower = self._follower = self._new_follower(
                    self._worker, incoming_dir, is_replaceable=len(ranked()) > 1
                )
                self._open_logbook(chosen, digest_algorithm)
                announce_problems(workers[chosen], self._note)
                try:
                    return chosen, await follower.run(others, self._until)
                except JobFailedError as error:
                    if follower.has_started and isinstance(error, WorkerLostError):
                        raise self._with_way_back(error) from error
                    if follower.has_started or not _is_worth_another(error):
                        raise
                    tried[chosen] = error
                    if error.error_code == ErrorCode.CLIENT_LOST:
                        self._missed_at = trio.current_time()
                    if self._order.which.worker is None:
                        self._emit(WorkerLost(chosen, str(error)))
                    negotiation.withdraw(chosen)
                chosen, others = await self._next_that_accepts(negotiation), []
        raise await self._nobody_left(tried)

    def _with_way_back(self, error: WorkerLostError) -> WorkerLostError:
        way_back = f"When it is back: sleap-rtc client attach {short_id(self.job_id)}"
        return type(error)(error.sentence, way_back=way_back)

    def _new_follower(self, worker: WorkerSummary, incoming_dir: Path, *, is_replaceable: bool) -> Follower:
        return Follower(
            link=self._link,
            inbox=self._inbox,
            worker_id=worker.worker,
            job_id=self.job_id,
            attach_key=self._attach_key,
            can_ask=ATTACH_FEATURE in worker.features,
            files=JobFiles(
                self._order.inputs, incoming_dir, worker.best_digest_algorithm, self._order.job_type
            ),
            connection=self._connection,
            forbearance=Forbearance(self._away_sec, is_replaceable),
            emit=DeviceWatch(worker, self._note),
            control=self._control,
        )

    # --- who --------------------------------------------------------------------------------

    async def _discover(self, tried: Mapping[str, JobFailedError]) -> list[WorkerSummary]:
        """Finds the workers that fit, except those that failed; one that was busy is asked again.

        So is one that missed this client, which was suspended then.
        """
        peers = await self._link.discover(self._order.which.filters.as_json())
        failed = {worker for worker, error in tried.items() if error.error_code not in _ASKED_AGAIN}
        workers = [summarize(peer) for peer in peers if peer.peer_id not in failed]
        if self._order.which.worker is not None:
            workers = [worker for worker in workers if worker.worker == self._order.which.worker]
        if self._order.validation is not None:
            able = [worker for worker in workers if VALIDATION_FEATURE in worker.features]
            if workers and not able:
                raise nobody_left(tried, no_validation(workers))
            workers = able
        workers = [worker for worker in workers if worker.worker not in self.avoided] or workers
        self._emit(WorkersFound(tuple(workers)))
        if not workers:
            raise await self._nobody_left(tried)
        return workers

    async def _nobody_left(self, tried: Mapping[str, JobFailedError]) -> SleapRTCError:
        """Returns the error for a job when no further worker can be asked."""
        present = [summarize(peer) for peer in await self._link.discover({"role": WORKER_ROLE})]
        if self._order.which.keeps_nothing and not tried and (error := none_keeps_nothing(present)):
            return error
        return nobody_left(tried, why_none(present, tried, self._order.which.worker))

    def _job_request(self, worker_id: str) -> JobRequest:
        """Returns the request for one worker, with a proof that is valid for that worker only."""
        order, secret = self._order, self._connection.secret
        request = JobRequest(
            job_id=self.job_id,
            job_type=order.job_type,
            dataset_info=order.dataset.info,
            config=order.settings.as_json(),
            requirements=Requirements(
                min_gpu_memory_mb=order.which.min_gpu_memory_mb, sleap_version=order.sleap_version
            ),
            timeout_ms=round(order.which.response_timeout_sec * 1000),
            model_info=order.model_info,
            attach_digest=attach_digest(self._attach_key),
            ephemeral=order.which.keeps_nothing,
        )
        if secret is None:
            return request
        proof = request_proof(secret.key, request, client_id=self._link.peer_id, worker_id=worker_id)
        return attrs.evolve(request, proof=proof)

    async def _ask(self, worker_ids: list[str]) -> Negotiation:
        """Asks all at once, and collects answers until all have answered or the time is over."""
        negotiation = Negotiation(self.job_id, worker_ids)
        for worker_id in worker_ids:
            await self._inbox.send(worker_id, self._job_request(worker_id))
        with trio.move_on_after(self._order.which.response_timeout_sec) as waiting:
            while not negotiation.is_complete:
                sender, message = await self._inbox.next_job_message()
                answer = self._answer_in(message)
                if answer is None or not negotiation.record(sender, answer):
                    continue
                if answer.accepted:
                    held_until = trio.current_time() + RESERVATION_SEC - ASSIGNMENT_MARGIN_SEC
                    waiting.deadline = min(waiting.deadline, held_until)
        return negotiation

    def _answer_in(self, message: JobMessage) -> JobResponse | None:
        """Returns a worker's answer; an error about the request counts as a refusal with its reason."""
        if isinstance(message, AppError) and message.job_id == self.job_id:
            return JobResponse(self.job_id, False, reason=message.message.rstrip(".") or message.error_code)
        return message if isinstance(message, JobResponse) else None

    def _choose(self, negotiation: Negotiation, workers: Mapping[str, WorkerSummary]) -> str:
        ranked = negotiation.ranked(self._order.which.rule)
        answers = tuple(summarize_answer(w, negotiation.response_of(w)) for w in negotiation.asked)
        self._emit(Answered(self.job_id, answers, ranked[0] if ranked else None))
        if not ranked:
            raise nobody_accepted(negotiation, answers, workers)
        return ranked[0]

    async def _next_that_accepts(self, negotiation: Negotiation) -> str | None:
        """Asks those that accepted again, best first, since they were told that the job went elsewhere."""
        for worker_id in negotiation.ranked(self._order.which.rule):
            again = await self._ask([worker_id])
            if again.ranked(self._order.which.rule):
                return worker_id
            negotiation.withdraw(worker_id)
        return None


def _is_worth_another(error: JobFailedError) -> bool:
    return isinstance(error, WorkerLostError) or error.recoverable
