"""Judges an attempt at a job: it is done, is tried again, failed for a known reason, or is a loss."""

from __future__ import annotations

import enum
import math
from collections.abc import Collection, Mapping
from typing import Any

import attrs

from ..processes import Ended

KILLED_CODE = "killed by us"


class Verdict(enum.Enum):
    """What an attempt leads to."""

    DONE = "done"
    RETRY = "retry"
    FAILED = "failed"
    LOSS = "loss"


@attrs.frozen
class Outcome:
    """The outcome of an attempt.

    Attributes:
        kind: Command, exit status and code, by which attempts are counted.
        verdict: What it leads to.
        reason: Why it failed, why it is tried again, or what is wrong, as a sentence.
    """

    kind: str
    verdict: Verdict
    reason: str = ""


_WORKER_ENDED = frozenset({"worker killed", "worker restarted"})
_FULL_DISK = frozenset({"worker's disk full", "client's disk full"})

EXPLANATIONS: tuple[tuple[str, frozenset[str]], ...] = (
    ("The worker was restarted while it had this job.", _WORKER_ENDED),
    ("The worker was stopped by its owner.", _WORKER_ENDED),
    ("The operating system killed the training process", frozenset({"trainer killed"})),
    ("disk is full", _FULL_DISK),
    (" MiB to spare, and the disk has ", _FULL_DISK),
    ("No space left on device", _FULL_DISK),
    ("database or disk is full", _FULL_DISK),
)
"""Messages with which a job may fail for good, each with the faults of which one must have come before."""

_TRIED_AGAIN = frozenset({"NO_WORKER", "WORKER_LOST", "WORKER_AWAY"})
_NETWORK_STATUS = 5
_MAY_BE_NULL_IF_FETCHED_BEFORE = ("final_loss", "total_epochs", "device")


def kind_of(command: str, ended: Ended, *, was_killed: bool = False) -> str:
    """Returns an attempt's kind: command, exit status and code."""
    if was_killed:
        return f"{command}: {KILLED_CODE}"
    code = "done" if ended.status == 0 else str(ended.last.get("code") or "no code")
    return f"{command}: {ended.status} {code}"


def missing_from(completed: Mapping[str, Any], epochs: int) -> str | None:
    """Returns what is null, empty or wrong in the last event of a job that is reported as done."""
    if completed.get("event") != "completed":
        return f"ended with status 0 and the event {completed.get('event')!r}"
    if not completed.get("model_dirs"):
        return "completed without a model"
    if completed.get("fetched_before"):
        return None
    for field in _MAY_BE_NULL_IF_FETCHED_BEFORE:
        if completed.get(field) is None:
            return f"completed with {field} null"
    if not math.isfinite(completed["final_loss"]):
        return f"completed with a loss of {completed['final_loss']}"
    if completed["total_epochs"] != epochs:
        return f"completed with {completed['total_epochs']} epochs in place of {epochs}"
    return None


def judge(
    command: str,
    ended: Ended,
    *,
    epochs: int,
    is_right_model: bool,
    was_seen_running: bool,
    faults: Collection[str],
) -> Outcome:
    """Judges an attempt that ended by itself.

    Args:
        command: The client's command.
        ended: How it ended.
        epochs: How many epochs the job has.
        is_right_model: Whether the models that it names have the right bytes.
        was_seen_running: Whether the worker was seen working on this job before.
        faults: The kinds of fault since shortly before the job began.
    """
    kind = kind_of(command, ended)
    code, sentence = ended.last.get("code"), str(ended.last.get("message") or "")
    if "Traceback" in ended.stderr:
        return Outcome(kind, Verdict.LOSS, "the client wrote a traceback")
    if ended.status == 0:
        wrong = missing_from(ended.last, epochs)
        if wrong is None and not is_right_model:
            wrong = "completed with another model"
        return Outcome(kind, Verdict.DONE) if wrong is None else Outcome(kind, Verdict.LOSS, wrong)
    if code is None or not sentence:
        return Outcome(kind, Verdict.LOSS, f"ended with status {ended.status} and no reason")
    if code == "UNKNOWN_JOB" or "doesn't know this job" in sentence:
        verdict = Verdict.LOSS if was_seen_running else Verdict.RETRY
        return Outcome(kind, verdict, sentence)
    if code in _TRIED_AGAIN or ended.status == _NETWORK_STATUS:
        if not faults:
            return Outcome(kind, Verdict.LOSS, f"nothing was broken, and yet: {sentence}")
        return Outcome(kind, Verdict.RETRY, sentence)
    return _judge_failure(kind, str(code), sentence, faults)


def _judge_failure(kind: str, code: str, sentence: str, faults: Collection[str]) -> Outcome:
    for part, explaining in EXPLANATIONS:
        if part in sentence and not explaining.isdisjoint(faults):
            if code in ("STORAGE", "USAGE"):  # the client's own disk: there will be room again
                return Outcome(kind, Verdict.RETRY, sentence)
            return Outcome(kind, Verdict.FAILED, sentence)
    return Outcome(kind, Verdict.LOSS, f"failed for nothing that was broken: {sentence}")
