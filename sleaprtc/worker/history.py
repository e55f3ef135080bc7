"""The worker's past trainings, one JSON line each, from which it estimates the next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import attrs

from ..jobs.estimate import PastJob
from ..logs import get_logger

MAX_PAST_JOBS: Final = 500

_log = get_logger(__name__)


class History:
    """A file of past trainings; lines that can't be read are passed over.

    Args:
        path: The file, made with the first job.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.jobs: list[PastJob] = _read(path)

    def add(self, job: PastJob) -> None:
        """Remembers a training; one that can't be written to disk is remembered until the worker ends."""
        self.jobs = [*self.jobs, job][-MAX_PAST_JOBS:]
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(attrs.asdict(job)) + "\n")
        except OSError as error:
            _log.warning("The history of trainings can't be written.", error=str(error))


def _read(path: Path) -> list[PastJob]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    jobs = []
    for line in lines[-MAX_PAST_JOBS:]:
        try:
            record = json.loads(line)
            jobs.append(
                PastJob(
                    str(record["model_type"]),
                    int(record["frame_count"]),
                    int(record["epochs"]),
                    float(record["duration_sec"]),
                )
            )
        except (ValueError, KeyError, TypeError):
            continue
    return jobs
