"""What a job writes into the worker's journal, without the journal's troubles becoming the job's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import trio

from ...base.logs import get_logger
from ...errors import StorageError
from ...protocol.jobs import JobComplete, JobFailed, JobStatus
from .answers import keep_log
from .store import Journal

RETRY_SEC: Final = 5.0

_log = get_logger(__name__)


class JobNotes:
    """The journal's page of one job. A disk that is full costs the page, never the training.

    Args:
        journal: Where the page is.
        job_id: Whose page it is.
    """

    def __init__(self, journal: Journal, job_id: str) -> None:
        self._journal = journal
        self._job_id = job_id
        self._unwritten: Callable[[], None] | None = None

    async def add_status(self, status: JobStatus) -> None:
        """Keeps a status."""
        await self._write(partial(self._journal.add_status, status))

    async def change(
        self,
        state: str,
        *,
        last_word: JobComplete | JobFailed | None = None,
        archive: Path | None = None,
    ) -> None:
        """Moves the job on to another state."""
        self._unwritten = partial(
            self._journal.change, self._job_id, state, last_word=last_word, archive=archive
        )
        await self._write_change()

    async def forget(self) -> None:
        """Takes the job's page out, as if there had been no such job."""
        self._unwritten = None
        await self._write(partial(self._journal.forget, self._job_id))

    async def keep_log(self, job_dir: Path) -> None:
        """Keeps the end of the trainer's log, before the job's folder goes."""
        await self._write(partial(keep_log, self._journal, self._job_id, job_dir))

    async def keep_trying(self) -> None:
        """Returns once the last change is written, however long the disk is full or the file locked."""
        while self._unwritten is not None:
            await trio.sleep(RETRY_SEC)
            await self._write_change()

    async def _write_change(self) -> None:
        change = self._unwritten
        if change is not None and await self._write(change) and self._unwritten is change:
            self._unwritten = None

    async def _write(self, write: Callable[[], None]) -> bool:
        try:
            await trio.to_thread.run_sync(write)
        except StorageError as error:
            _log.warning("The journal can't be written.", job=self._job_id, error=str(error))
            return False
        return True
