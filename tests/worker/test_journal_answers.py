"""What a worker tells of a job whose folder may go at any moment."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sleaprtc.jobs.keys import attach_digest
from sleaprtc.protocol.jobs import JobLog, JobLogRequest, JobRequest
from sleaprtc.worker.journal.answers import keep_log, page_of_log
from sleaprtc.worker.journal.store import Journal


def test_a_folder_that_goes_while_its_log_is_looked_for_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> Any:
        raise FileNotFoundError(2, "No such file or directory")

    request = JobRequest("job-1", "training", attach_digest=attach_digest("k"))
    with closing(Journal(tmp_path / "journal.sqlite3")) as journal:
        journal.begin("job-1", "client", request, tmp_path)
        monkeypatch.setattr(Path, "glob", gone)
        answer = page_of_log(journal, JobLogRequest("job-1", "k"))
        assert isinstance(answer, JobLog)
        assert (answer.trainer_log, answer.has_more) == ("", False)
        keep_log(journal, "job-1", tmp_path)
