"""Reading a file in a process of its own, which may crash, hang or run out of memory without harm.

The child is a module of this package that answers through :mod:`sleaprtc.formats.child_main`. It prints one
JSON object: its answer, or ``{"error": SENTENCE, "code": CODE}``. Only the child imports what reads the file.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Final

import trio

from ..base.child_environment import bare
from ..base.exception_groups import single_error
from ..base.json_text import parse_json
from ..base.sentences import as_clause
from ..errors import SleapRTCError, StorageError

PATIENCE_SEC: Final = 60.0
"""A dataset of 100,000 frames takes under two seconds."""

MAX_ANSWER_BYTES: Final = 16 * 2**20


async def ask_child(
    module: str,
    arguments: Sequence[str],
    name: str,
    error: type[SleapRTCError],
    *,
    as_what: str,
    others: tuple[type[SleapRTCError], ...] = (),
) -> dict[str, Any]:
    """Starts a module with its arguments and returns its answer.

    Args:
        module: Ends by calling :func:`sleaprtc.formats.child_main.answer`.
        arguments: Its arguments.
        name: The file's, for the sentence.
        error: What a broken file is to the caller.
        as_what: What it's read as, for the sentence.
        others: Errors of the child that are passed on as they are, by their codes.

    Raises:
        SleapRTCError: Of the class ``error``: the child says so, gives no answer, or takes too long.
        StorageError: The child says so, or can't be started.
    """
    unreadable = f"{name} can't be read as {as_what}."
    with trio.move_on_after(PATIENCE_SEC):
        # -P: otherwise a file in the working directory with the name of a module would be run.
        output = await _run([sys.executable, "-P", "-m", module, *arguments])
        try:
            found: dict[str, Any] = parse_json(output)
        except ValueError as cause:
            raise error(unreadable) from cause
        if "error" in found:
            known: tuple[type[SleapRTCError], ...] = (StorageError, *others)
            by_code = {other.code: other for other in known}
            raise by_code.get(str(found.get("code")), error)(str(found["error"]))
        return found
    raise error(f"{name} took longer than {PATIENCE_SEC:.0f} seconds to read, and was given up.")


async def _run(command: Sequence[str]) -> bytes:
    """Runs a command and returns its output, which is empty if it exceeds :data:`MAX_ANSWER_BYTES`."""
    output = bytearray()
    with single_error():
        async with trio.open_nursery() as nursery:  # a failure ends the reading of this file only
            process: trio.Process = await nursery.start(_start, command)
            assert process.stdout is not None
            async for block in process.stdout:
                output += block
                if len(output) > MAX_ANSWER_BYTES:
                    process.kill()
                    output.clear()
                    break
    return bytes(output)


async def _start(command: Sequence[str], task_status: trio.TaskStatus[trio.Process]) -> None:
    try:
        await trio.run_process(
            command,
            stdin=b"",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
            env=bare(),
            process_group=0,  # a terminal's Ctrl-C is meant for the command, which decides what it ends
            task_status=task_status,
        )
    except OSError as error:
        raise StorageError(f"No process can be started to read a file: {as_clause(error)}.") from error
