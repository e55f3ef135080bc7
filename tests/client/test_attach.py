"""What a worker answers to a process that attaches to a job."""

from __future__ import annotations

import pytest

from sleaprtc.client.inbox import Inbox
from sleaprtc.client.jobs.attach import ask_to_follow
from sleaprtc.errors import JobFailedError
from sleaprtc.protocol.jobs import JobError, JobFailed

from ..support.client_jobs import a_record

RECORD = a_record()


class AnsweringInbox(Inbox):
    """Stands in for a worker that answers every question with the same message."""

    def __init__(self, answer):
        super().__init__(None)
        self.answer = answer

    async def send(self, worker_id, message):
        assert worker_id == RECORD.worker

    async def next_job_message(self):
        return RECORD.worker, self.answer


@pytest.mark.parametrize("recoverable", [True, False])
async def test_a_failure_is_the_worker_s_own(recoverable):
    failure = JobError("OUT_OF_MEMORY", "The training ran out of memory.", recoverable)
    with pytest.raises(JobFailedError, match=r"^The training ran out of memory\.$") as caught:
        await ask_to_follow(RECORD, AnsweringInbox(JobFailed("job", failure)), lambda _: None)
    assert (caught.value.error_code, caught.value.recoverable) == ("OUT_OF_MEMORY", recoverable)
