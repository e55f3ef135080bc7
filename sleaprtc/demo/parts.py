"""Starts the demo's programs, each in a process group of its own, and ends them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import trio

from ..base.child_environment import bare, without_secrets
from ..base.sentences import as_sentence
from ..errors import JobFailedError

Narrate: TypeAlias = Callable[[str, str], None]
"""Called with the name of a part and one line of its output."""

TERMINATION_GRACE_SEC: Final = 10.0
"""How long all programs together have to end after SIGTERM; a worker first ends its trainer."""

LAST_GRACE_SEC: Final = 2.0
"""For programs that got no SIGTERM by then, because another one used up that time."""

GUARD: Final = Path(__file__).with_name("guard.py")
LAST_LINES: Final = 15
MAX_LINE_BYTES: Final = 64 * 1024


class Part:
    """A running program.

    Attributes:
        name: What the narration calls it.
        process: The leader of its process group.
        output: The lines of its standard output so far.
        errors: The lines of its standard error so far.
    """

    def __init__(self, name: str, process: trio.Process) -> None:
        self.name = name
        self.process = process
        self.output: list[str] = []
        self.errors: list[str] = []
        self._news = trio.Condition()
        self._streams_open = 2

    async def line(self, fits: Callable[[str], bool]) -> str:
        """Waits for a line on standard output that fits, and returns it.

        Raises:
            JobFailedError: The program ended without printing one.
        """
        read = 0
        async with self._news:
            while True:
                for line in self.output[read:]:
                    if fits(line):
                        return line
                read = len(self.output)
                if not self._streams_open:
                    raise self.failure()
                await self._news.wait()

    async def finish(self) -> list[str]:
        """Waits for the program's end and returns its standard output.

        Raises:
            JobFailedError: It ended with an exit status that isn't 0.
        """
        status = await self.process.wait()
        async with self._news:
            while self._streams_open:
                await self._news.wait()
        if status:
            raise self.failure()
        return self.output

    def failure(self) -> JobFailedError:
        """Returns the error that describes how the program ended."""
        status = self.process.returncode
        ending = "is ending" if status is None else f"ended with exit status {status}"
        last = " ".join((self.errors or self.output)[-LAST_LINES:]).removeprefix("Error: ")
        sentence = f"The {self.name} {ending} before it had done its part."
        return JobFailedError(f"{sentence} {as_sentence(last)}" if last else sentence)

    async def follow(self, stream: trio.abc.ReceiveStream, lines: list[str], narrate: Narrate | None) -> None:
        """Collects a stream's lines until its end."""
        rest = b""
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for chunk in stream:
                *whole, rest = (rest + chunk).split(b"\n")
                if len(rest) > MAX_LINE_BYTES:
                    whole, rest = [*whole, rest], b""
                await self._heard(whole, lines, narrate)
        await self._heard([rest] if rest else [], lines, narrate)
        async with self._news:
            self._streams_open -= 1
            self._news.notify_all()

    async def _heard(self, raw_lines: list[bytes], lines: list[str], narrate: Narrate | None) -> None:
        for raw in raw_lines:
            text = raw.decode("utf-8", "replace").rstrip()
            lines.append(text)
            if narrate is not None and text:
                narrate(self.name, text)
        async with self._news:
            self._news.notify_all()


class Parts:
    """Starts programs and ends them all."""

    def __init__(self, nursery: trio.Nursery, guard: trio.Process, narrate: Narrate) -> None:
        self._nursery = nursery
        self._guard = guard
        self._narrate = narrate
        self._running: list[Part] = []

    async def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        narrated: bool = True,
        must_stay: bool = False,
    ) -> Part:
        """Starts a program, which is ended at the end of the block at the latest.

        Args:
            name: Its name in the narration.
            command: The program and its arguments.
            env: Added to this process's environment.
            narrated: Whether to narrate its output while it runs.
            must_stay: Whether the demo fails if it ends before the block.
        """
        with trio.CancelScope(shield=True):  # a started process must always be recorded
            process = await trio.lowlevel.open_process(
                [str(argument) for argument in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=_clean_environment() | dict(env or {}),
            )
            part = Part(name, process)
            self._running.append(part)
            await self._tell_guard(f"+{process.pid}")
        narrate = self._narrate if narrated else None
        assert process.stdout is not None
        assert process.stderr is not None
        self._nursery.start_soon(part.follow, process.stdout, part.output, narrate)
        self._nursery.start_soon(part.follow, process.stderr, part.errors, narrate)
        if must_stay:
            self._nursery.start_soon(self._watch, part)
        return part

    async def run(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        narrated: bool = True,
    ) -> list[str]:
        """Runs a program to its end and returns its standard output.

        Raises:
            JobFailedError: It ended with an exit status that isn't 0.
        """
        part = await self.start(name, command, env=env, narrated=narrated)
        try:
            return await part.finish()
        finally:
            await self._end([part])

    async def aclose(self) -> None:
        """Ends all programs that still run, one after another, the last started first."""
        await self._end(self._running[::-1])

    async def _watch(self, part: Part) -> None:
        await part.process.wait()
        if part in self._running:
            raise part.failure()

    async def _end(self, parts: list[Part]) -> None:
        for part in parts:
            self._running.remove(part)
        with trio.CancelScope(shield=True):
            with trio.move_on_after(TERMINATION_GRACE_SEC):
                for part in parts:
                    await _ask_to_end([part])
            with trio.move_on_after(LAST_GRACE_SEC):
                await _ask_to_end(parts)
            for part in parts:
                _signal_group(part, signal.SIGKILL)
                await part.process.wait()
                await self._tell_guard(f"-{part.process.pid}")

    async def _tell_guard(self, line: str) -> None:
        assert self._guard.stdin is not None
        with contextlib.suppress(trio.BrokenResourceError):
            await self._guard.stdin.send_all(f"{line}\n".encode())


async def _ask_to_end(parts: list[Part]) -> None:
    for part in parts:
        if part.process.returncode is None:
            _signal_group(part, signal.SIGTERM)
    for part in parts:
        await part.process.wait()


def _signal_group(part: Part, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(part.process.pid, number)


def _clean_environment() -> dict[str, str]:
    """Returns this process's environment without the user's secrets and sleap-rtc settings."""
    return without_secrets() | {"SLEAP_RTC_CONFIG_FILE": os.devnull, "PYTHONUNBUFFERED": "1"}


@contextlib.asynccontextmanager
async def open_parts(narrate: Narrate) -> AsyncIterator[Parts]:
    """Opens a scope in which programs can be started, and which none of them outlives.

    However the block ends, every program's process group gets SIGTERM, and then SIGKILL. If this process is
    killed, a guard process does the same.

    Raises:
        JobFailedError: In an exception group: a part that must stay has ended.
    """
    guard = await trio.lowlevel.open_process(
        [sys.executable, str(GUARD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=bare(),
    )
    assert guard.stdin is not None
    try:
        async with trio.open_nursery() as nursery:  # a failure ends the demo
            parts = Parts(nursery, guard, narrate)
            try:
                yield parts
            finally:
                await parts.aclose()
                nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await guard.stdin.aclose()
            await guard.wait()
