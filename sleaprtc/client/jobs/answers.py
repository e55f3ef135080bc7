"""What workers answered to a request for a job, in words and for programs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from ...base.sentences import as_clause, as_sentence
from ...errors import JobFailedError, NoWorkerError, WorkerLostError
from ...jobs.negotiation import Negotiation
from ...jobs.properties import problem_sentences
from ...protocol.jobs import JobResponse
from ...protocol.vocabulary import ErrorCode, Refusal
from ..events.job import AnswerSummary, WorkerSummary

_WHERE: Final = "On the worker: "
"""Begins what a worker says of its own storage; naming the worker says it already."""


def nobody_accepted(
    negotiation: Negotiation, answers: Iterable[AnswerSummary], workers: Mapping[str, WorkerSummary]
) -> NoWorkerError:
    """Says why nobody took the job, and who may take it later."""
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
    """Says why no (further) worker can be asked, for a person who expected one.

    Args:
        present: All workers in the room.
        tried: Who had the job already, and failed.
        named: The only one that was to be asked, if not all that fit.
    """
    others = [worker for worker in present if worker.worker not in tried]
    listed = "; ".join(worker_in_short(worker) for worker in others)
    if named is not None and named in tried:
        also = f", though there is {listed}" if others else ""
        return f"No other worker was to be asked (--worker {named}){also}."
    if named is not None and any(worker.worker == named for worker in others):
        unfit = next(worker for worker in others if worker.worker == named)
        return f"{worker_in_short(unfit)} is in the room, but doesn't fit the job."
    if not others:
        return "There is no other worker in the room." if tried else "There is no worker in the room."
    if named is not None:
        return f"There is no worker named {named} in the room, but {listed}."
    return f"No {'other ' if tried else ''}worker in the room fits the job. There is {listed}."


def nobody_left(tried: Mapping[str, JobFailedError], why: str) -> NoWorkerError | JobFailedError:
    """Makes the error for a job that no further worker can be asked for.

    Args:
        tried: Who had the job before, and how each of them failed, the latest last.
        why: Why nobody else is asked, as a sentence.

    Returns:
        The last failure with all that is to be said, where there was one; a worker that gave its slot to
        somebody else before it got the job is only busy.
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
    """One worker's answer, or that there was none, as events have it."""
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
    )


def worker_in_short(worker: WorkerSummary) -> str:
    """Who a worker is, as part of a sentence."""
    memory_mb = worker.gpu_memory_mb
    parts = [worker.gpu_model, None if memory_mb is None else f"{memory_mb:.0f} MiB", worker.status]
    return f"{worker.worker} ({', '.join(part for part in parts if part)}{_first_problem(worker)})"


def _in_words(answer: AnswerSummary, worker: WorkerSummary) -> str:
    if answer.accepted is None:
        return f"{answer.worker} didn't answer"
    return f"{answer.worker} said {answer.reason or 'no'}{_first_problem(worker)}"


def _first_problem(worker: WorkerSummary) -> str:
    """What a worker says is wrong with it, as the end of a phrase."""
    return "".join(f": {as_clause(sentence)}" for sentence in problem_sentences(worker.problems)[:1])
