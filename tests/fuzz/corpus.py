"""Inputs that fuzzing has found worth keeping: a file a target, an input a line, in base64."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).with_name("corpus")


def load(name: str) -> list[bytes]:
    """Reads a target's inputs."""
    return [base64.b64decode(line, validate=True) for line in _file(name).read_text().split()]


def save(name: str, inputs: Iterable[bytes]) -> None:
    """Writes a target's inputs, the shortest first."""
    lines = sorted({base64.b64encode(data).decode() for data in inputs}, key=lambda line: (len(line), line))
    _file(name).write_text("".join(f"{line}\n" for line in lines))


def _file(name: str) -> Path:
    return FOLDER / f"{name}.txt"
