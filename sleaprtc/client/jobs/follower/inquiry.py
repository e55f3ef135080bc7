"""Asks a worker, while its job is followed, for the job's state: its last word may have been lost.

A message that the server sends into a half-open connection is lost, and nobody notices.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import attrs
import trio

from ....base.nurseries import run_contained
from ....errors import SleapRTCError
from ....jobs import life
from ....jobs.life import Sign
from ....protocol.jobs import AppError, JobAttach, JobAttached, JobComplete, JobFailed, JobResult
from ....protocol.vocabulary import ErrorCode
from ...inbox import Inbox
from .last_words import error_of

ASK_INTERVAL_SEC: Final = 2.0
"""How soon an unanswered question is repeated."""

LAST_WORD_SEC: Final = 5.0
"""How long to wait for the worker's last word after the result has arrived."""

ASKED_WORD_SEC: Final = 45.0
"""The same if the worker can be asked for it: a server that is down or stopped has to come back first, or a
half-open connection has to be noticed and replaced. Without it, nobody knows the job's loss and epochs."""

WAIT_SHOWN_SEC: Final = 3.0
"""A wait that is longer than this is explained."""


class Inquiry:
    """Asks one job's worker.

    Args:
        inbox: Writes to the worker.
        worker_id: The job's worker.
        job_id: The client's name for the job.
        attach_key: The job's key, without which the worker doesn't answer.
        can_ask: Whether the worker knows the question. A worker that doesn't is never asked.
    """

    def __init__(self, inbox: Inbox, *, worker_id: str, job_id: str, attach_key: str, can_ask: bool) -> None:
        self._inbox = inbox
        self._worker_id = worker_id
        self._request = JobAttach(job_id, attach_key, follow=False)
        self._asked_at: float | None = None
        self.can_ask = can_ask

    async def ask(self) -> None:
        """Asks, unless it has just asked or can't ask. The answer arrives like any other message."""
        now = trio.current_time()
        if not self.can_ask or (self._asked_at is not None and now - self._asked_at < ASK_INTERVAL_SEC):
            return
        self._asked_at = now
        try:
            await self._inbox.send(self._worker_id, self._request)
        except SleapRTCError:
            self._asked_at = None  # asked again when the server can be reached

    async def take_up(self, after_seq: int) -> None:
        """Attaches to the job again: its result is on the worker, which no longer waits for the client."""
        with suppress(SleapRTCError):
            await self._inbox.send(
                self._worker_id, attrs.evolve(self._request, follow=True, after_seq=after_seq)
            )

    async def hear_last_word(
        self, said: trio.Event, *, is_connected: bool, on_wait: Callable[[str], None] = lambda _: None
    ) -> None:
        """Waits for the worker's last word on a result that is here already; asks for it, as it may be lost.

        Args:
            said: Set when the last word is here.
            is_connected: Whether the server can be reached, as far as is known. Without the server, a worker
                that can't be asked isn't waited for.
            on_wait: Called with a sentence for a person if this takes long.
        """
        if said.is_set():
            return
        if not self.can_ask:
            with trio.move_on_after(LAST_WORD_SEC if is_connected else 0):
                await said.wait()
            return
        with trio.move_on_after(ASKED_WORD_SEC):
            async with trio.open_nursery() as nursery:
                # A failure only stops the asking; the last word may come without it.
                nursery.start_soon(run_contained, "The worker can't be asked.", self._keep_asking)
                with trio.move_on_after(WAIT_SHOWN_SEC):
                    await said.wait()
                if not said.is_set():
                    on_wait(
                        f"The result is here. Waiting up to {ASKED_WORD_SEC:g} s for {self._worker_id} to "
                        "say how the job ended."
                    )
                await said.wait()
                nursery.cancel_scope.cancel()

    async def _keep_asking(self) -> None:
        """Asks until cancelled, even if the connection to the server turns out to be half open."""
        while True:
            try:
                await self._inbox.deliver(self._worker_id, self._request)
            except SleapRTCError:
                return  # the room is gone
            self._asked_at = trio.current_time()
            await trio.sleep(ASK_INTERVAL_SEC)

    def is_unknown_job(self, message: AppError) -> bool:
        """Whether a message is the answer of a worker that has no such job."""
        return self._asked_at is not None and message.error_code == ErrorCode.UNKNOWN_JOB


def is_laid_down(attached: JobAttached) -> bool:
    """Whether a job's result waits on the worker, and the worker has stopped trying to send it."""
    return life.keeps_result(attached.state) and attached.follows is None


def last_word_of(attached: JobAttached) -> JobComplete | JobFailed | None:
    """Returns the worker's last word on the job, as it was or would be sent; None before the end."""
    if life.ended_without_result(attached.state):
        return JobFailed(attached.job_id, error_of(attached))
    if life.sign_of(attached.state) is Sign.DONE:
        return JobComplete(attached.job_id, result=attached.result or JobResult())
    return None
