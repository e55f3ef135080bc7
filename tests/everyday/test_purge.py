"""Data goes when it should: what a purged or ephemeral job leaves on its worker is nothing, to the byte."""

from __future__ import annotations

import json
import os
from pathlib import Path

import attrs
import pytest

from sleaprtc.client.jobs.attach import attach_to_job
from sleaprtc.client.jobs.inquiries.ask import open_asker
from sleaprtc.client.jobs.inquiries.purge import purge_job
from sleaprtc.client.jobs.order.filters import WhichWorker
from sleaprtc.client.records.files import JobRecord, find, load_all
from sleaprtc.errors import JobFailedError, NoWorkerError, UnknownJobError
from sleaprtc.protocol.jobs import AppError, JobPurge, JobPurged
from sleaprtc.worker.jobs.cache import FileCache
from sleaprtc.worker.journal.recovery import forget_old
from sleaprtc.worker.journal.store import Journal
from sleaprtc.worker.trainer import LOG_NAME

from ..support.client_jobs import is_in_state
from ..support.job_messages import answer
from ..support.lab import LOOPBACK, ScriptedTrainer, make_labels
from ..support.waiting import until

EPHEMERAL = WhichWorker().that_keep_nothing()
PRINTED = "a line that the trainer printed about the flies"


class Printing(ScriptedTrainer):
    """Leaves a log, as sleap-nn does."""

    async def train(self, job, *, report, stop):
        (job.work_dir / LOG_NAME).write_text(PRINTED)
        return await super().train(job, report=report, stop=stop)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_labels(tmp_path / "very-secret-flies.pkg.slp", padding_bytes=50_000)


def cache_in(lab) -> FileCache:
    return FileCache(lab.tmp_path / "cache", 10**9)


def kept(lab, name: str = "gpu-1") -> dict[str, bytes]:
    """Everything that a worker has on its disk, by path."""
    places = [
        *lab.tmp_path.glob(f"{name}.sqlite3*"),
        *(lab.tmp_path / name).rglob("*"),
        *(lab.tmp_path / "cache").rglob("*"),
    ]
    return {
        str(path.relative_to(lab.tmp_path)): path.read_bytes() if path.is_file() else b"" for path in places
    }


def traces(lab, *words: str, name: str = "gpu-1") -> list[str]:
    """The files that have one of these words in their content or their path."""
    return [
        path
        for path, content in kept(lab, name).items()
        if any(word in path or word.encode() in content for word in words)
    ]


def has_dataset(lab, dataset: Path) -> bool:
    return dataset.read_bytes() in kept(lab).values()


async def asked(peer, message):
    await peer.send_job_message("gpu-1", message)
    return await answer(peer)


async def completed_on_worker(job: str) -> None:
    async with open_asker(find(job)) as asker:
        await until(lambda: is_in_state(asker, "completed"))


def request_of(record: JobRecord) -> JobPurge:
    return JobPurge(record.job_id, record.attach_key)


async def test_a_purged_job_leaves_no_byte_on_its_worker(lab, dataset):
    async with lab.worker("gpu-1", Printing(), cache=cache_in(lab)):
        await lab.train(dataset)
        (record,) = load_all()
        words = (record.job_id, "very-secret-flies", PRINTED)
        assert has_dataset(lab, dataset)
        assert traces(lab, *words)
        await purge_job(record, even_unfetched=False)
        assert not has_dataset(lab, dataset)
        assert traces(lab, *words) == []
        assert set(kept(lab)) <= {"gpu-1.sqlite3", "gpu-1.sqlite3-shm", "gpu-1.sqlite3-wal"}
        after = find(record.job_id)
        assert after.state == "completed"
        assert after.purged_at is not None
        assert after.results == find(record.job_id).results != ()
        assert (lab.tmp_path / "models" / "centroid" / "best.ckpt").exists()
        await purge_job(after, even_unfetched=False)  # which may be asked for twice


async def test_another_job_with_the_same_dataset_keeps_what_is_its_own(lab, dataset):
    async with lab.worker("gpu-1", Printing(), cache=cache_in(lab)):
        await lab.train(dataset)
        await lab.train(dataset)
        second, first = load_all()
        await purge_job(first, even_unfetched=False)
        assert not has_dataset(lab, dataset)  # it is the first one's, too
        assert traces(lab, first.job_id) == []
        async with open_asker(second) as asker:
            assert await is_in_state(asker, "delivered")
            assert PRINTED in (await asker.log(0, None)).trainer_log
        with pytest.raises(UnknownJobError, match="was purged"):
            await attach_to_job(find(first.job_id), connection=LOOPBACK)


