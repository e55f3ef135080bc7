"""What a client asks its worker about the end of a job."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from sleaprtc.client.inbox import Inbox
from sleaprtc.client.jobs.follower.inquiry import ASKED_WORD_SEC, Inquiry


class BrokenInbox(Inbox):
    async def deliver(self, worker_id, message):
        raise RuntimeError("a bug")


class SilentInbox(Inbox):
    async def deliver(self, worker_id, message):
        await trio.sleep_forever()


async def test_a_long_wait_for_the_last_word_is_explained_and_ends(autojump_clock: MockClock) -> None:
    """A server that is stopped for a quarter of a minute, and then comes back, is waited for."""
    inbox, said = SilentInbox(None), []  # type: ignore[arg-type]
    inquiry = Inquiry(inbox, worker_id="gpu-1", job_id="job", attach_key="key", can_ask=True)
    for is_connected in (True, False):
        begun = trio.current_time()
        await inquiry.hear_last_word(trio.Event(), is_connected=is_connected, on_wait=said.append)
        assert trio.current_time() - begun == pytest.approx(ASKED_WORD_SEC)
    assert said == ["The result is here. Waiting up to 45 s for gpu-1 to say how the job ended."] * 2


@pytest.mark.logs_error("RuntimeError: a bug")
async def test_a_failure_to_ask_leaves_the_result_that_is_here(autojump_clock: MockClock) -> None:
    inbox = BrokenInbox(None)  # type: ignore[arg-type]
    inquiry = Inquiry(inbox, worker_id="gpu-1", job_id="job", attach_key="key", can_ask=True)
    with trio.move_on_after(2 * ASKED_WORD_SEC) as scope:
        await inquiry.hear_last_word(trio.Event(), is_connected=True)
    assert not scope.cancelled_caught
