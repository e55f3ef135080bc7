"""Where a command's errors end: one sentence on standard error and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import NoReturn

import trio

from .errors import EXIT_INTERRUPTED, EXIT_JOB_FAILED, SleapRTCError
from .exception_groups import leaves


def exit_status_and_sentence(error: BaseException) -> tuple[int, str] | None:
    """Says how a command ends that raised ``error``.

    Returns:
        Exit status and sentence, or None where there is a programming error among the leaves, which
        deserves its traceback.
    """
    found = list(leaves(error))
    ours = [leaf for leaf in found if isinstance(leaf, SleapRTCError)]
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in found):
        return EXIT_INTERRUPTED, "Interrupted."
    if ours and all(isinstance(leaf, SleapRTCError | trio.Cancelled) for leaf in found):
        return ours[0].exit_status, str(ours[0])
    return None


def run(main: Callable[[], Awaitable[int | None]]) -> NoReturn:
    """Runs an async command under Trio and leaves the process with its exit status (None is 0)."""
    try:
        status = trio.run(main, strict_exception_groups=True)
    except BaseException as error:
        ending = exit_status_and_sentence(error)
        if ending is None:
            if isinstance(error, SystemExit):
                raise
            sys.excepthook(type(error), error, error.__traceback__)
            sys.exit(EXIT_JOB_FAILED)
        status, sentence = ending
        print(f"Error: {sentence}", file=sys.stderr)
    sys.exit(status or 0)
