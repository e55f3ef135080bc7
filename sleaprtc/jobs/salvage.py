"""Recovers what matters from a malformed job message."""

from __future__ import annotations

from ..protocol.jobs import JobCancelled, JobComplete, JobError, JobFailed, JobMessage
from ..protocol.messages import JSONObject
from ..protocol.vocabulary import ClientErrorCode


def last_word(payload: JSONObject) -> JobMessage | None:
    """Recognizes the end of a job even in a malformed message, so that nobody waits for it forever."""
    job_id = payload.get("job_id")
    if not isinstance(job_id, str):
        return None
    kind = payload.get("app_message_type")
    if kind == JobFailed.app_message_type:
        return JobFailed(job_id, JobError(ClientErrorCode.UNREADABLE, _failure_sentence(payload)))
    if kind == JobComplete.app_message_type:
        return JobComplete(job_id)
    if kind == JobCancelled.app_message_type:
        return JobCancelled(job_id)
    return None


def _failure_sentence(payload: JSONObject) -> str:
    error = payload.get("error")
    said = error.get("message") if isinstance(error, dict) else error
    return said if isinstance(said, str) and said else "The worker says that the job failed, but not why."
