"""The communication with the process that started this one, and how it ends."""

import ctypes
import json
import math
import os
import signal
import sys
import threading
from typing import Any

PR_SET_PDEATHSIG = 1  # linux/prctl.h
MAX_REASON_CHARS = 500


class RunnerError(Exception):
    """Ends a task, with the code by which the parent knows the reason (see ``failures.py``)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def reason_of(error: BaseException) -> str:
    """Returns the first line of a library's message, without a full stop, to stand inside a sentence."""
    first_line = (str(error).strip().splitlines() or [""])[0]
    return first_line[:MAX_REASON_CHARS].rstrip(" .:") or type(error).__name__


class Parent:
    """Both directions of the communication with the process that started this one."""

    def __init__(self, events_fd: int) -> None:
        self._events = os.fdopen(events_fd, "w", encoding="utf-8")
        self._received = b""
        self.stop_requested = threading.Event()

    def tell(self, event: str, **fields: Any) -> None:
        """Sends one event; numbers that JSON lacks become null, and what is no text becomes question marks.

        A path in an error may have bytes that are no UTF-8 (PEP 383), and the parent reads no such events.
        """
        said = {"event": event, **{key: _finite(value) for key, value in fields.items()}}
        line = json.dumps(said, ensure_ascii=False).encode("utf-8", "replace").decode()
        self._events.write(line + "\n")
        self._events.flush()

    def read_task(self) -> dict[str, Any]:
        """Reads the task: the first line of standard input."""
        task: dict[str, Any] = json.loads(self._read_line())
        return task

    def watch(self) -> None:
        """Reads standard input to its end, which comes when the parent ends."""
        while (line := self._read_line()) is not None:
            if line.strip() == b"stop":
                self.stop_requested.set()
        end_group()

    def _read_line(self) -> Any:
        # os.read rather than sys.stdin: a buffered reader that a thread waits in blocks the exit
        while b"\n" not in self._received:
            block = os.read(0, 65536)
            if not block:
                return None
            self._received += block
        line, _, self._received = self._received.partition(b"\n")
        return line


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def end_group() -> None:
    """Kills this process and every process it started."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def die_with_parent(parent_pid: int) -> None:
    """Has the kernel kill this process when the parent ends, even while no Python code can run."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        end_group()
