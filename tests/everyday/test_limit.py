"""The rate of a job's files: limited from the start, and changed while they are transferred."""

import attrs
import trio

from sleaprtc.protocol.limits import MIB
from sleaprtc.transfer.rate_limit import RateLimit

from ..support.lab import LOOPBACK, ScriptedTrainer, make_labels
from .json_tables import check

LARGE_BYTES = 3 * MIB
"""Takes most of an hour at the lowest limit, so a job that ends in time has had it lifted."""


async def test_a_limit_is_lifted_while_a_command_sends(lab, client, tmp_path):
    labels = make_labels(tmp_path / "flies.pkg.slp", padding_bytes=LARGE_BYTES)
    async with lab.worker("gpu-1", ScriptedTrainer()):
        running = await client.start("train", labels, "--ice-loopback", "--limit-rate", "1K")
        await running.until("Connected to gpu-1")
        changed = await client.run("limit", "none", "--json")
        assert changed.status == 0, changed
        (limited,) = changed.objects
        check(limited)
        assert limited["bytes_per_sec"] is None
        ended = await running.end()
    assert ended.status == 0, ended
    assert f"Job {limited['job_id'][:8]} has no limit on its rate any more." in ended.stdout


async def test_one_job_is_limited_by_its_name(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer):
        job = await client.train(labels)
        running = await client.start("attach", job, "--ice-loopback")
        await running.until("Connected to gpu-1")
        changed = await client.run("limit", "2M", job[:8])
        assert (changed.status, changed.stdout) == (0, f"Job {job[:8]} is limited to 2 MiB/s.\n")
        await running.until(f"Job {job[:8]} is limited to 2 MiB/s.")
        trainer.go_on.set()
        assert (await running.end()).status == 0
        refused = await client.run("limit", "2M", job)
        assert (refused.status, refused.stderr) == (
            2,
            f"Error: No command follows job {job[:8]} here now, so there is nothing to limit.\n",
        )


async def test_nothing_to_limit_and_no_rate(client):
    refused = await client.run("limit", "2M", "--json")
    assert (refused.status, refused.objects[0]["code"]) == (2, "USAGE")
    assert "No command follows a job here now" in refused.stderr
    assert (await client.run("limit", "2M", "no-such-job")).status == 2
    for words in (("limit", "fast"), ("limit",), ("train", "x.slp", "--limit-rate", "-1")):
        assert (await client.run(*words)).status == 2


async def test_a_job_of_a_limited_worker_takes_its_time(lab, tmp_path):
    labels = make_labels(tmp_path / "flies.pkg.slp", padding_bytes=MIB)
    limited = attrs.evolve(LOOPBACK, limit=RateLimit(MIB / 4))
    async with lab.worker("gpu-1", ScriptedTrainer(), connection=limited):
        began_sec = trio.current_time()
        await lab.train(labels)
    assert trio.current_time() - began_sec > 3.5
