"""What a client shows of each state of a job, also of those that only a later worker reports."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from sleaprtc.client.display.job_lines import state_lines
from sleaprtc.client.jobs.follower.inquiry import last_word_of
from sleaprtc.client.jobs.inquiries.ask import note_answer, progress_of
from sleaprtc.client.jobs.inquiries.state import picture
from sleaprtc.client.records.files import JobRecord, find, save
from sleaprtc.jobs import life
from sleaprtc.jobs.keys import attach_digest
from sleaprtc.jobs.life import Cause, Seen, Sign, State
from sleaprtc.protocol.jobs import JobAttached, JobComplete, JobError, JobFailed, JobRequest
from sleaprtc.worker.journal.store import Journal

from ..support.client_jobs import a_record, record_of
from ..support.lab import Lab

REPORTED = sorted(set(State) - {State.ABSENT})
SHOWN = {
    State.QUEUED: ("waiting for a slot on its worker", "attach"),
    State.RECEIVING: ("waiting for the dataset", "attach"),
    State.TRAINING: ("running", "attach"),
    State.INTERRUPTED: ("interrupted; it continues when its worker has a slot for it", "attach"),
    State.HANDED_BACK: (
        "handed back by its worker; another one may do it if it is sent again",
        "logs",
    ),
    State.COMPLETED: ("finished, its result is waiting to be fetched", "fetch"),
    State.FAILED: ("failed", "logs"),
    State.CANCELLED: ("cancelled", None),
    State.DELIVERED: ("finished, its result is here", None),
}
"""The words for each state, and the command that comes next."""

SEEN = {
    None: Seen.RUNNING,
    Sign.HEARD: Seen.RUNNING,
    Sign.FAILURE: Seen.FAILED,
    Sign.CANCELLATION: Seen.CANCELLED,
}


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobRecord]:
    monkeypatch.setattr("sleaprtc.client.records.files.private_state_dir", lambda: tmp_path)
    record = a_record(job_id="job-1")
    save(record)
    return record


@pytest.mark.parametrize("state", REPORTED)
def test_each_state_has_its_words_and_the_next_command(record: JobRecord, state: State) -> None:
    now = time.time()
    attached = JobAttached("job-1", state, since=now)
    words, command = SHOWN[state]
    first, *facts = state_lines(picture(note_answer(record, attached), attached, None), now)
    assert first.startswith(f"Job job-1 (training): {words}."), first
    following = [line.split("client ")[1] for line in facts if line.startswith("  next ")]
    assert following == ([] if command is None else [f"{command} job-1"])


@pytest.mark.parametrize("state", REPORTED)
def test_each_state_is_noted_as_its_sign_says(record: JobRecord, state: State) -> None:
    sign = life.sign_of(state)
    noted = note_answer(record, JobAttached("job-1", state))
    # that a worker is done says nothing yet of where the result is
    assert noted.state == find("job-1").state == SEEN.get(sign, Seen.RUNNING)


@pytest.mark.parametrize("state", REPORTED)
def test_each_state_is_the_last_word_that_its_sign_says(state: State) -> None:
    word = last_word_of(JobAttached("job-1", state))
    sign = life.sign_of(state)
    assert isinstance(word, JobFailed) == (sign in (Sign.FAILURE, Sign.CANCELLATION))
    assert isinstance(word, JobComplete) == (sign is Sign.DONE)
    assert (word is None) == life.is_underway(state)
    if isinstance(word, JobFailed):
        assert (word.error.code == "CANCELLED") == (state is State.CANCELLED)


def test_what_holds_a_job_up_is_said_to_who_fetches_too_early() -> None:
    assert progress_of(JobAttached("job-1", State.QUEUED)) == "it is waiting for a slot on its worker."
    assert progress_of(JobAttached("job-1", State.RECEIVING)) == "its worker is waiting for the dataset."


# --- a worker whose journal has what a later version wrote -----------------------------------


def keep_job(lab: Lab, state: State) -> str:
    """Puts a job into a worker's journal, and its record here."""
    request = JobRequest("job-1", "training", attach_digest=attach_digest("key"))
    word = JobFailed("job-1", JobError("HANDED_BACK", "The worker's owner needs the machine.", True))
    with closing(Journal(lab.tmp_path / "gpu-1.sqlite3")) as journal:
        journal.begin("job-1", "client", request, lab.tmp_path / "job-1", Cause.ASSIGNED_AHEAD)
        if state is State.HANDED_BACK:
            journal.move("job-1", Cause.HANDED_BACK, last_word=word)
    save(attrs.evolve(record_of(lab, "job-1"), out_dir=str(lab.tmp_path / "models")))
    return "job-1"


async def test_a_job_that_was_handed_back_has_failed_here_for_that_reason(lab, client) -> None:
    job = keep_job(lab, State.HANDED_BACK)
    async with lab.worker("gpu-1"):
        logs = await client.run("logs", "-f", job)
        assert (logs.status, logs.stdout) == (
            0,
            "The job failed: The worker's owner needs the machine.\n",
        ), logs
        status = await client.run("status", job)
        assert "handed back by its worker" in status.stdout, status
        assert "The worker's owner needs the machine." in status.stdout
        fetched = await client.run("fetch", job)
        assert (fetched.status, "needs the machine" in fetched.stderr) == (1, True), fetched
    assert find(job).state == Seen.FAILED


async def test_a_job_that_waits_for_a_slot_is_neither_lost_nor_finished(lab, client) -> None:
    job = keep_job(lab, State.QUEUED)
    async with lab.worker("gpu-1"):
        (state,) = (await client.run("status", job, "--json")).objects
        assert (state["state"], state["answered"]) == ("queued", True)
        fetched = await client.run("fetch", job)
        assert "it is waiting for a slot on its worker." in fetched.stderr, fetched
        assert fetched.status != 0
    assert find(job).state == Seen.RUNNING
