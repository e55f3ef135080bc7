"""How a command runs and ends: errors as one sentence on standard error, and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar, NoReturn

import attrs
import trio

from ..base.awake_clock import AwakeClock
from ..base.exception_groups import leaves
from ..base.printable import printable
from ..errors import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_JOB_FAILED,
    EXIT_NOBODY_READS,
    NobodyReadsError,
    SleapRTCError,
)
from .json_lines import print_json


@attrs.frozen
class CommandFailed:
    """The command ends without a result; what it prints then with ``--json``."""

    event: ClassVar[str] = "error"
    code: str
    message: str
    exit_status: int


class _InterruptedError(SleapRTCError):
    code = "INTERRUPTED"
    exit_status = EXIT_INTERRUPTED


def ending(error: BaseException) -> SleapRTCError | None:
    """Reduces what a command raised to the one error that ended it.

    Returns:
        None if a programming error is among the leaves, which deserves its traceback.
    """
    found = list(leaves(error))
    ours = [leaf for leaf in found if isinstance(leaf, SleapRTCError)]
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in found):
        return _InterruptedError("Interrupted.")
    if ours and all(isinstance(leaf, SleapRTCError | trio.Cancelled) for leaf in found):
        return ours[0]
    return None


def run(main: Callable[[], Awaitable[int | None]], *, as_json: bool = False) -> NoReturn:
    """Runs an async command under Trio and exits with its status (None is 0).

    Its time is the time awake, see :mod:`sleaprtc.base.awake_clock`.

    Args:
        main: The command.
        as_json: Whether to print an error as a JSON object too, besides the sentence on standard error.
    """
    try:
        status = trio.run(main, clock=AwakeClock(), strict_exception_groups=True)
    except SystemExit:
        raise
    except BaseException as error:
        status = _report(error, as_json=as_json)
    sys.exit(status or EXIT_DONE)


@contextmanager
def errors_reported(*, as_json: bool) -> Iterator[None]:
    """Ends the process as :func:`run` does if the block raises an error of this package."""
    try:
        yield
    except SleapRTCError as error:
        sys.exit(_report(error, as_json=as_json))


def to_standard_error(sentence: str) -> None:
    """Prints a sentence for a person, apart from what programs read; it may quote what others sent."""
    print(printable(sentence), file=sys.stderr)


def _report(error: BaseException, *, as_json: bool) -> int:
    ended = ending(error)
    if any(isinstance(leaf, BrokenPipeError | NobodyReadsError) for leaf in leaves(error)):
        # What is still buffered is dropped; otherwise writing it would fail again when the interpreter exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if ended is not None:
            to_standard_error(f"Error: {ended}")
        return EXIT_NOBODY_READS
    if ended is None:
        sys.excepthook(type(error), error, error.__traceback__)
        return EXIT_JOB_FAILED
    to_standard_error(f"Error: {ended}")
    if as_json:
        failed = CommandFailed(ended.code, str(ended), ended.exit_status)
        print_json({"event": failed.event, **attrs.asdict(failed)})
    return ended.exit_status
