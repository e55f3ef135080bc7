"""``client limit``: the rate at which the files of jobs that are followed here are transferred."""

from __future__ import annotations

from ...commandline.json_lines import print_json
from ...errors import UsageError
from ..events.job import as_json_object
from ..events.orders import Limited
from ..records.files import JobRecord, find, load_all
from ..records.job_ids import short_id
from ..records.limits import is_followed, set_limit


async def limit_jobs(bytes_per_sec: float | None, job: str | None, *, as_json: bool) -> None:
    """Changes the limit of one job, or of all that processes of this user follow here, and prints it."""
    for record in _followed(job):
        sentence = set_limit(record.job_id, bytes_per_sec)
        if as_json:
            print_json(as_json_object(Limited(record.job_id, bytes_per_sec)))
        else:
            print(sentence)


def _followed(job: str | None) -> list[JobRecord]:
    """Returns the jobs that are meant.

    Raises:
        UsageError: None is followed here, or not the one that is named.
    """
    if job is None:
        found = [record for record in load_all() if is_followed(record.job_id)]
        if not found:
            raise UsageError("No command follows a job here now, so there is nothing to limit.")
        return found
    record = find(job)
    if not is_followed(record.job_id):
        name = short_id(record.job_id)
        raise UsageError(f"No command follows job {name} here now, so there is nothing to limit.")
    return [record]
