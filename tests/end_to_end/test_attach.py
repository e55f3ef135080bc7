"""Jobs that outlive the client, the server and the worker that they began with."""

import attrs
import pytest
import trio

from sleaprtc.client.events.job import StatusChanged
from sleaprtc.client.jobs.attach import attach_to_job
from sleaprtc.client.records.files import find, load_all
from sleaprtc.errors import JobFailedError, UsageError
from sleaprtc.protocol.jobs import JobRequest

from ..support.lab import LOOPBACK, NOT_FINITE, ScriptedTrainer, make_labels
from ..support.waiting import until


@pytest.fixture
def labels(tmp_path):
    return make_labels(tmp_path / "flies.pkg.slp", padding_bytes=100_000)


@pytest.fixture
def no_farewell(monkeypatch):
    """Clients that end without telling anyone, as a killed process does."""

    async def say_nothing(_):
        return

    monkeypatch.setattr("sleaprtc.client.jobs.follower.follow.Follower._cancel_job", say_nothing)


async def begin_and_die(lab, labels, trainer):
    """Starts a job and ends its client as soon as it trains; returns the job's record."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lab.train, labels)
        await trainer.started.wait()
        nursery.cancel_scope.cancel()
    (record,) = load_all()
    return record


async def attach(record, events=None):
    return await attach_to_job(
        record, connection=LOOPBACK, emit=[].append if events is None else events.append
    )


async def test_a_later_process_gets_what_was_missed_and_the_model(lab, labels, no_farewell, tmp_path):
    trainer, events = ScriptedTrainer(hold=True, epochs=4), []
    async with lab.worker("gpu-1", trainer):
        record = await begin_and_die(lab, labels, trainer)
        trainer.go_on.set()
        completed = await attach(attrs.evolve(record, last_seq=0), events)
    assert completed.model_dirs == (str(tmp_path / "models" / "centroid"),)
    epochs = [event.current_epoch for event in events if isinstance(event, StatusChanged)]
    assert [epoch for epoch in dict.fromkeys(epochs) if epoch] == [1, 2, 3, 4]
    assert find(record.job_id[:6]).state == "completed"
    assert list((tmp_path / "models").iterdir()) == [tmp_path / "models" / "centroid"]


async def test_a_model_waits_for_its_client(lab, labels, no_farewell, monkeypatch):
    trainer = ScriptedTrainer(hold=True)
    async with lab.worker("gpu-1", trainer) as agent:
        record = await begin_and_die(lab, labels, trainer)
        with monkeypatch.context() as hasty:
            hasty.setattr("sleaprtc.worker.jobs.job.RESULT_WAIT_SEC", 0.1)
            trainer.go_on.set()
            async with lab.peer("watcher") as watcher:
                await until(lambda: watcher.discover({"properties": {"status": "busy"}}), becomes=False)
            await until(lambda: not agent._roster.running())
        (job_dir,) = agent.jobs_dir.iterdir()
        assert [path.suffix for path in job_dir.iterdir()] == [".zip"]  # no dataset is kept
        monkeypatch.setattr("sleaprtc.worker.jobs.job.RESULT_WAIT_SEC", 60)
        completed = await attach(record)
        assert len(completed.model_dirs) == 1
        await until(lambda: not list(agent.jobs_dir.iterdir()))
        with pytest.raises(JobFailedError, match="fetched before"):
            await attach(record)


async def test_a_failure_is_told_late(lab, labels, no_farewell):
    trainer = ScriptedTrainer(hold=True, failure=NOT_FINITE)
    async with lab.worker("gpu-1", trainer):
        with pytest.raises(JobFailedError):
            await lab.train(labels)
        (record,) = load_all()
        with pytest.raises(JobFailedError, match="isn't finite"):
            await attach(record)


async def test_a_wrong_key_opens_nothing(lab, labels, no_farewell):
    trainer = ScriptedTrainer(hold=True)
    async with lab.worker("gpu-1", trainer):
        record = await begin_and_die(lab, labels, trainer)
        with pytest.raises(JobFailedError, match="doesn't know"):
            await attach(attrs.evolve(record, attach_key="guessed"))
        assert trainer.running == 1


async def test_leaving_an_attached_job_leaves_it_alone(lab, labels, no_farewell):
    trainer = ScriptedTrainer(hold=True)
    async with lab.worker("gpu-1", trainer):
        record = await begin_and_die(lab, labels, trainer)
        with trio.move_on_after(1):
            await attach(record)
        assert trainer.running == 1
        trainer.go_on.set()
        await attach(record)


async def test_a_job_survives_the_server(start_server, tmp_path, labels, monkeypatch):
    """The data channel carries the model home though the server is gone for good."""
    monkeypatch.setattr("sleaprtc.client.jobs.follower.inquiry.ASKED_WORD_SEC", 0.5)
    monkeypatch.setattr("sleaprtc.worker.jobs.job.LAST_WORD_SEC", 0.5)
    from ..support.lab import open_lab

    stop = trio.Event()
    lab = await open_lab(await start_server(stop=stop), tmp_path)
    trainer, results = ScriptedTrainer(hold=True), []

    async def train():
        results.append(await lab.train(labels))

    async with lab.worker("gpu-1", trainer), trio.open_nursery() as nursery:
        nursery.start_soon(train)
        await trainer.started.wait()
        stop.set()
        await trio.sleep(0.5)
        trainer.go_on.set()
    assert len(results[0].model_dirs) == 1


async def test_a_worker_that_ends_keeps_what_nobody_has_fetched(lab, labels, no_farewell):
    trainer = ScriptedTrainer(hold=True)
    async with lab.worker("gpu-1", trainer), lab.peer("watcher") as watcher:
        record = await begin_and_die(lab, labels, trainer)
        trainer.go_on.set()
        await until(lambda: watcher.discover({"properties": {"status": "busy"}}), becomes=False)
    async with lab.worker("gpu-1"):
        completed = await attach(record)
    assert len(completed.model_dirs) == 1


async def test_a_job_id_that_is_in_use_harms_nobody(lab, labels, no_farewell):
    """A model waits; somebody else asks with the same job_id, and the worker goes on for both."""
    trainer = ScriptedTrainer(hold=True)
    async with lab.worker("gpu-1", trainer, max_jobs=2), lab.peer("stranger") as stranger:
        record = await begin_and_die(lab, labels, trainer)
        await stranger.send_job_message("gpu-1", JobRequest(record.job_id, "training"))
        message = await stranger.receive()
        assert message.payload["reason"] == "busy"
        trainer.go_on.set()
        assert len((await attach(record)).model_dirs) == 1


async def test_what_is_not_known_here():
    with pytest.raises(UsageError, match="No job"):
        find("1234")
