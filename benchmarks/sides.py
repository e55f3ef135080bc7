"""Runs a transfer between two processes, relays their signaling, and measures their time and memory."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs

from .processes import Running

SAMPLE_SEC = 0.05
PATIENCE_SEC = 10

Rewrite = Callable[[str, str], str | None]
"""Rewrites a signaling message: gets its sender's role and its text, and returns the new text or None to drop
it."""


@attrs.frozen
class Side:
    """The figures of one process.

    Attributes:
        sec: How long the transfer took, in seconds; only the sender reports it.
        cpu_sec: The processor time for it, in seconds.
        growth_mib: The peak of resident memory minus its value when the connection opened, in MiB.
        reports: All of its ``done`` values.
    """

    sec: float
    cpu_sec: float
    growth_mib: float
    reports: tuple[dict[str, Any], ...]


@attrs.frozen
class Outcome:
    """The figures of one transfer."""

    sender: Side
    receiver: Side

    @property
    def sec(self) -> float:
        """How long it took, in seconds."""
        return self.sender.sec

    @property
    def cpu_sec(self) -> float:
        """The processor time of both sides, in seconds."""
        return self.sender.cpu_sec + self.receiver.cpu_sec


class TransferFailedError(Exception):
    """A side ended, or took too long."""


class Pair:
    """Two running processes. Use :func:`open_pair`."""

    def __init__(
        self,
        module: str,
        options: dict[str, dict[str, Any]],
        rewrite: Rewrite | None,
        at: Mapping[str, tuple[str, ...]],
    ) -> None:
        self._rewrite = rewrite or (lambda _, text: text)
        self._lines: queue.Queue[tuple[str, str | None]] = queue.Queue()
        self._processes = {
            role: subprocess.Popen(
                [
                    *at.get(role, ()),
                    sys.executable,
                    "-m",
                    f"benchmarks.{module}",
                    role,
                    json.dumps(options[role]),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for role in ("receive", "send")
        }
        self._base_kib: dict[str, float] = {}
        self._peak_kib: dict[str, float] = {}
        self._reports: dict[str, list[dict[str, Any]]] = {"send": [], "receive": []}
        self.engines: dict[str, str] = {}
        for role in self._processes:
            threading.Thread(target=self._read, args=(role,), daemon=True).start()

    def _read(self, role: str) -> None:
        stdout = self._processes[role].stdout
        assert stdout is not None
        for line in stdout:
            self._lines.put((role, line))
        self._lines.put((role, None))

    def kill(self, *roles: str) -> None:
        """Kills sides, so that they can't close their connection."""
        for role in roles:
            self._processes[role].kill()
            self._processes[role].wait(PATIENCE_SEC)

    def quit(self) -> None:
        """Asks both sides to end, waits for them, and kills a side that doesn't."""
        for process in self._processes.values():
            if process.poll() is None and process.stdin is not None:
                try:
                    process.stdin.write('"quit"\n')
                    process.stdin.flush()
                except BrokenPipeError:
                    continue
        for process in self._processes.values():
            try:
                process.wait(PATIENCE_SEC)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def close(self) -> None:
        """Kills what still runs, and closes the pipes."""
        self.kill(*self._processes)
        for process in self._processes.values():
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except BrokenPipeError:
                        continue

    def run(self, timeout_sec: float, *, times: int = 1, until: Callable[[], bool] | None = None) -> None:
        """Relays signaling until both sides have reported ``times`` times, or ``until()`` is true.

        Raises:
            TransferFailedError: A side ended early, or it took longer than ``timeout_sec``.
        """
        deadline = time.monotonic() + timeout_sec
        while any(len(reports) < times for reports in self._reports.values()):
            self._sample()
            if until is not None and until():
                return
            if time.monotonic() > deadline:
                raise TransferFailedError(f"it didn't finish within {timeout_sec:g} s: {self._reports}")
            try:
                role, line = self._lines.get(timeout=SAMPLE_SEC)
            except queue.Empty:
                continue
            if line is None:
                raise TransferFailedError(f"the side that should {role} ended early")
            self._take(role, *json.loads(line))

    def _take(self, role: str, kind: str, value: Any) -> None:
        if kind == "signal":
            text = self._rewrite(role, value)
            process = self._processes["send" if role == "receive" else "receive"]
            if text is not None and process.stdin is not None:
                process.stdin.write(json.dumps(text) + "\n")
                process.stdin.flush()
        elif kind == "ready":
            self.engines[role] = value
            self._base_kib[role] = self._resident_kib(role)
        elif kind == "done":
            self._sample()
            self._reports[role].append(value)

    def _resident_kib(self, role: str) -> float:
        try:
            return Running(self._processes[role].pid, ()).resident_kib()
        except (OSError, IndexError):
            return 0.0

    def _sample(self) -> None:
        for role in self._base_kib:
            self._peak_kib[role] = max(self._peak_kib.get(role, 0.0), self._resident_kib(role))

    def outcome(self) -> Outcome:
        """Returns the figures of both sides."""
        sides = {}
        for role, reports in self._reports.items():
            sides[role] = Side(
                sec=reports[-1].get("sec", 0.0),
                cpu_sec=sum(report["cpu_sec"] for report in reports),
                growth_mib=(self._peak_kib[role] - self._base_kib[role]) / 1024,
                reports=tuple(reports),
            )
        return Outcome(sides["send"], sides["receive"])


@contextmanager
def open_pair(
    module: str,
    *,
    send: dict[str, Any],
    receive: dict[str, Any],
    rewrite: Rewrite | None = None,
    at: Mapping[str, tuple[str, ...]] | None = None,
) -> Iterator[Pair]:
    """Starts a sender and a receiver from ``benchmarks.MODULE``; both have ended after the block.

    Args:
        module: The program of both sides.
        send: The sender's options.
        receive: The receiver's options.
        rewrite: Changes their signaling.
        at: For each role, the words before its command, which may put it into a network namespace.
    """
    pair = Pair(module, {"send": send, "receive": receive}, rewrite, at or {})
    try:
        yield pair
    finally:
        pair.close()


def run_pair(
    module: str,
    *,
    send: dict[str, Any],
    receive: dict[str, Any],
    timeout_sec: float,
    times: int = 1,
    rewrite: Rewrite | None = None,
) -> Outcome:
    """Runs one transfer to its end.

    Raises:
        TransferFailedError: A side ended early, or it took longer than ``timeout_sec``.
    """
    with open_pair(module, send=send, receive=receive, rewrite=rewrite) as pair:
        pair.run(timeout_sec, times=times)
        pair.quit()
        return pair.outcome()
