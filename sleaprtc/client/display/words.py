"""Values and events in words; text from others loses its control characters."""

from __future__ import annotations

from ...base.printable import printable
from ...protocol.limits import MIB
from ...protocol.vocabulary import JobType
from ..events.job import (
    AnswerSummary,
    Completed,
    Connected,
    Direction,
    StatusChanged,
    Transferred,
    WorkersFound,
)


def memory_text(memory_mb: float | None) -> str:
    """Returns an amount of memory in words."""
    if not memory_mb:
        return "?" if memory_mb is None else "-"
    return f"{memory_mb:,.0f} MiB"


def duration_text(minutes: float | None) -> str:
    """Returns a duration in words, in seconds if it is short."""
    if minutes is None:
        return "?"
    return f"{minutes * 60:.0f} s" if minutes < 1 else f"{minutes:.0f} min"


def clock_left_text(left_sec: float) -> str:
    """Returns a time left to the second, as clocks show it."""
    minutes, seconds = divmod(round(left_sec), 60)
    hours, minutes = divmod(minutes, 60)
    shown = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{shown}:{seconds:02} left"


def loss_text(value: float | None) -> str:
    """Returns a loss with three digits."""
    return "?" if value is None else f"{value:.3g}"


def verdict(answer: AnswerSummary) -> str:
    """Returns a worker's answer in words."""
    if answer.accepted is None:
        return "no answer"
    return "accepts" if answer.accepted else f"refuses: {printable(answer.reason or 'no reason given')}"


def status_sentence(event: StatusChanged) -> str:
    """Returns a worker's latest status in one line."""
    remaining = event.estimated_remaining_minutes
    left = f", about {duration_text(remaining)} left" if remaining else ""
    if event.frames_done is not None:
        rate = f", {event.frames_per_sec:.3g} frames/s" if event.frames_per_sec is not None else ""
        return f"frame {event.frames_done}/{event.total_frames or '?'}{rate}{left}"
    if event.current_epoch is None:
        return printable(event.message or event.status)
    model = f"{printable(event.model)}: " if event.model else ""
    val = f", validation {loss_text(event.val_loss)}" if event.val_loss is not None else ""
    return (
        f"{model}epoch {event.current_epoch}/{event.total_epochs or '?'}, "
        f"loss {loss_text(event.current_loss)}{val}{left}"
    )


def transfer_sentence(event: Transferred, left_sec: float | None = None) -> str:
    """Returns a file's progress in words, with the time that the rest will take if that is known."""
    name, is_sent = printable(event.name), event.direction == Direction.SEND
    if _was_there(event):
        return f"The worker already has {name}."
    left = "" if left_sec is None else f", {clock_left_text(left_sec)}"
    return f"{'Sent' if is_sent else 'Received'} {amounts_text(event)} of {name}{left}."


def amounts_text(event: Transferred, *, between: str = " of ", digits: int = 1) -> str:
    """Returns how much of a file has arrived, and how large it is."""
    unit, unit_bytes = _unit(event.size_bytes)
    received, size = event.received_bytes / unit_bytes, event.size_bytes / unit_bytes
    return f"{received:.{digits}f}{between}{size:.{digits}f} {unit}"


def arrival_sentence(event: Transferred) -> str:
    """Returns what became of a file that has arrived."""
    if _was_there(event):
        return transfer_sentence(event)
    verb = "Sent" if event.direction == Direction.SEND else "Received"
    unit, unit_bytes = _unit(event.size_bytes)
    return f"{verb} {printable(event.name)} ({event.size_bytes / unit_bytes:.1f} {unit})."


def _was_there(event: Transferred) -> bool:
    """Whether the worker had the whole file before, so that nothing was sent."""
    return event.direction == Direction.SEND and event.offset_bytes >= event.size_bytes > 0


def _unit(size_bytes: int) -> tuple[str, int]:
    return ("MiB", MIB) if size_bytes >= MIB else ("KiB", 1024)


def workers_lines(event: WorkersFound) -> list[str]:
    """Returns who was found; empty if nobody was, since the error says more."""
    count = len(event.workers)
    names = ", ".join(printable(worker.worker) for worker in event.workers)
    return [f"{count} worker{'s fit' if count > 1 else ' fits'}: {names}."] if count else []


def connected_line(event: Connected) -> str:
    """Returns how the connection was made."""
    way = {"direct": "directly", "relayed": "through a relay", None: ""}.get(event.path, event.path)
    engine = f"by {event.engine}" if event.engine else ""
    details = ", ".join(part for part in (way, engine) if part)
    return f"Connected to {printable(event.worker)}{f' ({details})' if details else ''}."


def completion_lines(event: Completed) -> list[str]:
    """Returns a job's result, and where its models or predictions are."""
    cut = [f"Warning: {printable(event.cut_short)}"] if event.cut_short else []
    if event.fetched_before:
        places = [path for path in (*event.model_dirs, event.predictions) if path]
        return [*(f"Already fetched: {printable(path)}" for path in places), *cut]
    device = f" on {printable(event.device)}" if event.device else ""
    if event.job_type == JobType.INFERENCE:
        return _prediction_lines(event, device)
    loss = f", loss {loss_text(event.final_loss)}" if event.final_loss is not None else ""
    time_taken = duration_text(event.training_duration_minutes)
    return [
        f"Trained by {printable(event.worker)}{device}: "
        f"{_counted(event.total_epochs or None, 'epoch')} in {time_taken}{loss}.",
        *cut,
        *(f"Model: {printable(path)}" for path in event.model_dirs),
    ]


def _counted(count: int | None, thing: str) -> str:
    return f"{'?' if count is None else count} {thing}{'' if count == 1 else 's'}"


def _prediction_lines(event: Completed, device: str) -> list[str]:
    frames, seconds = event.frame_count, event.inference_duration_seconds
    rate = f", {frames / seconds:.3g} frames/s" if frames and seconds else ""
    time_taken = duration_text(None if seconds is None else seconds / 60)
    return [
        f"Predicted by {printable(event.worker)}{device}: {_counted(frames, 'frame')} in {time_taken}{rate}.",
        f"Predictions: {printable(event.predictions or '?')}",
    ]
