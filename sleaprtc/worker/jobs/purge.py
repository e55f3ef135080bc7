"""Deletes everything that a worker has of a job, and checks that it is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

from ...base.sentences import as_clause
from ...errors import StorageError
from ...protocol.jobs import JobRequest
from ..journal.store import Journal
from .cache import FileCache


def cache_name(request: JobRequest) -> str:
    """Returns the name under which the cache knows a job's files."""
    return request.attach_digest or request.job_id


def purge(journal: Journal, cache: FileCache | None, job_id: str, name: str) -> None:
    """Deletes a job's folder, its files in the cache, and its page, statuses and log in the journal.

    The page goes last: a worker that is killed meanwhile still knows whose the rest is.

    Args:
        journal: The worker's journal. It may have forgotten the job.
        cache: Files of earlier jobs, or None if none are kept.
        job_id: The job, which must be over.
        name: The job's name in the cache.

    Raises:
        StorageError: Something couldn't be deleted.
    """
    _delete_files(journal, cache, job_id, name)
    journal.forget_for_good(job_id)


def purge_all_but_end(journal: Journal, cache: FileCache | None, job_id: str, name: str) -> None:
    """Deletes all that :func:`purge` does, except for the page that says how the job ended.

    Raises:
        StorageError: Something couldn't be deleted.
    """
    _delete_files(journal, cache, job_id, name)
    journal.forget_course(job_id)


def _delete_files(journal: Journal, cache: FileCache | None, job_id: str, name: str) -> None:
    entry = journal.find(job_id)
    try:
        if entry is not None:
            _remove_folder(entry.directory)
        if cache is not None:
            cache.delete_files_of(name)
    except OSError as error:
        raise StorageError(
            f"Not all files of the job can be deleted: {as_clause(error)}. The worker's owner can mend that."
        ) from error


def _remove_folder(folder: Path) -> None:
    while folder.exists():
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue  # somebody else deletes it too
