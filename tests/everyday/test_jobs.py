"""Looking at jobs, ending them and fetching their models, each from a process of its own."""

import pytest
import trio

from sleaprtc.client.records import find, load_all

pytestmark = [pytest.mark.trio, pytest.mark.timeout(60)]


async def test_another_terminal_looks_and_stops(lab, client, labels, trainer):
    """The process that follows the job isn't disturbed, and gets the model."""
    async with lab.worker("gpu-1", trainer):
        following = await client.start("train", labels, "--ice-loopback", "--out", "models")
        await following.until("epoch 1/4")
        (record,) = load_all()
        seen = await client.run("status", record.job_id[:6])
        assert seen.status == 0, seen.stderr
        assert "runs" in seen.stdout
        assert "centroid: 1 of 4" in seen.stdout
        (state,) = (await client.run("status", record.job_id, "--json")).objects
        assert (state["state"], state["answered"], state["worker"]) == ("running", True, "gpu-1")
        assert state["status"]["current_epoch"] == 1
        stopped = await client.run("stop", record.job_id)
        assert stopped.status == 0, stopped.stderr
        assert "keeps its best model" in stopped.stdout
        ended = await following.end()
        assert ended.status == 0, ended
        assert trainer.stopped_early
        assert (client.folder / "models" / "centroid" / "best.ckpt").is_file()
        fetched = await client.run("fetch", record.job_id)
        assert (fetched.status, "models/centroid" in fetched.stdout) == (0, True), fetched


async def test_another_terminal_cancels(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer) as agent:
        following = await client.start("train", labels, "--ice-loopback")
        await following.until("epoch 1/4")
        (record,) = load_all()
        cancelled = await client.run("cancel", record.job_id)
        assert cancelled.status == 0, cancelled
        assert "nothing of it is left" in cancelled.stdout
        assert list(agent.jobs_dir.iterdir()) == []
        ended = await following.end()
        assert ended.status == 1
        assert "cancelled by another process of yours" in ended.stderr
        assert find(record.job_id).state == "cancelled"
        again = await client.run("stop", record.job_id)
        assert again.status == 2
        assert "is over" in again.stderr
