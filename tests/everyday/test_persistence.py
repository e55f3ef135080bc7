"""What a worker does for a process that isn't the one that follows the job, and jobs that are retried."""

import pytest
import trio

from sleaprtc.client.events.job import Retrying
from sleaprtc.client.jobs.attach import attach_to_job
from sleaprtc.client.jobs.inquiries.ask import open_asker
from sleaprtc.client.jobs.order.persistence import Persistence
from sleaprtc.client.records.files import find, load_all
from sleaprtc.errors import JobFailedError, NotFinishedError, WorkerLostError
from sleaprtc.protocol.jobs import AppError, JobCancel, JobLogRequest, JobStop

from ..support.client_jobs import is_in_state, seen_training
from ..support.job_messages import answer
from ..support.lab import LOOPBACK, ScriptedTrainer
from ..support.waiting import until


@pytest.fixture
def impatience(monkeypatch):
    """A silent worker is looked for at once."""
    monkeypatch.setattr("sleaprtc.client.jobs.follower.watch.SILENCE_SEC", 0.2)
    monkeypatch.setattr("sleaprtc.client.jobs.follower.watch.CHECK_INTERVAL_SEC", 0.05)


async def test_a_lost_worker_s_job_is_begun_again_on_another(lab, labels, impatience):
    dying, events, results = ScriptedTrainer(hold=True), [], []

    async def train():
        results.append(
            await lab.train(
                labels, events.append, away_sec=1, persistence=Persistence(retries=1, wait_sec=60)
            )
        )

    async with trio.open_nursery() as nursery:
        async with lab.worker("gpu-1", dying):
            nursery.start_soon(train)
            await seen_training(events)
        async with lab.worker("gpu-2"):
            await until(lambda: results)
    assert results[0].worker == "gpu-2"
    (retrying,) = [event for event in events if isinstance(event, Retrying)]
    assert find(retrying.job_id).state == "lost"
    assert sum(record.state == "completed" for record in load_all()) == 1


async def test_a_lost_job_that_finds_no_worker_ends_as_lost(lab, labels, impatience, monkeypatch):
    monkeypatch.setattr("sleaprtc.client.jobs.order.persistence.RETRY_PATIENCE_SEC", 0.1)
    dying, failures, events = ScriptedTrainer(hold=True), [], []

    async def train():
        try:
            await lab.train(labels, events.append, away_sec=1, persistence=Persistence(retries=3))
        except WorkerLostError as error:
            failures.append(str(error))

    async with trio.open_nursery() as nursery, lab.worker("gpu-1", dying):
        nursery.start_soon(train)
        await seen_training(events)
    assert "during training" in failures[0]
    assert "It wasn't retried: There is no worker in the room." in failures[0]


async def test_a_model_that_waits_can_be_thrown_away(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer) as agent:
        job = await client.train(labels)
        trainer.go_on.set()
        record = find(job)
        async with open_asker(record) as asker:
            await until(lambda: is_in_state(asker, "completed"))
            await asker.cancel()
            attached = await asker.state()
            assert attached.error is not None
            assert (attached.state, attached.error.code) == ("failed", "CANCELLED")
        assert list(agent.jobs_dir.iterdir()) == []
        assert find(job).state == "cancelled"


async def test_a_kept_model_of_an_earlier_life_is_thrown_away_by_its_key_alone(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer), open_asker(find(await client.train(labels))) as asker:
        trainer.go_on.set()
        await until(lambda: is_in_state(asker, "completed"))
    record = asker.record
    async with lab.worker("gpu-1") as agent, lab.peer("thief") as thief:
        await thief.send_job_message("gpu-1", JobCancel(record.job_id, attach_key="guessed"))
        assert (await answer(thief, of=AppError)).error_code == "UNKNOWN_JOB"
        assert len(list(agent.jobs_dir.iterdir())) == 1
        async with open_asker(record) as asker:
            await asker.cancel()
        assert list(agent.jobs_dir.iterdir()) == []


async def test_a_job_is_left_alone_by_who_only_wanted_its_result(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer):
        record = find(await client.train(labels))
        with pytest.raises(NotFinishedError):
            await attach_to_job(record, connection=LOOPBACK, only_if_finished=True)
        assert trainer.running == 1
        assert find(record.job_id).state == "running"


async def test_the_process_that_follows_hears_of_a_cancellation(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer), trio.open_nursery() as nursery:

        async def follow():
            with pytest.raises(JobFailedError) as caught:
                await lab.train(labels, persistence=Persistence(retries=5))
            assert (caught.value.error_code, caught.value.recoverable) == ("CANCELLED", False)

        nursery.start_soon(follow)
        await trainer.started.wait()
        async with open_asker(load_all()[0]) as asker:
            await asker.cancel()
    assert len(trainer.jobs) == 1


async def test_words_about_jobs_that_are_not_there_or_not_ones_own(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer), lab.peer("thief") as thief:
        job = await client.train(labels)
        for message in (
            JobStop(job),
            JobStop(job, "guessed"),
            JobStop("no such job"),
            JobCancel(job, attach_key="guessed"),
            JobLogRequest(job, "guessed"),
            JobLogRequest("no such job", "key", 2**62, -(2**62)),
        ):
            await thief.send_job_message("gpu-1", message)
            assert (await answer(thief, of=AppError)).error_code == "UNKNOWN_JOB", message
        assert trainer.running == 1
        log = JobLogRequest(job, find(job).attach_key, -5, -7)
        await thief.send_job_message("gpu-1", log)
        assert (await answer(thief)).statuses[0].seq == 1


@pytest.mark.logs_error("ValueError: a bug")
async def test_a_worker_that_failed_the_job_says_so_to_who_asks(lab, client, labels):
    async with lab.worker("gpu-1", ScriptedTrainer(failure=ValueError("a bug"))):
        with pytest.raises(JobFailedError):
            await lab.train(labels)
        record = load_all()[0]
        async with open_asker(record) as asker:
            attached = await asker.state()
            assert (attached.state, attached.error.code) == ("failed", "INTERNAL")
            assert attached.last_status.timestamp <= attached.since
        with pytest.raises(JobFailedError, match="unexpectedly"):
            await attach_to_job(record, connection=LOOPBACK, only_if_finished=True)
