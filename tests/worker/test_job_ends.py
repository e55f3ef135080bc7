"""A job that is cancelled at the very moment at which it moves on ends quietly, as its client wants."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from sleaprtc.jobs.life import Cause, State
from sleaprtc.protocol.jobs import JobComplete, JobMessage, JobRequest
from sleaprtc.rtc.peer import IceSettings
from sleaprtc.transfer.stream import Transfers
from sleaprtc.worker.jobs.connection import Answerer, ClientConnection
from sleaprtc.worker.jobs.job import Job
from sleaprtc.worker.journal.page import JobNotes
from sleaprtc.worker.journal.store import Journal

REQUEST = JobRequest("job-1", "training")


class Taker:
    """A client that takes the result; its worker hears that after something else has happened."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._meanwhile = meanwhile

    async def send_file(self, *_: object, **__: object) -> None:
        """Returns when the client has the file, also to a task that has been cancelled meanwhile."""
        with trio.CancelScope(shield=True):
            self._meanwhile()
            await wait_all_tasks_blocked()

    async def wait_closed(self) -> None:
        """The connection stays."""
        await trio.sleep_forever()


async def no_ice() -> IceSettings:
    """No offer comes."""
    raise AssertionError


async def drop(*_: object) -> None:
    """Nothing has to arrive."""


async def delivered(client_id: str, message: JobMessage) -> None:
    """The client hears every last word."""


@pytest.mark.parametrize(
    ("cause", "state"),
    [(Cause.CANCELLED, State.CANCELLED), (Cause.WITHDRAWN, State.ABSENT), (Cause.PURGED, State.ABSENT)],
)
async def test_a_job_that_is_cancelled_while_its_result_is_taken_ends_quietly(
    tmp_path: Path, cause: Cause, state: State
) -> None:
    """Every error that is logged fails this test."""
    job_dir = tmp_path / "job"
    job_dir.mkdir()
    archive = job_dir / "models.zip"
    archive.write_bytes(b"models")
    with closing(Journal(tmp_path / "journal.sqlite3")) as journal:
        journal.begin("job-1", "client", REQUEST, job_dir)
        journal.move("job-1", Cause.INPUTS_ARRIVED)
        journal.move("job-1", Cause.WORK_DONE, last_word=JobComplete("job-1"), archive=archive)
        connection = ClientConnection(
            Answerer(local_id="gpu-1", send=drop, ice=no_ice, engine="auto", secret=None), "client"
        )
        job = Job(
            request=REQUEST,
            job_dir=job_dir,
            connection=connection,
            cache=None,
            max_dataset_bytes=1e9,
            disk=None,
            notes=JobNotes(journal, "job-1"),
            deliver=delivered,
            try_send=drop,
            state=State.COMPLETED,
        )
        entry = journal.find("job-1")
        assert entry is not None
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                taker = Taker(lambda: nursery.start_soon(job.cancel, cause))
                nursery.start_soon(connection.transfers.use_until_closed, cast(Transfers, taker))
                await job.run_delivery(entry)
                await job.wait_ended()
                await wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        assert (job.state, job_dir.exists()) == (state, False)
        kept = journal.find("job-1")
        assert kept is not None
        assert kept.state == State.COMPLETED  # its page is for those who cancelled it
