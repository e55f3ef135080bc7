"""Deletes everything that a worker has of a job, and checks that it is gone."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import trio

from ...base.logs import get_logger
from ...base.sentences import as_clause
from ...errors import StorageError
from ...jobs import life
from ...jobs.keys import attach_digest, is_key_of
from ...jobs.life import Cause, State
from ...protocol.jobs import AppError, JobMessage, JobPurge, JobPurged, JobRequest
from ...protocol.vocabulary import ErrorCode
from ..journal.answers import unknown_job
from ..journal.recovery import forget_old
from ..journal.store import Journal
from .cache import FileCache
from .folder import remove_folder
from .job import Job

_log = get_logger(__name__)


def cache_name(request: JobRequest) -> str:
    """Returns the name under which the cache knows a job's files."""
    return request.attach_digest or request.job_id


class Purge:
    """Deletes what a worker has of jobs.

    Args:
        journal: The worker's journal.
        cache: Files of earlier jobs, or None if none are kept.
    """

    def __init__(self, journal: Journal, cache: FileCache | None) -> None:
        self._journal = journal
        self._cache = cache

    async def answer(self, request: JobPurge, job: Job | None) -> JobMessage:
        """Deletes everything of a client's own job that is over; returns the reply.

        A job that isn't here, or only its files are, is treated the same: the request may be a repeated one.

        Args:
            request: The client's request.
            job: The job, if it isn't over yet, even if only its result waits for its client.
        """
        try:
            return await self._answer(request, job)
        except StorageError as error:
            _log.warning("A job can't be purged.", job=request.job_id, error=str(error))
            return AppError(ErrorCode.NOT_PURGED, str(error), recoverable=True, job_id=request.job_id)

    async def _answer(self, request: JobPurge, job: Job | None) -> JobMessage:
        entry = await trio.to_thread.run_sync(self._journal.find, request.job_id)
        known = [*([] if entry is None else [entry.request]), *([] if job is None else [job.request])]
        if not all(is_key_of(its_request, request.attach_key) for its_request in known):
            return unknown_job(request.job_id)
        states = [*([] if entry is None else [entry.state]), *([] if job is None else [job.state])]
        if any(map(life.is_underway, states)):
            return AppError(ErrorCode.STILL_RUNNING, "The job still runs.", job_id=request.job_id)
        if job is not None:  # its result waits for its client
            await job.cancel(Cause.PURGED)
        name = attach_digest(request.attach_key)
        await trio.to_thread.run_sync(self._delete_all, request.job_id, name, Cause.PURGED)
        _log.info("Everything of the job is deleted.", job=request.job_id)
        return JobPurged(request.job_id)

    async def keep_nothing(self, job: Job) -> None:
        """Deletes everything of an ephemeral job. Of one whose end its client may not know, that is kept."""
        await job.catch_up()
        is_known = job.state is State.ABSENT or job.was_told
        delete = (
            partial(self._delete_all, cause=Cause.EPHEMERAL_OVER) if is_known else self._delete_all_but_end
        )
        try:
            await trio.to_thread.run_sync(delete, job.job_id, cache_name(job.request))
        except StorageError as error:  # it is tried again with the old jobs
            _log.warning("An ephemeral job can't be deleted yet.", job=job.job_id, error=str(error))

    def forget_old(self, now: float, keep_sec: float, jump_sec: float) -> None:
        """Deletes old jobs (:func:`..journal.recovery.forget_old`), and what is too old in the cache.

        Raises:
            StorageError: The journal can't be read or written.
        """
        forgotten = forget_old(self._journal, now, keep_sec, jump_sec)
        if self._cache is None:
            return
        for entry in forgotten:
            if entry.request.ephemeral:
                with suppress(OSError):
                    self._cache.delete_files_of(cache_name(entry.request))
        self._cache.clean(now)

    def _delete_all(self, job_id: str, name: str, cause: Cause) -> None:
        """Deletes a job's folder, its files in the cache, and its page, statuses and log in the journal.

        The page goes last: a worker that is killed meanwhile still knows whose the rest is.

        Raises:
            StorageError: Something couldn't be deleted.
        """
        self._delete_files(job_id, name)
        self._journal.forget_for_good(job_id, cause)

    def _delete_all_but_end(self, job_id: str, name: str) -> None:
        self._delete_files(job_id, name)
        self._journal.forget_course(job_id)

    def _delete_files(self, job_id: str, name: str) -> None:
        entry = self._journal.find(job_id)
        try:
            if entry is not None:
                remove_folder(entry.directory)
            if self._cache is not None:
                self._cache.delete_files_of(name)
        except OSError as error:
            raise StorageError(
                f"Not all files of the job can be deleted: {as_clause(error)}. Its owner can fix that."
            ) from error
