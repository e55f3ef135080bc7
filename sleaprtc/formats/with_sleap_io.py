"""Runs scripts that need sleap-io, by whichever Python has it.

Many clients have sleap-io only in SLEAP's own environment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from ..base.child_environment import without_secrets
from ..base.json_text import parse_json

TRAINER_PYTHON_VARIABLE: Final = "SLEAP_RTC_TRAINER_PYTHON"


@attrs.frozen
class ScriptAnswer:
    """How a script ended.

    Attributes:
        found: The JSON object that it printed last; empty if it printed none.
        exit_status: Its exit status.
    """

    found: Mapping[str, Any]
    exit_status: int


def python_with_sleap_io() -> str | None:
    """Returns a Python that should have sleap-io: this one, or the one that the environment has for training.

    A settings file may come with somebody else's labels, so on a client it can't name a program to run.
    """
    if find_spec("sleap_io") is not None:
        return sys.executable
    return os.environ.get(TRAINER_PYTHON_VARIABLE) or None


async def run_script(python: str, script: Path, arguments: Sequence[str], stdin: bytes = b"") -> ScriptAnswer:
    """Runs a script and returns its answer.

    Raises:
        OSError: The Python can't be run.
    """
    done = await trio.run_process(
        [python, str(script), *arguments],
        stdin=stdin,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        env=without_secrets(other_python=python != sys.executable),
        process_group=0,  # a terminal's Ctrl-C is meant for the command, which decides what it ends
    )
    try:
        answer = parse_json(done.stdout.decode().strip().rpartition("\n")[2])
    except ValueError:
        answer = {}
    return ScriptAnswer(answer if isinstance(answer, dict) else {}, done.returncode)
