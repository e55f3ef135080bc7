"""A job whose worker is done, and whose result can't be brought here: nothing failed, and nothing is lost."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from sleaprtc.client.events.job import Direction, StatusChanged, Transferred
from sleaprtc.client.jobs.attach import attach_to_job
from sleaprtc.client.records.files import load_all
from sleaprtc.client.results import delivery
from sleaprtc.errors import StorageError

from ..support.lab import LOOPBACK, ScriptedTrainer


@pytest.fixture
def small_disk():
    """A folder on a disk of 40 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    with tempfile.TemporaryDirectory() as folder:
        words = ("-t", "tmpfs", "-o", "size=40m", "tmpfs", folder)
        if subprocess.run(["mount", *words], capture_output=True).returncode:
            pytest.skip("this system lets nobody mount")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def fill_up(disk, left_bytes):
    status = os.statvfs(disk)
    (disk / "full").write_bytes(bytes(status.f_bavail * status.f_frsize - left_bytes))


async def test_a_full_disk_is_found_before_a_worker_is_asked(lab, labels, small_disk):
    fill_up(small_disk, 2**20)
    trainer = ScriptedTrainer()
    async with lab.worker("gpu-1", trainer):
        with pytest.raises(StorageError, match=r"1 MiB are free .* \(--out\)"):
            await lab.train(labels, out_dir=small_disk / "models")
    assert not trainer.jobs
    assert not load_all()


async def test_a_disk_that_fills_during_the_training_costs_no_model(lab, client, labels, small_disk):
    """The worker keeps the model; what the record, ``status``, ``jobs`` and ``fetch --out`` say of it."""

    def fill(event):
        if isinstance(event, StatusChanged) and event.current_epoch and not (small_disk / "full").exists():
            fill_up(small_disk, 2**20)

    async with lab.worker("gpu-1"):
        with pytest.raises(StorageError) as caught:
            await lab.train(labels, fill, out_dir=small_disk / "models")
        (record,) = load_all()
        job = record.job_id[:8]
        assert str(caught.value).endswith(
            f"gpu-1 is done with the job; its result: sleap-rtc client fetch {job} --out FOLDER"
        )
        assert record.state == "not_fetched"
        shown = await client.run("status", job)
        assert "finished, but its result couldn't be fetched yet" in shown.stdout
        assert f"sleap-rtc client fetch {job}" in shown.stdout
        assert "to spare" in shown.stdout
        (state,) = (await client.run("status", job, "--json")).objects
        assert (state["state"], state["fetched"], state["answered"]) == ("not_fetched", False, True)
        (listed,) = (await client.run("jobs", "--json")).objects
        assert listed["state"] == "not_fetched"
        assert listed["message"].partition(" to ")[0] in (await client.run("jobs")).stdout
        again = await client.run("fetch", job, "--ice-loopback")
        assert again.status == 1
        assert again.stderr.endswith(f"fetch {job} --out FOLDER\n")
        fetched = await client.run("fetch", job, "--ice-loopback", "--out", "elsewhere")
    assert fetched.status == 0, fetched
    assert load_all()[0].state == "completed"
    assert (client.folder / "elsewhere" / "centroid" / "best.ckpt").is_file()


async def test_a_model_that_arrived_and_cannot_be_unpacked_is_unpacked_elsewhere(
    lab, client, labels, small_disk, monkeypatch
):
    """The disk fills between the model's last byte and its unpacking; the worker has handed it over then."""
    with monkeypatch.context() as patched:

        def fill_and_lay_down(*arguments):
            fill_up(small_disk, 0)
            return lay_down(*arguments)

        lay_down = delivery._lay_down_models
        patched.setattr(delivery, "_lay_down_models", fill_and_lay_down)
        async with lab.worker("gpu-1"):
            with pytest.raises(StorageError, match=r"--out FOLDER$"):
                await lab.train(labels, out_dir=small_disk / "models")
            patched.undo()
            (record,) = load_all()
            assert record.state == "not_fetched"
            words = ("fetch", record.job_id, "--ice-loopback", "--out", "elsewhere")
            fetched = await client.run(*words)
    assert fetched.status == 0, fetched
    assert (client.folder / "elsewhere" / "centroid" / "best.ckpt").is_file()


async def test_a_folder_that_cannot_be_written_any_more_costs_no_model(lab, labels, small_disk, tmp_path):
    def close(event):
        if isinstance(event, StatusChanged) and event.current_epoch:
            subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)

    async with lab.worker("gpu-1"):
        with pytest.raises(StorageError, match=r"Read-only file system.*fetch \w{8} --out FOLDER$"):
            await lab.train(labels, close, out_dir=small_disk / "models")
        (record,) = load_all()
        assert record.state == "not_fetched"
        completed = await attach_to_job(record, connection=LOOPBACK, out_dir=tmp_path / "elsewhere")
    assert len(completed.model_dirs) == 1


async def test_a_client_that_is_killed_while_its_model_comes_has_it_not_fetched(lab, labels):
    """Nothing is written after its end, as nothing can be."""
    states, events = [], []

    def see(event):
        events.append(event)
        if isinstance(event, Transferred) and event.direction == Direction.RECEIVE:
            states.append(load_all()[0].state)

    async with lab.worker("gpu-1"):
        await lab.train(labels, see)
    assert set(states) == {"not_fetched"}
    assert load_all()[0].state == "completed"
