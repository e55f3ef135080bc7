"""How a job is named to a person: by the beginning of its id."""

from __future__ import annotations

from typing import Final

SHOWN_ID_LENGTH: Final = 8
"""The characters of a job's id that are shown. Commands accept them in place of the whole id."""


def short_id(job_id: str) -> str:
    """Returns the part of a job's id that is shown to a person."""
    return job_id[:SHOWN_ID_LENGTH]
