"""The runner's process: started in its own group, read from, stopped, and reliably ended.

``trio.run_process`` isn't used, because Trio forks in a worker thread and the runner asks the kernel to
be killed with its parent, which for Linux is the *thread* that forked it (prctl(2), PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import trio

from ....base.json_text import parse_json
from ....base.sentences import as_clause
from ....errors import TrainerError
from ....protocol.vocabulary import ErrorCode
from ...trainer import LOG_NAME
from .events import RunnerEvent, read_event

RUNNER_FILE: Final = Path(__file__).parents[1] / "runner" / "start.py"

TERMINATION_GRACE_SEC: Final = 2.0
"""The time between SIGTERM and SIGKILL. Nothing of a cancelled training is kept."""

REAPING_SEC: Final = 5.0
"""How long a killed process may take to end, for example one that waits for a disk."""

EXIT_AFTER_LAST_EVENT_SEC: Final = 5.0
LAST_EVENTS_SEC: Final = 2.0
"""How long events are still read after the runner has ended, in case a child holds the pipe open."""

MAX_EVENT_BYTES: Final = 4 * 2**20
LOG_TAIL_BYTES: Final = 8192


class Runner:
    """A running runner. Only :func:`open_runner` creates one."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        commands: trio.lowlevel.FdStream,
        events: trio.lowlevel.FdStream,
        log: Path,
    ) -> None:
        self._process = process
        self._commands = commands
        self._events = events
        self._log = log
        self._received = bytearray()
        self._exited = trio.Event()
        self._exit_status: int | None = None
        self._reading = trio.CancelScope()
        self._reading_ends = math.inf

    @property
    def pid(self) -> int:
        """The runner's process id, which is its group's id too."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """As :attr:`subprocess.Popen.returncode`: negative for a signal, None while it runs."""
        return self._exit_status

    async def send_stop(self) -> None:
        """Asks the runner to end early and keep what it has."""
        await self._send(b"stop\n")

    async def _send(self, line: bytes) -> None:
        # a runner that has ended no longer reads; that it has ended is seen elsewhere
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._commands.send_all(line)

    async def next_event(self) -> RunnerEvent | None:
        """Returns the next event that can be read, or None once no more will come.

        Nothing more is read of a runner that writes something else than JSON objects.
        """
        while (said := await self._next_object()) is not None:
            event = read_event(said)
            if event is not None:
                return event
        return None

    async def _next_object(self) -> Mapping[str, object] | None:
        while b"\n" not in self._received:
            block = await self._receive()
            if not block or len(self._received) > MAX_EVENT_BYTES:
                return None
            self._received += block
        line, _, self._received = self._received.partition(b"\n")
        try:
            said = parse_json(bytes(line))
        except ValueError:
            return None
        return said if isinstance(said, dict) else None

    async def _receive(self) -> bytes:
        with trio.CancelScope(deadline=self._reading_ends) as self._reading:
            return bytes(await self._events.receive_some())
        return b""

    async def wait(self, timeout_sec: float) -> None:
        """Waits at most this long for the runner to end by itself."""
        with trio.move_on_after(timeout_sec):
            await self._exited.wait()

    def log_tail(self) -> str:
        """Returns the last lines that the runner and its libraries printed."""
        try:
            with self._log.open("rb") as file:
                file.seek(max(0, self._log.stat().st_size - LOG_TAIL_BYTES))
                return file.read().decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def _watch_exit(self) -> None:
        """Starts a thread that waits for the runner's end, since not every system has pidfds.

        A failure there costs nothing but time: the pipe's end shows the runner's, too, and each wait for the
        runner has a limit.
        """
        token = trio.lowlevel.current_trio_token()

        def wait() -> None:
            # not reaped yet, so that the group's number stays its own until the group has been killed
            if hasattr(os, "waitid"):
                ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
                assert ended is not None
                status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
            else:
                status = self._process.wait()
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(self._note_exit, status)

        threading.Thread(target=wait, name=f"waiting for runner {self.pid}", daemon=True).start()

    def _note_exit(self, status: int) -> None:
        self._exit_status = status
        self._exited.set()
        self._reading_ends = trio.current_time() + LAST_EVENTS_SEC
        self._reading.deadline = self._reading_ends

    async def _end(self) -> None:
        """Ends every process of the group; the caller shields this."""
        if not self._exited.is_set():
            self._signal(signal.SIGTERM)
            await self.wait(TERMINATION_GRACE_SEC)
        self._signal(signal.SIGKILL)
        await self.wait(REAPING_SEC)
        if self._exited.is_set():
            self._process.wait()  # it has ended: this reaps it and returns at once
        await self._wait_for_group()

    def _signal(self, number: signal.Signals) -> None:
        # macOS says EPERM for a group of which only zombies are left
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def _wait_for_group(self) -> None:
        """Waits until no killed child of the runner is left, which takes the kernel a moment."""
        with trio.move_on_after(REAPING_SEC), suppress(ProcessLookupError, PermissionError):
            while True:
                os.killpg(self.pid, 0)
                await trio.sleep(0.01)


@asynccontextmanager
async def open_runner(
    python: Path,
    task: Mapping[str, object],
    *,
    work_dir: Path,
    environment: Mapping[str, str],
    script: Path = RUNNER_FILE,
) -> AsyncIterator[Runner]:
    """Starts the runner with a task. All of its processes have ended when the block is left.

    Args:
        python: The interpreter in which sleap-nn lives.
        task: What to do; see the package ``runner``.
        work_dir: The runner's working directory, which also gets its log.
        environment: All of its environment variables.
        script: The file to run.

    Raises:
        TrainerError: The interpreter can't be started. Other exceptions are the block's own.
    """
    log = work_dir / LOG_NAME
    process, commands, events = _start(python, script, log, work_dir, environment)
    async with commands, events:
        runner = Runner(process, commands, events, log)
        runner._watch_exit()
        try:
            await runner._send(json.dumps({**task, "parent_pid": os.getpid()}).encode() + b"\n")
            yield runner
        finally:
            with trio.CancelScope(shield=True):
                await runner._end()


def _start(
    python: Path, script: Path, log: Path, work_dir: Path, environment: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], trio.lowlevel.FdStream, trio.lowlevel.FdStream]:
    events_read, events_write = os.pipe()
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                [python, "-u", script, str(events_write)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[events_write],
                start_new_session=True,
                cwd=work_dir,
                env=environment,
            )
    except OSError as error:
        os.close(events_read)
        raise TrainerError(
            f"The trainer's Python {python} can't be started: {as_clause(error)}.",
            error_code=ErrorCode.NO_TRAINER,
        ) from error
    finally:
        os.close(events_write)
    assert process.stdin is not None
    commands = os.dup(process.stdin.fileno())
    process.stdin.close()
    return process, trio.lowlevel.FdStream(commands), trio.lowlevel.FdStream(events_read)
