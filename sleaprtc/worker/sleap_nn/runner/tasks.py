"""The tasks of a runner, and how a failure is reported."""

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from .inspection import convert, probe
from .parent import Parent, RunnerError, die_with_parent, reason_of
from .prediction import predict
from .training import train

COMMANDS: dict[str, Callable[[Mapping[str, Any], Parent], None]] = {
    "probe": probe,
    "convert": convert,
    "train": train,
    "predict": predict,
}

WORDS = {"predict": ("Prediction", "PREDICTION_FAILED", "predict")}
"""How errors name a command, except for training."""


def explain(error: BaseException, command: str = "train") -> tuple[str, str]:
    """Returns an error's code and one sentence for a person."""
    work, code, verb = WORDS.get(command, ("Training", "TRAINING_FAILED", "train"))
    text = str(error).strip()
    if isinstance(error, RunnerError):
        return error.code, text
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text:
        remedy = "a smaller batch size, or a lower scale of the images, needs less"
        return "OUT_OF_MEMORY", f"{work} ran out of memory: {remedy}."
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text:
        return "DISK_FULL", "The worker's disk is full."
    if isinstance(error, ImportError):
        return "NO_TRAINER", f"sleap-nn can't be imported on the worker: {reason_of(error)}."
    return code, f"sleap-nn couldn't {verb}: {reason_of(error)}."


def main(events_fd: int) -> None:
    """Carries out the one task that the parent sends."""
    parent = Parent(events_fd)
    task = parent.read_task()
    die_with_parent(task["parent_pid"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # at which sleap-nn deletes the model that it trains
    threading.Thread(target=parent.watch, daemon=True).start()
    try:
        COMMANDS[task["command"]](task, parent)
    except Exception as error:
        traceback.print_exc()
        code, message = explain(error, task["command"])
        parent.tell("failed", code=code, message=message)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # all is said; nothing that a library does at exit may hold the process
