"""What workers answered to a request for a job, in words and for programs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from ....base.sentences import as_clause, as_sentence
from ....errors import JobFailedError, NoWorkerError, WorkerLostError
from ....jobs.negotiation import Negotiation
from ....jobs.properties import MAX_PROBLEM_CHARS, problem_sentences
from ....protocol.features import EPHEMERAL_FEATURE
from ....protocol.jobs import JobResponse
from ....protocol.vocabulary import ErrorCode, Refusal
from ...events.job import AnswerSummary, WorkerSummary

_WHERE: Final = "On the worker: "
"""The beginning of a worker's sentence about its storage, which is redundant after the worker's name."""


def nobody_accepted(
    negotiation: Negotiation, answers: Iterable[AnswerSummary], workers: Mapping[str, WorkerSummary]
) -> NoWorkerError:
    """Returns the error for a job that no worker accepted, with the reasons and which may accept later."""
    refused = negotiation.refused
    busy = [
        worker for worker, answer in refused.items() if answer.reason in (Refusal.BUSY, Refusal.MAINTENANCE)
    ]
    delays_sec = [a.retry_after_sec for a in refused.values() if a.retry_after_sec is not None]
    return NoWorkerError(
        f"No worker accepted the job: {'; '.join(_in_words(a, workers[a.worker]) for a in answers)}.",
        busy=(*busy, *negotiation.silent),
        retry_after_sec=min(delays_sec, default=None),
        all_busy=all(
            answer is not None and answer.reason == Refusal.BUSY
            for answer in map(refused.get, negotiation.asked)
        ),
    )


def why_none(present: Sequence[WorkerSummary], tried: Collection[str], named: str | None) -> str:
    """Returns a sentence on why no (further) worker can be asked.

    Args:
        present: All workers in the room.
        tried: Workers that had the job and failed.
        named: The only worker to ask; None for all that fit.
    """
    others = [worker for worker in present if worker.worker not in tried]
    listed = "; ".join(worker_in_short(worker) for worker in others)
    if named is not None and named in tried:
        also = f", though there is {listed}" if others else ""
        return f"No other worker may be asked (--worker {named}){also}."
    if named is not None and any(worker.worker == named for worker in others):
        unfit = next(worker for worker in others if worker.worker == named)
        return f"{worker_in_short(unfit)} is in the room, but doesn't fit the job."
    if not others:
        return "There is no other worker in the room." if tried else "There is no worker in the room."
    if named is not None:
        return f"There is no worker named {named} in the room, but {listed}."
    return f"No {'other ' if tried else ''}worker in the room fits the job. There is {listed}."


def none_keeps_nothing(present: Sequence[WorkerSummary]) -> NoWorkerError | None:
    """Returns the error if there are workers in the room, and none of them knows ephemeral jobs."""
    if not present or any(EPHEMERAL_FEATURE in worker.features for worker in present):
        return None
    listed = "; ".join(worker_in_short(worker) for worker in present)
    return NoWorkerError(
        f"No worker in the room can promise to keep nothing of the job (--ephemeral): {listed}. Their owners "
        "can update sleap-rtc."
    )


def no_validation(workers: Sequence[WorkerSummary]) -> str:
    """Returns a sentence on why no worker can be asked for a training with validation labels."""
    names = " and ".join(worker.worker for worker in workers)
    return (
        f"{names} can't take validation labels (--val), so nothing was sent. Update sleap-rtc on the worker, "
        "or leave them out: some of the labelled frames are then held out."
    )


def nobody_left(tried: Mapping[str, JobFailedError], why: str) -> NoWorkerError | JobFailedError:
    """Returns the error for a job when no further worker can be asked.

    Args:
        tried: The workers that had the job, with each one's failure, the latest last.
        why: A sentence on why no other worker is asked.

    Returns:
        The last failure, if any, with the whole story; a worker that gave its slot to somebody else before it
        got the job counts as busy.
    """
    said = " ".join([*(_failure_in_words(*failure) for failure in tried.items()), why])
    failures = [failure for failure in tried.values() if failure.error_code != ErrorCode.NOT_RESERVED]
    if not failures:
        return NoWorkerError(said, busy=tuple(tried), all_busy=bool(tried))
    last = failures[-1]
    if isinstance(last, WorkerLostError):
        return type(last)(said, before_work=True)
    return JobFailedError(said, error_code=last.error_code, recoverable=last.recoverable)


def _failure_in_words(worker: str, failure: JobFailedError) -> str:
    words = as_sentence(failure)
    return words if worker in words else f"{worker}: {words.removeprefix(_WHERE)}"


def summarize_answer(worker_id: str, response: JobResponse | None) -> AnswerSummary:
    """Returns one worker's answer, or its silence, as events have it."""
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
        response.message,
    )


def worker_in_short(worker: WorkerSummary) -> str:
    """Describes a worker, as part of a sentence."""
    memory_mb = worker.gpu_memory_mb
    parts = [worker.gpu_model, None if memory_mb is None else f"{memory_mb:.0f} MiB", worker.status]
    return f"{worker.worker} ({', '.join(part for part in parts if part)}{_first_problem(worker)})"


def _in_words(answer: AnswerSummary, worker: WorkerSummary) -> str:
    if answer.accepted is None:
        return f"{answer.worker} didn't answer"
    why = _first_problem(worker)
    if answer.message is not None:
        why = f": {as_clause(answer.message[:MAX_PROBLEM_CHARS])}{why}"
    return f"{answer.worker} said {answer.reason or 'no'}{why}"


def _first_problem(worker: WorkerSummary) -> str:
    """Returns the first problem that a worker reports, as the end of a phrase."""
    return "".join(f": {as_clause(sentence)}" for sentence in problem_sentences(worker.problems)[:1])
