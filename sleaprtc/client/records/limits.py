"""The limit of a job's transfers, which another command may change while one follows the job."""

from __future__ import annotations

import logging

from ...base.held_files import held, is_held
from ...base.sentences import as_sentence
from ...errors import SleapRTCError
from ...transfer.limit_file import LimitFile, limited
from ...transfer.rate_limit import RateLimit
from ..events.job import Emit, Notice
from .files import followed_path, limit_path
from .job_ids import short_id

_log = logging.getLogger(__name__)


def is_followed(job_id: str) -> bool:
    """Whether a process of this user, on this machine, follows a job.

    Raises:
        OpenFolderError: Others have access to the state folder.
    """
    return is_held(followed_path(job_id))


def set_limit(job_id: str, bytes_per_sec: float | None) -> str:
    """Changes the limit of the process that follows a job; returns a sentence about it.

    Raises:
        OpenFolderError: Others have access to the state folder.
        StorageError: The folder can't be written.
    """
    LimitFile(limit_path(job_id)).write(bytes_per_sec)
    return limited(f"Job {short_id(job_id)}", bytes_per_sec)


async def obey_limit(job_id: str, limit: RateLimit, emit: Emit) -> None:
    """Follows changes of a job's limit until cancelled. Without a state folder there are none.

    Args:
        job_id: The job that this process follows.
        limit: The limit of this process, which all of its jobs share.
        emit: Called with a notice of each change.
    """
    try:
        file = LimitFile(limit_path(job_id))
        file.clear()
        with held(followed_path(job_id)):
            await file.obey(limit, lambda rate: emit(Notice(limited(f"Job {short_id(job_id)}", rate))))
    except (SleapRTCError, OSError) as error:
        _log.warning("The limit of job %s can't be changed: %s", short_id(job_id), as_sentence(error))
