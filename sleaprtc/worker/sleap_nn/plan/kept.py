"""The plans of a training, in the job's folder: a training that was cut short resumes with the same ones."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from ....base.json_text import parse_json
from .training import ModelPlan

FILE_NAME: Final = "plan.json"
"""No file of a client can have this name: labels end in ``.slp``."""


def write_plans(folder: Path, plans: Sequence[ModelPlan]) -> None:
    """Writes plans down; the file is whole or not there.

    Raises:
        OSError: The folder can't be written to.
    """
    part = folder / f"{FILE_NAME}.part"
    with part.open("w", encoding="utf-8") as file:
        json.dump([attrs.asdict(plan) for plan in plans], file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / FILE_NAME)


def read_plans(folder: Path) -> tuple[ModelPlan, ...] | None:
    """Returns the plans that were written down; None if there are none, or none that this version can read.

    Raises:
        OSError: The folder can't be read.
    """
    try:
        written = parse_json((folder / FILE_NAME).read_text(encoding="utf-8"))
        return tuple(
            ModelPlan(**{**plan, "given": tuple(plan["given"]), "chosen": tuple(plan["chosen"])})
            for plan in written
        )
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
