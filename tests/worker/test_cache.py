"""The worker's cache of datasets: what comes out is what went in, and old ones make room."""

from __future__ import annotations

import filecmp
import hashlib
import os
from pathlib import Path

import pytest
import trio
import trio.testing

from sleaprtc.errors import TransferRefusedError
from sleaprtc.transfer.resuming import ResumingTransfers
from sleaprtc.worker.jobs.cache import FileCache
from sleaprtc.worker.jobs.inputs import receive_inputs

from ..transfer.pairs import Silent, open_memory_pair


def dataset(path: Path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_what_was_kept_comes_out_under_any_name_even_after_its_job_is_gone(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", max_bytes=1000)
    digest = dataset(tmp_path / "job-1" / "a.slp", b"x" * 400)
    assert not cache.fetch(digest, 400, tmp_path / "b.slp")
    cache.add(digest, tmp_path / "job-1" / "a.slp")
    (tmp_path / "job-1" / "a.slp").unlink()
    assert cache.fetch(digest.upper().replace("SHA256", "sha256"), 400, tmp_path / "b.slp")
    assert (tmp_path / "b.slp").read_bytes() == b"x" * 400


def test_neither_another_size_nor_nonsense_is_found_and_nothing_is_overwritten(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", max_bytes=1000)
    digest = dataset(tmp_path / "a", b"x" * 400)
    cache.add(digest, tmp_path / "a")
    assert not cache.fetch(digest, 401, tmp_path / "b")
    assert not cache.fetch("md5:../../etc/passwd", 400, tmp_path / "b")
    (tmp_path / "b").write_bytes(b"mine")
    assert not cache.fetch(digest, 400, tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"mine"


def test_the_least_recently_used_makes_room(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", max_bytes=1000)
    digests = [dataset(tmp_path / str(n), bytes([n]) * 400) for n in range(3)]
    for n in range(2):
        cache.add(digests[n], tmp_path / str(n))
        os.utime(tmp_path / "cache" / f"{digests[n].replace(':', '-')}.used", (1000 + n, 1000 + n))
    assert cache.fetch(digests[0], 400, tmp_path / "again")
    cache.add(digests[2], tmp_path / "2")
    found = [cache.fetch(digest, 400, tmp_path / f"out{digest[-8:]}") for digest in digests]
    assert found == [True, False, True]


def test_what_is_too_large_is_not_kept_and_costs_nobody_a_place(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", max_bytes=1000)
    small, large = dataset(tmp_path / "s", b"s" * 900), dataset(tmp_path / "l", b"l" * 1001)
    cache.add(small, tmp_path / "s")
    cache.add(large, tmp_path / "l")
    assert cache.fetch(small, 900, tmp_path / "out")
    assert not cache.fetch(large, 1001, tmp_path / "out2")


def test_a_smaller_limit_holds_from_the_start(tmp_path: Path) -> None:
    digest = dataset(tmp_path / "a", b"x" * 400)
    FileCache(tmp_path / "cache", max_bytes=1000).add(digest, tmp_path / "a")
    (tmp_path / "cache" / ".new-dead").mkdir()
    FileCache(tmp_path / "cache", max_bytes=300).clean()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_disk_that_fails_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"not a folder")
    cache = FileCache(tmp_path / "cache", max_bytes=1000)
    digest = dataset(tmp_path / "a", b"x")
    cache.add(digest, tmp_path / "a")
    cache.clean()
    assert not cache.fetch(digest, 1, tmp_path / "b")


async def train_with(cache: FileCache | None, path: Path, job_dir: Path) -> int:
    """Hands a dataset to a job; returns how many of its bytes were sent."""
    async with open_memory_pair() as (client, worker, channel, _), trio.open_nursery() as nursery:
        transfers = ResumingTransfers()
        nursery.start_soon(transfers.use_until_closed, worker)

        async def send() -> None:
            await client.send_file(path, purpose="dataset")

        nursery.start_soon(send)
        received = await receive_inputs("j", job_dir, transfers, Silent(), cache)
        assert await trio.to_thread.run_sync(filecmp.cmp, received.dataset, path, False)
        await trio.testing.wait_all_tasks_blocked()
        sent = sum(len(message) for message in channel.sent if isinstance(message, bytes))
        nursery.cancel_scope.cancel()
    return sent


async def test_a_dataset_is_sent_once_unless_the_cache_is_off(tmp_path: Path) -> None:
    dataset(tmp_path / "labels.slp", os.urandom(300_000))
    cache = FileCache(tmp_path / "cache", max_bytes=10**6)
    assert await train_with(cache, tmp_path / "labels.slp", tmp_path / "job-1") == 300_000
    assert await train_with(cache, tmp_path / "labels.slp", tmp_path / "job-2") == 0
    assert await train_with(None, tmp_path / "labels.slp", tmp_path / "job-3") == 300_000


async def test_a_dataset_that_a_job_has_written_into_is_sent_again(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    dataset(tmp_path / "labels.slp", content)
    cache = FileCache(tmp_path / "cache", max_bytes=10**6)
    await train_with(cache, tmp_path / "labels.slp", tmp_path / "job-1")
    with (tmp_path / "job-1" / "dataset" / "labels.slp").open("r+b") as file:
        file.write(b"other")
    assert await train_with(cache, tmp_path / "labels.slp", tmp_path / "job-2") == 300_000
    assert await train_with(cache, tmp_path / "labels.slp", tmp_path / "job-3") == 0


async def test_a_dataset_that_comes_before_its_model_waits_for_it(tmp_path: Path) -> None:
    for name in ("a.mp4", "m.zip", "n.yaml"):
        dataset(tmp_path / name, name.encode())
    async with open_memory_pair() as (client, worker, _, _), trio.open_nursery() as nursery:
        transfers = ResumingTransfers()
        nursery.start_soon(transfers.use_until_closed, worker)

        async def send() -> None:
            with pytest.raises(TransferRefusedError, match="a dataset and models"):
                await client.send_file(tmp_path / "n.yaml", purpose="config")
            await client.send_file(tmp_path / "a.mp4", purpose="dataset")
            await client.send_file(tmp_path / "m.zip", purpose="model")

        nursery.start_soon(send)
        inputs = await receive_inputs("j", tmp_path / "job", transfers, Silent(), takes=("model",))
        nursery.cancel_scope.cancel()
    assert (inputs.dataset.name, [path.name for path in inputs.models]) == ("a.mp4", ["m.zip"])
