"""One quota for a worker's folder: jobs reserve their share, old datasets make room, and nobody starves."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from sleaprtc.client.jobs.order.persistence import Persistence
from sleaprtc.errors import JobFailedError, NoWorkerError
from sleaprtc.jobs.disk import TRAINING_BYTES
from sleaprtc.protocol.jobs import DatasetInfo, JobRequest, JobResponse
from sleaprtc.protocol.limits import MIB
from sleaprtc.transfer.disk import DiskFullError
from sleaprtc.worker.jobs.cache import FileCache
from sleaprtc.worker.jobs.disk import WorkerDisk, occupied_bytes

from ..support.client_jobs import seen_training
from ..support.job_messages import answer
from ..support.lab import WITH_SECRET, ScriptedTrainer, make_labels
from ..support.waiting import until

JOB_MB = TRAINING_BYTES / MIB


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return make_labels(tmp_path / "flies.pkg.slp", padding_bytes=MIB)


def disk_of(lab, quota_mb: float, cache: FileCache | None = None) -> WorkerDisk:
    folder = lab.tmp_path / "gpu-1"
    folder.mkdir(exist_ok=True)
    return WorkerDisk(folder, quota_mb * MIB, cache)


def request(job_id: str, size_mb: float = 0) -> JobRequest:
    return JobRequest(job_id, "training", DatasetInfo(estimated_size_mb=size_mb))


def write(path: Path, size_mb: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(int(size_mb * MIB)))
    return path


# --- in a room ------------------------------------------------------------------------------


async def test_a_job_that_never_fits_is_refused_before_its_dataset_is_sent(lab, labels):
    async with lab.worker("gpu-1", disk=disk_of(lab, JOB_MB - 100)):
        with pytest.raises(NoWorkerError, match="gpu-1 said maintenance: The job needs about") as caught:
            await lab.train(labels)
        assert not caught.value.all_busy
        assert "its owner can make room" in str(caught.value)


async def test_a_second_job_waits_until_the_first_one_s_share_is_free(lab, labels, nursery):
    trainer, events = ScriptedTrainer(hold=True), []
    async with lab.worker("gpu-1", trainer, max_jobs=2, disk=disk_of(lab, 1.5 * JOB_MB)):
        nursery.start_soon(lab.train, labels, events.append)
        await seen_training(events)
        with pytest.raises(NoWorkerError, match=r"gpu-1 said busy: .* which other jobs have reserved"):
            await lab.train(labels)
        later = []

        async def wait() -> None:
            later.append(await lab.train(labels, persistence=Persistence(wait_sec=math.inf)))

        nursery.start_soon(wait)
        trainer.go_on.set()
        await until(lambda: later)


async def test_both_run_where_there_is_room_for_both(lab, labels, nursery):
    trainer = ScriptedTrainer(hold=True)
    async with lab.worker("gpu-1", trainer, max_jobs=2, disk=disk_of(lab, 2.5 * JOB_MB)):
        done = []

        async def train() -> None:
            done.append(await lab.train(labels))

        nursery.start_soon(train)
        nursery.start_soon(train)
        await until(lambda: trainer.running == 2)
        trainer.go_on.set()
        await until(lambda: len(done) == 2)


async def test_a_dataset_larger_than_was_said_takes_nobody_s_share(lab, tmp_path, monkeypatch):
    """The client says too little of it: it is refused when it is offered, not when the disk is full."""
    large = make_labels(tmp_path / "large.pkg.slp", padding_bytes=3 * MIB)
    monkeypatch.setattr("sleaprtc.jobs.disk.TRAINING_BYTES", 2 * MIB)  # less than the file
    monkeypatch.setattr(
        "sleaprtc.client.jobs.submission.submit.JobRequest",
        lambda **fields: JobRequest(**{**fields, "dataset_info": DatasetInfo(frame_count=5)}),
    )
    async with lab.worker("gpu-1", disk=disk_of(lab, 2.5)) as agent:
        with pytest.raises(JobFailedError, match="disk left that no other job has reserved") as caught:
            await lab.train(large)
        assert caught.value.recoverable
        await until(lambda: list(agent.jobs_dir.iterdir()) == [])


async def test_a_stranger_s_request_reserves_nothing(lab, labels):
    """Anybody with the room's token can ask for everything, and would have it for ten seconds."""
    disk = disk_of(lab, 1.5 * JOB_MB)
    async with (
        lab.worker("gpu-1", max_jobs=2, disk=disk, connection=WITH_SECRET),
        lab.peer("stranger") as stranger,
    ):
        await stranger.send_job_message("gpu-1", request("greedy"))
        assert (await answer(stranger, of=JobResponse)).accepted
        assert (await lab.train(labels, connection=WITH_SECRET)).worker == "gpu-1"


# --- by itself ------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr("sleaprtc.jobs.disk.TRAINING_BYTES", 2 * MIB)


def test_old_datasets_make_room_for_a_job_but_not_those_in_use(tmp_path, small):
    cache = FileCache(tmp_path / "datasets", 10**9)
    for number in range(4):
        path = write(tmp_path / "earlier" / str(number), 1)
        cache.add(f"sha256:{number:064}", path)
        if number != 1:
            path.unlink()
        os.utime(tmp_path / "datasets" / f"sha256-{number:064}.used", (number + 1, number + 1))
    disk = WorkerDisk(tmp_path, 5.2 * MIB, cache)
    disk.begin(request("a", size_mb=0.5), tmp_path / "job-a")
    kept = sorted(path.name[-1] for path in (tmp_path / "datasets").glob("sha256-*") if not path.suffix)
    assert kept == ["1", "3"]  # 0 and 2 were used least recently, and 1 is a job's own


def test_a_reservation_ends_with_its_job(tmp_path, small):
    disk = WorkerDisk(tmp_path, 5 * MIB, None)
    disk.begin(request("a"), tmp_path / "job-a")
    disk.begin(request("b"), tmp_path / "job-b")
    with pytest.raises(DiskFullError, match="which other jobs have reserved"):
        disk.begin(request("c"), tmp_path / "job-c")
    disk.release_all_but({"b"})
    disk.begin(request("c"), tmp_path / "job-c")


def test_a_job_may_grow_until_others_need_what_they_reserved(tmp_path, small):
    disk = WorkerDisk(tmp_path, 6 * MIB, None)
    for job in ("a", "b"):
        disk.begin(request(job), tmp_path / f"job-{job}")
    write(tmp_path / "job-a" / "checkpoint", 3.5)
    assert not disk.has_to_end("a")
    write(tmp_path / "job-a" / "more", 0.6)
    assert disk.has_to_end("a")
    write(tmp_path / "job-b" / "checkpoint", 1.5)
    assert not disk.has_to_end("b")


def test_a_file_with_several_names_counts_once(tmp_path):
    path = write(tmp_path / "a" / "dataset", 1)
    os.link(path, tmp_path / "a" / "again")
    (tmp_path / "a" / "link").symlink_to(path)
    assert occupied_bytes(tmp_path) == pytest.approx(MIB, rel=0.01)
    assert occupied_bytes(tmp_path / "absent") == 0
