"""What workers answered to a request for a job, in words and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import NoWorkerError
from ..jobs.capacity import BUSY, MAINTENANCE
from ..jobs.negotiation import Negotiation
from ..protocol.jobs import JobResponse
from .events import AnswerSummary, WorkerSummary
from .worker_notices import problem_sentences


def nobody_accepted(
    negotiation: Negotiation, answers: Iterable[AnswerSummary], workers: Mapping[str, WorkerSummary]
) -> NoWorkerError:
    """Says why nobody took the job, and who may take it later."""
    refused = negotiation.refused
    busy = [worker for worker, answer in refused.items() if answer.reason in (BUSY, MAINTENANCE)]
    delays_sec = [a.retry_after_sec for a in refused.values() if a.retry_after_sec is not None]
    return NoWorkerError(
        f"No worker accepted the job: {'; '.join(_in_words(a, workers[a.worker]) for a in answers)}.",
        busy=(*busy, *negotiation.silent),
        retry_after_sec=min(delays_sec, default=None),
        all_busy=all(
            answer is not None and answer.reason == BUSY for answer in map(refused.get, negotiation.asked)
        ),
    )


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
    return "".join(f": {sentence.rstrip('.')}" for sentence in problem_sentences(worker)[:1])
