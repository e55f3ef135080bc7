"""Where a command's errors end: one sentence on standard error and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from typing import NoReturn

import trio

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


class _InterruptedError(SleapRTCError):
    code = "INTERRUPTED"
    exit_status = EXIT_INTERRUPTED


def ending(error: BaseException) -> SleapRTCError | None:
    """Says which one error a command ended with that raised ``error``.

    Returns:
        None where there is a programming error among the leaves, which deserves its traceback.
    """
    found = list(leaves(error))
    ours = [leaf for leaf in found if isinstance(leaf, SleapRTCError)]
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in found):
        return _InterruptedError("Interrupted.")
    if ours and all(isinstance(leaf, SleapRTCError | trio.Cancelled) for leaf in found):
        return ours[0]
    return None


def run(
    main: Callable[[], Awaitable[int | None]],
    *,
    on_error: Callable[[str, str, int], None] | None = None,
) -> NoReturn:
    """Runs an async command under Trio and leaves the process with its exit status (None is 0).

    Args:
        main: The command.
        on_error: Told code, sentence and exit status of an error, besides the sentence on standard error.
    """
    try:
        status = trio.run(main, strict_exception_groups=True)
    except SystemExit:
        raise
    except BaseException as error:
        status = _report(error, on_error)
    sys.exit(status or EXIT_DONE)


def _report(error: BaseException, on_error: Callable[[str, str, int], None] | None) -> int:
    ended = ending(error)
    if any(isinstance(leaf, BrokenPipeError | NobodyReadsError) for leaf in leaves(error)):
        # What is still buffered goes nowhere, instead of failing once more at the interpreter's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if ended is not None:
            print(f"Error: {printable(str(ended))}", file=sys.stderr)
        return EXIT_NOBODY_READS
    if ended is None:
        sys.excepthook(type(error), error, error.__traceback__)
        return EXIT_JOB_FAILED
    print(f"Error: {printable(str(ended))}", file=sys.stderr)
    if on_error is not None:
        on_error(ended.code, str(ended), ended.exit_status)
    return ended.exit_status
