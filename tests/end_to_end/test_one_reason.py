"""The reason of a job's end is one and the same for whoever asks, however and whenever that is."""

from __future__ import annotations

import attrs
import pytest
import trio

from sleaprtc.client.jobs.attach import attach_to_job
from sleaprtc.client.jobs.inquiries.ask import open_asker
from sleaprtc.client.jobs.inquiries.state import look
from sleaprtc.client.records.files import find, load_all, save
from sleaprtc.errors import JobFailedError
from sleaprtc.jobs.keys import attach_digest
from sleaprtc.protocol.jobs import JobAssignment, JobAttach, JobAttached, JobFailed, JobRequest, JobResponse
from sleaprtc.worker.jobs.messages import FAILED_UNEXPECTEDLY

from ..support.client_jobs import record_of
from ..support.job_messages import answer
from ..support.lab import LOOPBACK, NOT_FINITE, ScriptedTrainer, make_labels
from ..support.waiting import until


@pytest.fixture
def labels(tmp_path):
    return make_labels(tmp_path / "flies.pkg.slp")


async def all_answers(lab, job_id):
    """Asks in all ways; the record begins as if nothing had been seen. Returns reasons and states."""
    record = find(job_id)

    async def fresh():
        save(attrs.evolve(record, state="running", message="", ended_at=None))
        return find(job_id)

    reasons, states = [], []
    # the last word, repeated to a process that attaches
    async with lab.peer("watcher") as watcher:
        await watcher.send_job_message("gpu-1", JobAttach(job_id, record.attach_key))
        attached = await answer(watcher, of=JobAttached)
        failed = await answer(watcher, of=JobFailed)
        reasons += [(attached.error.code, attached.error.message), (failed.error.code, failed.error.message)]
    # `attach` and `fetch`
    for only_if_finished in (False, True):
        with pytest.raises(JobFailedError) as caught:
            await attach_to_job(await fresh(), connection=LOOPBACK, only_if_finished=only_if_finished)
        reasons.append((caught.value.error_code, str(caught.value)))
        states.append(find(job_id).state)
        assert find(job_id).message == str(caught.value)
    # `status`
    seen = (await look(await fresh())).state
    states += [seen.state, find(job_id).state]
    reasons.append((reasons[0][0], seen.message))
    # `logs`
    async with open_asker(await fresh()) as asker:
        log = await asker.log(0, None)
        assert log.state == attached.state
    return reasons, states

    return attrs.evolve(record, state="running", message="", ended_at=None)


async def assert_one_reason(lab, job_id, told, state):
    reasons, states = await all_answers(lab, job_id)
    assert set(reasons) == {told}
    assert set(states) == {state}


async def test_a_failure(lab, labels):
    async with lab.worker("gpu-1", ScriptedTrainer(failure=NOT_FINITE)):
        with pytest.raises(JobFailedError) as caught:
            await lab.train(labels)
        told = caught.value.error_code, str(caught.value)
        (record,) = load_all()
        assert (record.state, record.message) == ("failed", str(caught.value))
        await assert_one_reason(lab, record.job_id, told, "failed")
    async with lab.worker("gpu-1"):
        await assert_one_reason(lab, record.job_id, told, "failed")


async def test_a_cancellation_by_another_process(lab, labels):
    told = []

    async def follow():
        with pytest.raises(JobFailedError) as caught:
            await lab.train(labels)
        told.append((caught.value.error_code, str(caught.value)))

    trainer = ScriptedTrainer(hold=True)
    async with lab.worker("gpu-1", trainer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await trainer.started.wait()
            (record,) = load_all()
            async with open_asker(record) as asker:
                await asker.cancel()
        assert find(record.job_id).state == "cancelled"
        await assert_one_reason(lab, record.job_id, told[0], "cancelled")
    async with lab.worker("gpu-1"):
        await assert_one_reason(lab, record.job_id, told[0], "cancelled")


async def test_an_owner_who_stops_the_worker(lab):
    """Before the job's files have arrived; what has begun goes on."""
    async with lab.worker("gpu-1", ScriptedTrainer()) as agent, lab.peer("client") as client:
        await client.send_job_message(
            "gpu-1", JobRequest("job", "training", attach_digest=attach_digest("key"))
        )
        assert (await answer(client, of=JobResponse)).accepted
        await client.send_job_message("gpu-1", JobAssignment("job"))
        await until(lambda: agent._roster.running())
        assert await agent.leave() == []
        failed = await answer(client, of=JobFailed)
    told = failed.error.code, failed.error.message
    assert told == ("WORKER_STOPPED", "The worker was stopped by its owner.")
    save(record_of(lab, "job"))
    async with lab.worker("gpu-1"):
        await assert_one_reason(lab, "job", told, "failed")


@pytest.mark.logs_error("ValueError: a bug")
async def test_a_fault_of_the_worker(lab, labels, monkeypatch):
    async def fail(*_):
        raise ValueError("a bug")

    monkeypatch.setattr("sleaprtc.worker.jobs.job.Job._work_to_the_end", fail)
    async with lab.worker("gpu-1") as agent:
        with pytest.raises(JobFailedError) as caught:
            await lab.train(labels)
        told = "INTERNAL", FAILED_UNEXPECTEDLY
        assert caught.value.error_code == told[0]
        assert told[1] in str(caught.value)
        (record,) = load_all()
        await assert_one_reason(lab, record.job_id, told, "failed")
        assert not list(agent.jobs_dir.iterdir())
    async with lab.worker("gpu-1"):
        await assert_one_reason(lab, record.job_id, told, "failed")
