"""Jobs that were taken for lost while another attempt was made, and whose workers may be back."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final

import trio

from ....errors import JobFailedError, NetworkError, RefusedError, SleapRTCError, UnknownJobError
from ....jobs import life
from ....jobs.life import Seen, Sign
from ....protocol.jobs import JobAttach, JobAttached, JobCancel
from ....protocol.vocabulary import CancelReason
from ....signaling.link import Link
from ...events.job import Emit, Notice
from ...inbox import Inbox
from ...records.files import JobRecord, amend, reread
from ...records.job_ids import short_id
from ..inquiries.ask import Asker, note_answer
from .submit import Submission

LOOK_INTERVAL_SEC: Final = 5.0
"""How often a lost worker is asked, while another attempt is made, whether it still has the job."""

ANSWER_SEC: Final = 10.0
"""How long a worker may take to answer before the next attempt."""


class LostJobs:
    """The lost jobs of one endeavour, of which at most one is to be continued.

    Args:
        link: The client's place in the room.
        inbox: Messages from the room.
        emit: Called with what happens.
    """

    def __init__(self, link: Link, inbox: Inbox, emit: Emit) -> None:
        self._link = link
        self._inbox = inbox
        self._emit = emit
        self._jobs: list[tuple[Submission, JobRecord]] = []

    def add(self, job: Submission) -> None:
        """Remembers a job whose worker was lost while it worked on it."""
        if job.record is not None:
            self._jobs.append((job, job.record))

    async def find(self) -> tuple[Submission, JobAttached] | None:
        """Asks the workers; returns a job that continues, or whose result is there, with its worker's answer.

        Nobody else may read the inbox meanwhile. Jobs that are over are forgotten.
        """
        for entry in tuple(self._jobs):
            job, record = entry
            attached = await self._ask(record)
            if attached is None and reread(record).state == Seen.LOST:
                continue  # it isn't there yet
            self._jobs.remove(entry)
            if attached is not None:
                if life.is_underway(attached.state) or life.keeps_result(attached.state):
                    return job, attached
                note_answer(record, attached)
        return None

    async def _ask(self, record: JobRecord) -> JobAttached | None:
        """Asks for a job that is still lost; None without an answer."""
        if reread(record).state != Seen.LOST:
            return None  # another process has taken it up
        with trio.move_on_after(ANSWER_SEC):
            try:
                return await Asker(record, self._link, self._inbox).state()
            except UnknownJobError as error:
                amend(record, Sign.FAILURE, message=str(error), ended_at=time.time())
            except (JobFailedError, NetworkError):
                return None
        return None

    async def watch(self, attempt: Submission, give_up: trio.CancelScope) -> None:
        """Sees to it that no work is done twice, while another attempt is made; runs until cancelled.

        An attempt whose work hasn't begun is given up for a job that turns up again. If it has begun, that
        job is ended.
        """
        while True:
            await trio.sleep(LOOK_INTERVAL_SEC)
            for entry in tuple(self._jobs):
                if not await self._answers(entry[1]):
                    continue
                if not attempt.has_begun:
                    give_up.cancel()
                    return
                self._jobs.remove(entry)
                await self._end(entry[1], attempt)

    async def _answers(self, record: JobRecord) -> bool:
        """Whether a lost job's worker says anything to a question. The answer is read by nobody."""
        asked_at = trio.current_time()
        with suppress(SleapRTCError):
            await self._inbox.send(record.worker, JobAttach(record.job_id, record.attach_key, follow=False))
            await trio.sleep(1)
        return self._inbox.last_heard.get(record.worker, asked_at) > asked_at

    async def _end(self, record: JobRecord, instead: Submission) -> None:
        cancel = JobCancel(record.job_id, CancelReason.CLIENT_CANCELLED, record.attach_key)
        with suppress(NetworkError, RefusedError):
            await self._inbox.deliver(record.worker, cancel)
            sentence = f"It was retried as job {short_id(instead.job_id)}."
            amend(record, Sign.CANCELLATION, message=sentence, ended_at=time.time())
            self._emit(
                Notice(f"{record.worker} is back; its job {short_id(record.job_id)} is ended. {sentence}")
            )
