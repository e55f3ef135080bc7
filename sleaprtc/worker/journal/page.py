"""What a job writes into the worker's journal; a journal that can't be written doesn't fail the job."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import trio

from ...base.logs import get_logger
from ...errors import StorageError
from ...jobs.life import Cause
from ...protocol.jobs import JobComplete, JobFailed, JobStatus
from .answers import keep_log
from .store import Journal

RETRY_SEC: Final = 5.0

_log = get_logger(__name__)


class JobNotes:
    """The journal's page of one job. A full disk costs the page, never the training.

    Moves that couldn't be written are kept, and written in their order before the next one.

    Args:
        journal: The journal.
        job_id: The job that the page is about.
    """

    def __init__(self, journal: Journal, job_id: str) -> None:
        self._journal = journal
        self._job_id = job_id
        self._unwritten: deque[Callable[[], object]] = deque()
        self._writing = trio.Lock()

    async def add_status(self, status: JobStatus) -> None:
        """Keeps a status."""
        await self._write(partial(self._journal.add_status, status))

    async def move(
        self,
        cause: Cause,
        *,
        last_word: JobComplete | JobFailed | None = None,
        archive: Path | None = None,
    ) -> None:
        """Moves the job on to another state."""
        self._unwritten.append(
            partial(self._journal.move, self._job_id, cause, last_word=last_word, archive=archive)
        )
        await self.catch_up()

    async def note_stop(self) -> None:
        """Notes that the client asked to end the job early."""
        await self._write(partial(self._journal.note_stop, self._job_id))

    async def note_progress(self) -> None:
        """Notes that resumed work has made progress."""
        await self._write(partial(self._journal.note_progress, self._job_id))

    async def keep_log(self, job_dir: Path) -> None:
        """Keeps the end of the trainer's log before the job's folder is deleted."""
        await self._write(partial(keep_log, self._journal, self._job_id, job_dir))

    async def catch_up(self) -> None:
        """Writes the moves that couldn't be written so far, if that is possible now."""
        async with self._writing:
            while self._unwritten and await self._write(self._unwritten[0]):
                self._unwritten.popleft()

    async def keep_trying(self) -> None:
        """Returns once all moves are written, however long the disk is full or the file is locked."""
        while self._unwritten:
            await trio.sleep(RETRY_SEC)
            await self.catch_up()

    async def _write(self, write: Callable[[], object]) -> bool:
        try:
            await trio.to_thread.run_sync(write)
        except StorageError as error:
            _log.warning("The journal can't be written.", job=self._job_id, error=str(error))
            return False
        return True
