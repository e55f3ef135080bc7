"""A job's state, its log, and what can be done next, in lines."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import Final

from ...base.printable import printable
from ...base.sentences import as_sentence
from ...jobs.life import OVER, Seen, State
from ...protocol.jobs import JobStatus
from ...protocol.messages import JSONObject
from ...protocol.values import is_time
from ..events.job import Detached, Failed, Retrying, StatusChanged, Waiting
from ..jobs.inquiries.state import UNKNOWN, JobState
from ..records.job_ids import short_id
from .words import duration_text, loss_text, status_sentence

_STATES: Final[Mapping[str, str]] = {
    State.QUEUED: "waiting for a slot on its worker",
    State.RECEIVING: "waiting for the dataset",
    Seen.RUNNING: "running",
    State.INTERRUPTED: "interrupted; it continues when its worker has a slot for it",
    State.HANDED_BACK: "handed back by its worker; another one may do it if it is sent again",
    Seen.NOT_FETCHED: "finished, but its result couldn't be fetched yet",
    Seen.FAILED: "failed",
    Seen.CANCELLED: "cancelled",
    Seen.LOST: "lost sight of before its end",
    UNKNOWN: "unknown: its worker has forgotten it",
}
_CONTROL_SEQUENCES: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
"""ECMA-48: colours and cursor movements, of which progress bars are full."""


def clock_text(epoch_sec: float, now: float) -> str:
    """Returns a time of day, with its date unless that is today."""
    if not is_time(epoch_sec):  # a worker's word
        return "an unknown time"
    then, today = time.localtime(epoch_sec), time.localtime(now)
    same_day = (then.tm_year, then.tm_yday) == (today.tm_year, today.tm_yday)
    return time.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M", then)


def ago_text(epoch_sec: float, now: float) -> str:
    """Returns how long ago something was."""
    seconds = max(0.0, now - epoch_sec)
    if seconds < 90:
        return f"{seconds:.0f} s ago"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min ago"
    return f"{seconds / 3600:.0f} h ago" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days ago"


def _when(epoch_sec: float, now: float) -> str:
    return f"{clock_text(epoch_sec, now)} ({ago_text(epoch_sec, now)})"


def state_words(state: JobState) -> str:
    """Returns a job's state as the end of a sentence."""
    if state.state == Seen.COMPLETED:
        where = "its result is here" if state.fetched else "its result is waiting to be fetched"
        return f"finished, {where}"
    if state.stopping:
        return "running, and ending early"
    return _STATES.get(state.state, printable(state.state))


def seen_words(status: dict[str, object] | None) -> str:
    """Returns what was last seen of a job as a sentence, or an empty string."""
    event = _event_of(status)
    return "" if event is None else status_sentence(event)


def _event_of(status: JSONObject | None) -> StatusChanged | None:
    try:
        return None if status is None else StatusChanged(**status)
    except TypeError:
        return None  # written by a version that knew more


def state_lines(state: JobState, now: float) -> Iterator[str]:
    """Yields a description of a job, one fact per line."""
    answered = "" if state.answered or state.fetched or state.state == Seen.CANCELLED else ", as last seen"
    yield f"Job {short_id(state.job_id)} ({state.job_type}): {state_words(state)}{answered}."
    facts: list[tuple[str, str]] = [
        ("worker", state.worker),
        ("dataset", state.dataset),
        ("started", _when(state.started_at, now)),
    ]
    if state.since is not None:
        facts.append(("since", _when(state.since, now)))
    event = None if state.state in (Seen.COMPLETED, Seen.NOT_FETCHED) else _event_of(state.status)
    if event is not None:
        facts.extend(_progress(event, is_over=state.state in {*OVER, State.HANDED_BACK}))
        if state.seen_at is not None:
            facts.append(("last heard", _when(state.seen_at, now)))
    if state.final_loss is not None:
        facts.append(("final loss", loss_text(state.final_loss)))
    if state.message:
        facts.append(("why", state.message))
    if state.unanswered:
        facts.append(("unanswered", state.unanswered))
    facts.extend(("result", path) for path in state.results)
    for name, value in facts:
        yield f"  {name:<11}{printable(value)}"
    following = _next_command(state)
    if following:
        yield f"  {'next':<11}sleap-rtc client {following} {short_id(state.job_id)}"


def _progress(event: StatusChanged, *, is_over: bool) -> Iterator[tuple[str, str]]:
    if not is_over:
        yield "progress", f"{event.progress:.0%}"
    if event.current_epoch is not None:
        model = f"{event.model}: " if event.model else ""
        yield "epoch", f"{model}{event.current_epoch} of {event.total_epochs or '?'}"
        val = "" if event.val_loss is None else f", validation {loss_text(event.val_loss)}"
        yield "loss", f"{loss_text(event.current_loss)}{val}"
    if event.frames_done is not None:
        yield "frames", f"{event.frames_done} of {event.total_frames or '?'}"
    if event.estimated_remaining_minutes is not None and not is_over:
        yield "time left", f"about {duration_text(event.estimated_remaining_minutes)}"
    if event.device:
        yield "device", event.device
    if event.message:
        yield "says", event.message


def _next_command(state: JobState) -> str | None:
    if state.state == Seen.NOT_FETCHED or (state.state == Seen.COMPLETED and not state.fetched):
        return "fetch"
    if state.state in (State.QUEUED, State.RECEIVING, Seen.RUNNING, State.INTERRUPTED, Seen.LOST):
        return "attach"
    has_failed = state.state in (Seen.FAILED, State.HANDED_BACK)
    return "logs" if has_failed and state.answered else None


def course_line(event: Waiting | Retrying | Failed) -> str:
    """Returns what holds a job up, and what is done about it."""
    reason = printable(event.reason if isinstance(event, Waiting) else event.message)
    if isinstance(event, Failed):
        return f"Failed: {reason}"
    if isinstance(event, Retrying):
        return f"{as_sentence(reason)} Retrying, attempt {event.attempt} of {event.attempts}."
    limit = "" if event.patience_sec is None else f" of {duration_text(event.patience_sec / 60)}"
    waited = f" ({duration_text(event.waited_sec / 60)}{limit} so far)" if event.waited_sec >= 1 else ""
    return f"{as_sentence(reason)} Waiting for a worker{waited}; Ctrl-C ends that."


def detached_lines(event: Detached) -> Iterator[str]:
    """Returns commands to paste for a job that was left to its worker."""
    job = short_id(event.job_id)
    yield f"Job {job} runs on {printable(event.worker)} and continues without this terminal. What you can do:"
    for command, meaning in (
        ("status", "how far it is"),
        ("logs -f", "its messages and its trainer's output"),
        ("attach", "follow it, and get its result at the end"),
        ("fetch", "get its result when it is finished"),
        ("stop", "end it early, and keep what it has"),
        ("cancel", "end it, and throw away what it has"),
    ):
        yield f"  {f'sleap-rtc client {command} {job}':<36}# {meaning}"


def log_status_line(worker: str, status: JobStatus, now: float) -> str:
    """Returns a status as a line of a job's log."""
    sentence = status_sentence(StatusChanged.of(worker, status))
    return sentence if status.timestamp is None else f"{clock_text(status.timestamp, now)}  {sentence}"


def trainer_lines(text: str) -> Iterator[str]:
    """Returns the lines of a trainer's log without cursor movements; of a redrawn line, its last state."""
    for line in _CONTROL_SEQUENCES.sub("", text).split("\n"):
        drawn = [part for part in line.split("\r") if part.strip()]
        if drawn:
            yield printable(drawn[-1].rstrip().expandtabs(4))
