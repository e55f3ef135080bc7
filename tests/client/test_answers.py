"""Why no worker can be asked (any more): the true reason, and the failure that it came of."""

from __future__ import annotations

import pytest

from sleaprtc.client.events.job import WorkerSummary, summarize
from sleaprtc.client.jobs.submission.answers import nobody_left, why_none
from sleaprtc.errors import JobFailedError, NoWorkerError, WorkerLostError, WorkerUnreachableError
from sleaprtc.protocol.messages import Metadata, PeerInfo
from sleaprtc.protocol.vocabulary import ErrorCode


def worker(name: str) -> WorkerSummary:
    return summarize(PeerInfo(name, "worker", Metadata((), {"gpu_model": "X", "status": "busy"}), 0))


@pytest.mark.parametrize(
    ("present", "tried", "named", "sentence"),
    [
        ([], [], None, "There is no worker in the room."),
        ([], [], "a", "There is no worker in the room."),
        (["b"], [], "a", "There is no worker named a in the room, but b (X, busy)."),
        (["a"], [], "a", "a (X, busy) is in the room, but doesn't fit the job."),
        (["a"], [], None, "No worker in the room fits the job. There is a (X, busy)."),
        (["a"], ["a"], "a", "No other worker may be asked (--worker a)."),
        ([], ["a"], "a", "No other worker may be asked (--worker a)."),
        (
            ["a", "b"],
            ["a"],
            "a",
            "No other worker may be asked (--worker a), though there is b (X, busy).",
        ),
        (["a"], ["a"], None, "There is no other worker in the room."),
        (["a", "b"], ["a"], None, "No other worker in the room fits the job. There is b (X, busy)."),
    ],
)
def test_why_nobody_is_asked(present: list[str], tried: list[str], named: str | None, sentence: str) -> None:
    assert why_none([worker(name) for name in present], tried, named) == sentence


DISK = JobFailedError("The disk is full.", error_code="STORAGE", recoverable=True)
TAKEN = JobFailedError("This worker holds no slot.", error_code=ErrorCode.NOT_RESERVED, recoverable=True)
AWAY = WorkerLostError("b has left the room before training began.")
NO_WAY = WorkerUnreachableError("No connection to c: none.")


def test_nobody_was_there() -> None:
    error = nobody_left({}, "There is no worker in the room.")
    assert isinstance(error, NoWorkerError)
    assert (str(error), error.exit_status, error.all_busy) == ("There is no worker in the room.", 4, False)


def test_who_gave_the_slot_away_is_busy() -> None:
    error = nobody_left({"a": TAKEN}, "There is no other worker in the room.")
    assert isinstance(error, NoWorkerError)
    assert (error.exit_status, error.all_busy, error.busy) == (4, True, ("a",))


@pytest.mark.parametrize(
    ("tried", "status", "code"),
    [
        ({"a": DISK}, 1, "JOB_FAILED"),
        ({"a": DISK, "d": TAKEN}, 1, "JOB_FAILED"),
        ({"a": DISK, "b": AWAY}, 1, "WORKER_LOST"),
        ({"a": DISK, "b": AWAY, "c": NO_WAY}, 5, "WORKER_UNREACHABLE"),
    ],
)
def test_a_failure_is_no_lack_of_workers(tried: dict[str, JobFailedError], status: int, code: str) -> None:
    error = nobody_left(tried, "There is no other worker in the room.")
    assert (error.exit_status, error.code) == (status, code)
    assert str(error).startswith("a: The disk is full. ")
    assert str(error).endswith("There is no other worker in the room.")
    assert isinstance(error, JobFailedError)
    if isinstance(error, WorkerLostError):
        assert error.before_work
    else:
        assert (error.error_code, error.recoverable) == ("STORAGE", True)
