"""``client jobs``."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ...commandline.json_lines import print_json
from ..display import jobs_table, print_table
from ..records import files


async def list_jobs(wanted: Sequence[str], *, forget: bool, as_json: bool) -> None:
    """Prints the records of jobs, all by default; with ``forget``, removes those that are wanted or over."""
    files.forget_old(time.time())
    found = [files.find(job) for job in wanted] if wanted else files.load_all()
    if forget:
        found = [record for record in found if wanted or record.is_over]
        for record in found:
            files.forget(record)
    if as_json:
        for record in found:
            print_json(files.public_fields(record))
    elif forget:
        print(f"Forgot {len(found)} job{'' if len(found) == 1 else 's'}.")
    elif found:
        print_table(jobs_table(found))
    else:
        print("No jobs yet.")
