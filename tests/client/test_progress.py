"""How far a job is by its worker's messages, whatever their order and however often they come."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.client.events.job import Event, Notice, StatusChanged
from sleaprtc.client.jobs.follower.progress import JobProgress
from sleaprtc.errors import JobFailedError, SleapRTCError, TakenOverError
from sleaprtc.protocol.jobs import (
    AppError,
    JobAttached,
    JobCancelled,
    JobComplete,
    JobError,
    JobFailed,
    JobResult,
    JobStatus,
)

COMPLETE = JobComplete("job", result=JobResult(file_count=2))
FAILURE = JobError("LOSS_NOT_FINITE", "The loss became NaN.")


def progress_of_job(events: list[Event] | None = None, *, knows_job: bool = True) -> JobProgress:
    return JobProgress(
        worker_id="gpu-1",
        job_id="job",
        emit=(events if events is not None else []).append,
        is_unknown_job=lambda message: not knows_job,
    )


@given(seqs=st.lists(st.integers(1, 9), max_size=12))
def test_statuses_that_come_again_or_late_are_shown_once_and_in_order(seqs: list[int]) -> None:
    events: list[Event] = []
    progress = progress_of_job(events)
    for seq in seqs:
        progress.take(JobStatus("job", "running", 0.5, seq=seq), 0.0)
    shown = [event.seq for event in events if isinstance(event, StatusChanged)]
    assert shown == sorted(set(shown))
    assert progress.last_seq == max(seqs, default=0)
    assert progress.has_started == bool(seqs)


def test_a_job_begins_once_the_work_is_under_way() -> None:
    progress = progress_of_job()
    for status in ("starting", "receiving"):
        progress.take(JobStatus("job", status, 0.5), 0.0)
    assert (progress.was_heard, progress.has_started, progress.begun.is_set()) == (True, False, False)
    progress.take(JobStatus("job", "running", 0.0), 0.0)
    assert (progress.has_started, progress.begun.is_set()) == (True, False)
    progress.take(JobStatus("job", "running", 0.1), 0.0)
    assert progress.begun.is_set()


def test_the_first_word_that_a_job_is_done_sets_its_time() -> None:
    progress = progress_of_job()
    for now in (5.0, 7.0):
        progress.take(COMPLETE, now)
    assert (progress.completed_at, progress.announced_files) == (5.0, 2)
    assert progress.completed.is_set()
    assert not progress.is_over  # its result isn't here yet


@pytest.mark.parametrize("state", ["completed", "delivered"])
def test_an_answer_to_a_question_counts_as_the_word_that_was_missed(state: str) -> None:
    progress = progress_of_job()
    progress.take(JobAttached("job", state, result=COMPLETE.result, follows=False), 1.0)
    assert progress.complete == attrs.evolve(COMPLETE)


@pytest.mark.parametrize(
    ("message", "kind", "code"),
    [
        (JobFailed("job", FAILURE), JobFailedError, "LOSS_NOT_FINITE"),
        (JobAttached("job", "failed", error=FAILURE), JobFailedError, "LOSS_NOT_FINITE"),
        (JobCancelled("job"), JobFailedError, "CANCELLED"),
        (AppError("UNKNOWN_JOB", "No.", job_id="job"), JobFailedError, "UNKNOWN_JOB"),
        (AppError("TAKEN_OVER", "Elsewhere.", job_id="job"), TakenOverError, None),
        (JobAttached("job", "training", follows=False), TakenOverError, None),
    ],
)
def test_an_end_leaves_nothing_to_do_on_the_worker(
    message: JobFailed | JobAttached | JobCancelled | AppError, kind: type[SleapRTCError], code: str | None
) -> None:
    progress = progress_of_job(knows_job=False)
    with pytest.raises(kind) as caught:
        progress.take(message, 0.0)
    assert progress.is_over
    assert code is None or getattr(caught.value, "error_code", None) == code


def test_another_error_of_the_worker_is_shown() -> None:
    events: list[Event] = []
    progress = progress_of_job(events)
    progress.take(AppError("INTERNAL", "It failed; its log says more.", job_id="job"), 0.0)
    assert [event.message for event in events if isinstance(event, Notice)] == [
        "gpu-1: It failed; its log says more."
    ]
    assert not progress.is_over