async def test_files_that_outlived_the_job_s_page_go_too(lab, dataset):
    async with lab.worker("gpu-1", cache=cache_in(lab)):
        await lab.train(dataset)
        (record,) = load_all()
        journal = Journal(lab.tmp_path / "gpu-1.sqlite3")
        assert [entry.job_id for entry in forget_old(journal, 1e12, 0)] == [record.job_id]
        journal.close()
        assert has_dataset(lab, dataset)
        await purge_job(record, even_unfetched=False)
        assert kept(lab).keys() <= {"gpu-1.sqlite3", "gpu-1.sqlite3-shm", "gpu-1.sqlite3-wal"}


async def test_a_running_job_is_refused_and_goes_on(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer):
        job = await client.train(labels)
        ended = await client.run("purge", job)
        assert ended.status == 2
        assert f"sleap-rtc client stop {job[:8]}" in ended.stderr
        async with lab.peer("me") as peer:  # the worker itself refuses it, too
            refusal = await asked(peer, request_of(find(job)))
        assert isinstance(refusal, AppError)
        assert refusal.error_code == "STILL_RUNNING"
        trainer.go_on.set()
        ended = await client.run("attach", job, "--ice-loopback")
        assert ended.status == 0, ended


async def test_an_unfetched_result_is_purged_only_on_request(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer, cache=cache_in(lab)):
        job = await client.train(labels)
        trainer.go_on.set()
        await completed_on_worker(job)
        ended = await client.run("purge", job)
        assert ended.status == 2
        assert f"sleap-rtc client fetch {job[:8]}" in ended.stderr
        ended = await client.run("purge", job, "--unfetched", "--json")
        assert ended.status == 0, ended
        (purged,) = ended.objects
        assert (purged["event"], purged["job_id"], purged["worker"]) == ("purged", job, "gpu-1")
        assert traces(lab, job) == []
        ended = await client.run("logs", job)
        assert "The job was purged: gpu-1 has nothing of it any more." in ended.stderr
        assert "It was purged, and no result had been fetched." in (await client.run("status", job)).stdout
        ended = await client.run("jobs")
        assert "cancelled, purged" in ended.stdout


async def test_only_the_key_purges_a_job(lab, dataset):
    async with lab.worker("gpu-1", cache=cache_in(lab)):
        await lab.train(dataset)
        (record,) = load_all()
        async with lab.peer("stranger") as peer:
            refusal = await asked(peer, JobPurge(record.job_id, "no key"))
            assert isinstance(refusal, AppError)
            assert refusal.error_code == "UNKNOWN_JOB"
            assert has_dataset(lab, dataset)
            assert isinstance(await asked(peer, JobPurge("no-job", "no key")), JobPurged)
            assert has_dataset(lab, dataset)


async def test_what_cannot_be_deleted_is_not_confirmed(lab, dataset, monkeypatch):
    async with lab.worker("gpu-1", cache=cache_in(lab)):
        await lab.train(dataset)
        (record,) = load_all()

        def fail(*_args, **_options):
            raise PermissionError(1, "Operation not permitted")

        with monkeypatch.context() as broken:
            broken.setattr("sleaprtc.worker.jobs.cache.Path.unlink", fail)
            with pytest.raises(JobFailedError, match=r"Not all files .* Operation not permitted") as caught:
                await purge_job(record, even_unfetched=False)
        assert caught.value.error_code == "NOT_PURGED"
        assert find(record.job_id).purged_at is None
        await purge_job(record, even_unfetched=False)
        assert not has_dataset(lab, dataset)


async def test_a_worker_that_cannot_purge_is_said_so(lab, client, dataset):
    async with lab.worker("gpu-1"):
        await lab.train(dataset)
    (record,) = load_all()
    async with lab.peer("gpu-1", "worker"):
        ended = await client.run("purge", record.job_id)
        assert ended.status == 1
        (sentence,) = ended.stderr.splitlines()
        assert "can't purge a job: its owner can update it" in sentence
    ended = await client.run("purge", record.job_id)
    assert "gpu-1 isn't in the room now" in ended.stderr


# --- ephemeral jobs -------------------------------------------------------------------------


