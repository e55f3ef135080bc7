"""What Ctrl-C does to a command: if its jobs run, it asks, since a training may be hours old."""

from __future__ import annotations

import os
import signal
import sys
import termios
import tty
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from typing import Final, TypeVar

import trio

from ...base.exception_groups import single_error
from ...commandline.run import to_standard_error
from ...errors import JobCancelledError
from ...protocol.vocabulary import JobType
from ..jobs.order.control import JobControl, RunningJob
from ..records.job_ids import short_id

T = TypeVar("T")


class Choice(Enum):
    """What becomes of the jobs that run."""

    STOP = auto()
    """They end early and keep what they have, which is fetched."""
    LEAVE = auto()
    """They continue without this command."""
    DISCARD = auto()
    """They end, and nothing of them is kept."""
    GO_ON = auto()
    """As if nothing had happened."""


KEYS: Final[Mapping[str, Choice]] = {
    "s": Choice.STOP,
    "l": Choice.LEAVE,
    "d": Choice.DISCARD,
    "c": Choice.GO_ON,
    "\x1b": Choice.GO_ON,
}


async def until_signalled(work: Callable[[], Awaitable[T]], sentence: str = "Cancelled.") -> T:
    """Runs ``work``, ending it in good order at the first SIGINT or SIGTERM.

    Args:
        work: What to run.
        sentence: What an interrupt means, for a person.

    Raises:
        JobCancelledError: A signal came.
    """
    results: list[T] = []
    with single_error():
        async with trio.open_nursery() as nursery:  # a failure of either task ends the command
            nursery.start_soon(_cancel_on_signal, nursery.cancel_scope)
            results.append(await work())
            nursery.cancel_scope.cancel()
    if not results:
        raise JobCancelledError(sentence)
    return results[0]


async def _cancel_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
            return


async def until_interrupted(work: Callable[[], Awaitable[None]], control: JobControl) -> None:
    """Runs a command that submits jobs. An interrupt doesn't end work that has begun unless a person says so.

    Before the work of any job has begun, SIGINT and SIGTERM cancel the command. After that, SIGINT on a
    terminal asks what to do. A second SIGINT, SIGTERM, and SIGINT without a terminal leave the jobs running.

    Args:
        work: The command. It leaves its jobs when it is cancelled, as ``control`` says.
        control: Knows what runs, and gets the answer.

    Raises:
        JobCancelledError: The command was interrupted before its end.
    """
    is_done = False
    with single_error():
        async with trio.open_nursery() as nursery:  # a failure of either task ends the command
            nursery.start_soon(_obey_signals, nursery.cancel_scope, control)
            await work()
            is_done = True
            nursery.cancel_scope.cancel()
    if not is_done:
        raise JobCancelledError(_what_became(control.left))


async def _obey_signals(command: trio.CancelScope, control: JobControl) -> None:
    question = _Question()
    async with trio.open_nursery() as nursery:  # a failure ends the command
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                may_ask = bool(control.running) and not control.stop_wanted.is_set() and not question.is_open
                if number != signal.SIGINT or not may_ask or not can_ask():
                    command.cancel()
                    return
                nursery.start_soon(_ask, question, command, control)


async def _ask(question: _Question, command: trio.CancelScope, control: JobControl) -> None:
    jobs = list(control.running.values())
    choice = await question.ask(jobs)
    if choice is Choice.STOP:
        to_standard_error("Ending early. What is kept comes next; Ctrl-C leaves that to the worker.")
        control.stop_wanted.set()
    elif choice is Choice.GO_ON:
        to_standard_error("Continuing.")
    else:
        control.is_discarding = choice is Choice.DISCARD
        command.cancel()


def can_ask() -> bool:
    """Whether somebody sits at a terminal who can read a question, and whose keys come here."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()  # else reading would stop this process
    except OSError:
        return False


def question_lines(jobs: Sequence[RunningJob]) -> Iterator[str]:
    """Yields the question for jobs that run, and a line for each key."""
    one, them = len(jobs) == 1, "it" if len(jobs) == 1 else "them"
    verb = "predicts" if jobs[0].job_type == JobType.INFERENCE else "trains"
    subject = f"Job {short_id(jobs[0].job_id)} {verb} on {jobs[0].worker}" if one else f"{len(jobs)} jobs run"
    yield f"{subject}. Press a key:"
    kept = "the predictions" if jobs[0].job_type == JobType.INFERENCE else "the best model"
    if can_be_left(jobs):
        yield f"  s  stop {them} and keep {kept if one else kept + ' of each'} so far"
        yield f"  l  leave {them} running, and end this command (so does another Ctrl-C)"
        yield f"  d  throw {them} away"
    else:
        yield f"  d  throw {them} away (so does another Ctrl-C: the worker can't continue by itself)"
    yield "  c  continue as before"


def can_be_left(jobs: Sequence[RunningJob]) -> bool:
    """Whether all jobs can continue without this command."""
    return all(job.can_be_left for job in jobs)


def choice_of(key: str, jobs: Sequence[RunningJob]) -> Choice | None:
    """Returns what a key means; None if nothing."""
    choice = KEYS.get(key.lower())
    return None if choice in (Choice.STOP, Choice.LEAVE) and not can_be_left(jobs) else choice


class _Question:
    """The question what becomes of the jobs, on standard error, and its answer from standard input."""

    def __init__(self) -> None:
        self.is_open = False

    async def ask(self, jobs: Sequence[RunningJob]) -> Choice:
        """Waits for a key that answers; the jobs continue meanwhile."""
        self.is_open = True
        try:
            with _single_keys(sys.stdin.fileno()) as terminal:
                for line in question_lines(jobs):
                    to_standard_error(line)
                while True:
                    await trio.lowlevel.wait_readable(terminal)
                    keys = os.read(terminal, 1)
                    choice = choice_of(keys.decode("ascii", "replace"), jobs) if keys else Choice.LEAVE
                    if choice is not None:
                        return choice
        finally:
            self.is_open = False


@contextmanager
def _single_keys(terminal: int) -> Iterator[int]:
    """Makes a terminal hand over each key at once and not show it. Ctrl-C stays a signal.

    What was typed before is discarded: a "d" of half an hour ago is no answer.
    """
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal, termios.TCSAFLUSH)
    try:
        yield terminal
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _what_became(left: Sequence[RunningJob]) -> str:
    if not left:
        return "Cancelled."
    return "Interrupted; the job continues." if len(left) == 1 else f"Interrupted; {len(left)} jobs continue."
