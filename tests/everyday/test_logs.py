"""What a job said, and what its trainer printed, while it runs and when it is over."""

import attrs
import pytest

from sleaprtc.client.display.job_lines import trainer_lines
from sleaprtc.client.jobs.inquiries.ask import open_asker
from sleaprtc.client.records.files import load_all
from sleaprtc.errors import TrainerError, UnknownJobError
from sleaprtc.jobs.keys import attach_digest
from sleaprtc.jobs.life import Cause
from sleaprtc.protocol.jobs import JobLogRequest, JobRequest, JobStatus
from sleaprtc.worker.journal.answers import (
    MAX_KEPT_LOG_BYTES,
    MAX_LOG_BYTES_PER_ANSWER,
    keep_log,
    page_of_log,
)
from sleaprtc.worker.journal.store import Journal

from ..support.lab import ScriptedTrainer


class PrintingTrainer(ScriptedTrainer):
    """Prints a line before its training and one at its end, as sleap-nn does."""

    async def train(self, job, *, report, stop):
        log = job.work_dir / "trainer.log"
        log.write_text("\x1b[32mLoading\x1b[0m labels\n 10%|# |\r100%|##|\nhalf a l")
        try:
            return await super().train(job, report=report, stop=stop)
        finally:
            with log.open("a") as file:
                file.write("ine\nThe end\n")


async def test_a_log_is_followed_to_the_end(lab, client, labels):
    trainer = PrintingTrainer(hold=True, epochs=3)
    async with lab.worker("gpu-1", trainer):
        job = await client.train(labels)
        following = await client.start("logs", "-f", job[:8])
        await following.until("| 100%|##|\n")
        assert "half" not in following.out
        assert "epoch 1/3" in following.out
        trainer.go_on.set()
        ended = await following.end()
        assert ended.status == 0
        lines = ended.stdout.splitlines()
        assert [line for line in lines if line.startswith("|")] == [
            "| Loading labels",
            "| 100%|##|",
            "| half a line",
            "| The end",
        ]
        assert sum("epoch 3/3" in line for line in lines) == 1
        assert (await client.run("fetch", job)).status == 0
        late = await client.run("logs", job, "--json")
        assert [line["line"] for line in late.objects if line["event"] == "log"][-1] == "The end"


async def test_the_log_of_a_failure_is_kept(lab, client, labels):
    trainer = PrintingTrainer(failure=TrainerError("Out of memory.", error_code="OUT_OF_MEMORY"))
    async with lab.worker("gpu-1", trainer):
        failed = await client.run("train", labels, "--ice-loopback")
        assert failed.status == 1
        (record,) = load_all()
        shown = await client.run("logs", record.job_id)
        assert shown.status == 0
        assert "| The end" in shown.stdout
        assert shown.stdout.endswith("The job failed: Out of memory.\n")


async def test_nobody_without_the_key_reads_or_ends_a_job(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer):
        await client.train(labels)
        (record,) = load_all()
        async with open_asker(attrs.evolve(record, attach_key="guessed")) as thief:
            for ask in (thief.state, lambda: thief.log(0, None), thief.stop, thief.cancel):
                with pytest.raises(UnknownJobError):
                    await ask()
        assert trainer.running == 1
        assert not trainer.stopped_early


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("a\n\nb", ["a", "b"]),
        ("10%\r20%\r\nend", ["20%", "end"]),
        ("\x1b[1;31mred\x1b[0m\x1b[2K", ["red"]),
        ("bell\x07 \x1b]0;title\x07", ["bell\ufffd \ufffd]0;title\ufffd"]),
    ],
)
def test_nothing_printed_moves_the_cursor(printed, shown):
    assert list(trainer_lines(printed)) == shown


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite3")
    request = JobRequest("job", "training", attach_digest=attach_digest("key"))
    journal.begin("job", "client", request, tmp_path / "job")
    (tmp_path / "job" / "training").mkdir(parents=True)
    yield journal
    journal.close()


def pages(journal):
    """Everything that is told, page by page."""
    request = JobLogRequest("job", "key", 0, 0)
    while True:
        page = page_of_log(journal, request)
        yield page
        seq = max([request.after_seq, *(status.seq for status in page.statuses)])
        request = attrs.evolve(request, after_seq=seq, log_offset_bytes=page.log_offset_bytes)
        if not page.has_more:
            return


def test_a_long_log_is_told_in_pages_that_fit_into_a_message(journal, tmp_path):
    import json

    from sleaprtc.protocol.codec import encode_job_message
    from sleaprtc.protocol.limits import MAX_FRAME_BYTES

    for seq in range(1, 501):
        journal.add_status(JobStatus("job", "running", seq=seq, message="\x00" * (seq * 4)))
    text = "".join(f"{number}\x01\n" for number in range(20_000))
    (tmp_path / "job" / "training" / "trainer.log").write_text(text)
    told = list(pages(journal))
    assert [status.seq for page in told for status in page.statuses] == list(range(1, 501))
    assert "".join(page.trainer_log for page in told) == text
    assert all(page.trainer_log.endswith("\n") for page in told if page.trainer_log)
    assert all(len(json.dumps(encode_job_message(page))) < MAX_FRAME_BYTES for page in told)


def test_a_line_without_end_is_told_too(journal, tmp_path):
    (tmp_path / "job" / "training" / "trainer.log").write_bytes(b"\xff" * 60_000)
    told = list(pages(journal))
    assert [len(page.trainer_log) for page in told[:2]] == [MAX_LOG_BYTES_PER_ANSWER] * 2
    assert sum(len(page.trainer_log) for page in told) == 60_000


def test_of_a_job_that_is_over_the_end_of_the_log_is_kept(journal, tmp_path):
    log = tmp_path / "job" / "training" / "trainer.log"
    log.write_bytes(b"x" * 100_000 + b"\nthe end\n")
    keep_log(journal, "job", tmp_path / "job")
    log.unlink()
    tail = page_of_log(journal, JobLogRequest("job", "key"))
    assert tail.trainer_log.endswith("the end\n")
    assert tail.log_offset_bytes == 100_009
    from_start = "".join(page.trainer_log for page in pages(journal))
    assert len(from_start) == MAX_KEPT_LOG_BYTES
    beyond = page_of_log(journal, JobLogRequest("job", "key", 0, 10**12))
    assert (beyond.trainer_log, beyond.has_more) == ("", False)
    journal.move("job", Cause.WITHDRAWN)
    assert journal.kept_log("job") == (0, b"")