async def test_an_ephemeral_job_leaves_nothing_after_the_fetch(lab, dataset):
    async with lab.worker("gpu-1", Printing(), cache=cache_in(lab)):
        completed = await lab.train(dataset, **attrs.asdict(EPHEMERAL, recurse=False))
        assert completed.final_loss is not None
        (record,) = load_all()
        assert record.state == "completed"
        await until(lambda: not traces(lab, record.job_id))
        assert traces(lab, "very-secret-flies", PRINTED) == []
        assert kept(lab).keys() <= {"gpu-1.sqlite3", "gpu-1.sqlite3-shm", "gpu-1.sqlite3-wal", "cache"}


async def test_an_ephemeral_job_takes_what_an_earlier_one_left_with_it(lab, dataset):
    async with lab.worker("gpu-1", Printing(), cache=cache_in(lab)):
        await lab.train(dataset)
        assert has_dataset(lab, dataset)
        await lab.train(dataset, **attrs.asdict(EPHEMERAL, recurse=False))
        await until(lambda: not has_dataset(lab, dataset))


async def test_a_failed_ephemeral_job_keeps_only_why(lab, dataset):
    failure = JobFailedError("The loss isn't finite any more.", error_code="LOSS_NOT_FINITE")
    async with lab.worker("gpu-1", Printing(failure=failure), cache=cache_in(lab)):
        with pytest.raises(JobFailedError):
            await lab.train(dataset, **attrs.asdict(EPHEMERAL, recurse=False))
        (record,) = load_all()
        await until(lambda: not traces(lab, "very-secret-flies", PRINTED))
        with pytest.raises(JobFailedError, match="finite"):
            await attach_to_job(record, connection=LOOPBACK)
        journal = Journal(lab.tmp_path / "gpu-1.sqlite3")
        (entry,) = journal.entries()
        forget_old(journal, entry.updated_at + 3601, 7 * 86_400)
        assert journal.entries() == []
        journal.close()


async def test_an_unfetched_ephemeral_result_waits_and_then_goes(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer, cache=cache_in(lab)):
        job = await client.train(labels, "--ephemeral")
        trainer.go_on.set()
        await completed_on_worker(job)
        ended = await client.run("fetch", job, "--ice-loopback")
        assert ended.status == 0, ended
        await until(lambda: not traces(lab, job))


async def test_workers_that_keep_things_get_no_ephemeral_job(lab, client, labels):
    async with lab.peer("gpu-1", "worker", gpu_memory_mb=8):
        ended = await client.run("train", labels, "--ephemeral")
        assert ended.status == 4
        assert (
            "No worker in the room can promise to keep nothing of the job (--ephemeral): gpu-1"
            in ended.stderr
        )
        with pytest.raises(NoWorkerError):
            await lab.train(labels, **attrs.asdict(EPHEMERAL, recurse=False))


# --- time -----------------------------------------------------------------------------------


def test_kept_files_go_so_long_after_their_last_use(tmp_path):
    cache = FileCache(tmp_path / "cache", 10**6, max_age_sec=1000)
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode() * 10)
        cache.add(f"sha256:{name * 64}", tmp_path / name, f"job-{name}")
        os.utime(tmp_path / "cache" / f"sha256-{name * 64}.used", (5000, 5000))
    cache.clean(now=5999)
    assert cache.fetch(f"sha256:{'a' * 64}", 10, tmp_path / "again", "job-c")  # and so it is used today
    (tmp_path / "cache" / f"sha256-{'b' * 64}").read_bytes()  # as a backup does, which is no use
    cache.clean(now=6001)
    left = sorted(path.name[:8] for path in (tmp_path / "cache").iterdir())
    assert left == ["sha256-a", "sha256-a"]
    assert json.loads((tmp_path / "cache" / f"sha256-{'a' * 64}.used").read_text()) == ["job-a", "job-c"]


def test_files_that_release_0_1_0_kept_go_after_the_update(tmp_path):
    (tmp_path / "cache").mkdir()
    kept = tmp_path / "cache" / f"sha256-{'a' * 64}"
    kept.write_bytes(b"x" * 10)
    os.utime(kept, (1000, 1000))
    cache = FileCache(tmp_path / "cache", 10**6, max_age_sec=1000)
    cache.clean(now=2_500)
    assert cache.fetch(f"sha256:{'a' * 64}", 10, tmp_path / "out") is True
    cache.clean(now=1e12)
    assert list((tmp_path / "cache").iterdir()) == []
