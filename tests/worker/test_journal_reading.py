"""What a worker's journal gives back, and what is told of a log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sleaprtc.jobs.keys import attach_digest
from sleaprtc.protocol.jobs import JobLog, JobLogRequest, JobRequest, JobStatus
from sleaprtc.worker.journal.answers import MAX_KEPT_LOG_BYTES, keep_log, page_of_log
from sleaprtc.worker.journal.recovery import ResumeTokenFile
from sleaprtc.worker.journal.store import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal(tmp_path / "journal.sqlite3")) as opened:
        request = JobRequest("job", "training", attach_digest=attach_digest("key"))
        opened.begin("job", "client", request, tmp_path / "job")
        yield opened


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "job" / "work").mkdir(parents=True)
    return tmp_path / "job" / "work" / "trainer.log"


def page(journal: Journal, offset_bytes: int | None = None) -> JobLog:
    told = page_of_log(journal, JobLogRequest("job", "key", log_offset_bytes=offset_bytes))
    assert isinstance(told, JobLog)
    return told


def test_the_last_status_is_the_last_one(journal: Journal) -> None:
    assert journal.last_status("job") is None
    statuses = [JobStatus("job", "running", progress=number / 10, seq=number) for number in (1, 2, 3)]
    for status in statuses:
        journal.add_status(status)
    assert journal.last_status("job") == statuses[-1]
    assert journal.last_status("another") is None
    assert journal.statuses_after("job", 1) == statuses[1:]
    assert journal.statuses_after("job", 0, 2) == statuses[:2]


def test_a_log_is_told_to_its_end_though_the_last_line_is_not_whole(journal: Journal, log: Path) -> None:
    log.write_bytes(b"one\ntwo\nthr")
    assert (page(journal).trainer_log, page(journal, 4).trainer_log) == ("one\ntwo\nthr", "two\nthr")
    assert page(journal, 4).log_offset_bytes == 11
    assert not page(journal).has_more


def test_the_end_of_a_log_is_kept(journal: Journal, log: Path, tmp_path: Path) -> None:
    log.write_bytes(b"x" * 100 + b"y" * MAX_KEPT_LOG_BYTES)
    keep_log(journal, "job", tmp_path / "job")
    assert journal.kept_log("job") == (100, b"y" * MAX_KEPT_LOG_BYTES)


def test_a_log_that_cannot_be_read_is_none(journal: Journal, log: Path, tmp_path: Path) -> None:
    log.mkdir()
    assert (page(journal).trainer_log, page(journal, 5).trainer_log) == ("", "")
    keep_log(journal, "job", tmp_path / "job")
    assert journal.kept_log("job") == (0, b"")


@pytest.mark.parametrize(
    "content", ["", "5", "null", "{}", "[]", '["room"]', '["room", "gpu", 5]', '["room", "other", "token"]']
)
def test_a_resume_token_of_another_worker_or_of_nonsense_is_none(tmp_path: Path, content: str) -> None:
    file = ResumeTokenFile(tmp_path, "room", "gpu")
    assert file.read() is None
    file.write("token")
    assert file.read() == "token"
    (tmp_path / "resume.json").write_text(content)
    assert file.read() is None
