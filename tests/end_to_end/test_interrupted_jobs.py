"""Jobs whose worker ends, in whatever way: they go on when it is started again, or end with what there is."""

import shutil

import attrs
import pytest
import trio

from sleaprtc.client.events.job import StatusChanged
from sleaprtc.client.jobs.attach import attach_to_job
from sleaprtc.client.records.files import find, load_all
from sleaprtc.errors import JobFailedError, TrainerError
from sleaprtc.protocol.jobs import JobAttach, JobAttached, JobCancel, JobCancelled, JobStop

from ..support.job_messages import answer
from ..support.lab import LOOPBACK, ScriptedTrainer, make_labels, make_model, make_video
from ..support.waiting import until


@pytest.fixture
def labels(tmp_path):
    return make_labels(tmp_path / "flies.pkg.slp", padding_bytes=100_000)


@pytest.fixture(autouse=True)
def no_farewell(monkeypatch):
    """Clients that end without telling anyone, as a killed process does."""

    async def say_nothing(_):
        return

    monkeypatch.setattr("sleaprtc.client.jobs.follower.follow.Follower._cancel_job", say_nothing)


async def begin_and_die(lab, labels):
    """Starts a job and ends its client once it trains; returns the job's record."""
    events = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lab.train, labels, events.append)
        await until(lambda: any(isinstance(e, StatusChanged) and e.current_epoch for e in events))
        nursery.cancel_scope.cancel()
    (record,) = load_all()
    return record


async def attach(record, events=None):
    return await attach_to_job(
        record, connection=LOOPBACK, emit=[].append if events is None else events.append
    )


async def state_of(peer, worker, record):
    """Asks how a job stands; None if the worker doesn't know it."""
    await peer.send_job_message(worker, JobAttach(record.job_id, record.attach_key, follow=False))
    message = await answer(peer)
    return message if isinstance(message, JobAttached) else None


async def state_is(peer, record, state):
    attached = await state_of(peer, "gpu-1", record)
    return attached is not None and attached.state == state


async def is_stopping(peer, record):
    return (await state_of(peer, "gpu-1", record)).stop_requested


def epochs_in(events):
    return [
        event.current_epoch for event in events if isinstance(event, StatusChanged) and event.current_epoch
    ]


async def test_a_job_of_a_worker_that_was_killed_goes_on_by_itself(lab, labels, tmp_path):
    """A lab's worker ends without a word, as by ``kill -9``."""
    async with lab.worker("gpu-1", ScriptedTrainer(hold=True, epochs=4)):
        record = await begin_and_die(lab, labels)
    trainer, events = ScriptedTrainer(hold=True, epochs=4), []
    async with lab.worker("gpu-1", trainer) as agent:
        await trainer.started.wait()  # nobody has asked for that
        trainer.go_on.set()
        completed = await attach(record, events)
        await until(lambda: not list(agent.jobs_dir.iterdir()))
    epochs = epochs_in(events)
    assert list(dict.fromkeys(epochs)) in ([1, 2, 3, 4], [2, 3, 4])
    seqs = [event.seq for event in events if isinstance(event, StatusChanged)]
    assert seqs == sorted(set(seqs))
    assert completed.total_epochs == 4
    assert completed.cut_short is None
    assert find(record.job_id).state == "completed"


async def test_a_job_of_a_worker_that_is_stopped_goes_on_when_it_is_back(lab, labels):
    trainer = ScriptedTrainer(hold=True, epochs=4)
    async with lab.worker("gpu-1", trainer) as agent, lab.peer("watcher") as watcher:
        record = await begin_and_die(lab, labels)
        (left,) = await agent.leave()
        assert (left.job_id, left.place) == (record.job_id, " after epoch 1 of 4")
        assert trainer.running == 0
        attached = await state_of(watcher, "gpu-1", record)
        assert (attached.state, attached.last_status.details.interrupted) == ("interrupted", True)
        assert attached.last_status.message.endswith("continues when the worker is started again.")
    async with lab.worker("gpu-1", ScriptedTrainer(epochs=4)):
        completed = await attach(record)
    assert (completed.total_epochs, completed.cut_short) == (4, None)


async def test_the_client_that_waits_sees_it_go_on(lab, labels):
    """It isn't told that the worker is gone, which is back before that counts."""
    events, results = [], []

    async def train():
        results.append(await lab.train(labels, events.append))

    async with trio.open_nursery() as nursery:
        async with lab.worker("gpu-1", ScriptedTrainer(hold=True, epochs=3)):
            nursery.start_soon(train)
            await until(lambda: epochs_in(events))
        async with lab.worker("gpu-1", ScriptedTrainer(epochs=3)):
            await until(lambda: results)
    assert results[0].total_epochs == 3


async def test_other_jobs_wait_for_those_that_go_on(lab, labels):
    """Two jobs ran at once; the worker comes back with one slot."""
    other = make_labels(labels.with_name("other.pkg.slp"), padding_bytes=50_000)
    async with lab.worker("gpu-1", ScriptedTrainer(hold=True), max_jobs=2):
        first = await begin_and_die(lab, labels)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lab.train, other)
            await until(lambda: len(load_all()) == 2)
            second = next(record for record in load_all() if record.job_id != first.job_id)
            async with lab.peer("watcher") as watcher:
                await until(lambda: state_is(watcher, second, "training"))
            nursery.cancel_scope.cancel()
    trainer = ScriptedTrainer(hold=True)
    async with lab.worker("gpu-1", trainer) as agent, lab.peer("watcher") as watcher:
        await trainer.started.wait()
        assert {job.job_id for job in agent._roster.running()} == {first.job_id, second.job_id}
        states = {(await state_of(watcher, "gpu-1", record)).state for record in (first, second)}
        assert states == {"training", "interrupted"}
        trainer.go_on.set()
        for record in (first, second):
            assert (await attach(record)).total_epochs == 3


async def test_a_cancelled_job_does_not_go_on(lab, labels):
    async with lab.worker("gpu-1", ScriptedTrainer(hold=True)) as agent:
        record = await begin_and_die(lab, labels)
        await agent.leave()
        async with lab.peer("watcher") as watcher:
            await watcher.send_job_message("gpu-1", JobCancel(record.job_id, attach_key=record.attach_key))
            await answer(watcher, of=JobCancelled)
        assert not list(agent.jobs_dir.iterdir())
    trainer = ScriptedTrainer()
    async with lab.worker("gpu-1", trainer), lab.peer("watcher") as watcher:
        attached = await state_of(watcher, "gpu-1", record)
        assert (attached.state, attached.error.code) == ("failed", "CANCELLED")
    assert not trainer.jobs


async def test_a_stop_is_remembered(lab, labels):
    """The worker ends after its client asked to end the job early, and before it did."""

    class Deaf(ScriptedTrainer):
        async def train(self, job, *, report, stop):
            return await super().train(job, report=report, stop=trio.Event())

    async with lab.worker("gpu-1", Deaf(hold=True, epochs=9)), lab.peer("watcher") as watcher:
        record = await begin_and_die(lab, labels)
        await watcher.send_job_message("gpu-1", JobStop(record.job_id, record.attach_key))
        await until(lambda: is_stopping(watcher, record))
    trainer = ScriptedTrainer(hold=True, epochs=9)
    async with lab.worker("gpu-1", trainer):
        assert (await attach(record)).total_epochs == 2
    assert trainer.stopped_early


async def test_an_owner_who_gives_jobs_up_leaves_their_best_models(lab, labels):
    async with lab.worker("gpu-1", ScriptedTrainer(hold=True, epochs=6)) as agent:
        record = await begin_and_die(lab, labels)
        await agent.leave()
    trainer = ScriptedTrainer(epochs=6)
    async with lab.worker("gpu-1", trainer, resumes=False), lab.peer("watcher") as watcher:
        completed = await attach(record)
        await until(lambda: state_is(watcher, record, "delivered"))
    assert not trainer.jobs
    cut = "The training was cut short: 1 of 6 epochs. The worker's owner stopped it for good."
    assert (completed.total_epochs, completed.cut_short) == (1, cut)
    assert len(completed.model_dirs) == 1


async def test_a_trainer_that_fails_each_time_leaves_what_there_is(lab, labels):
    async with lab.worker("gpu-1", ScriptedTrainer(hold=True)):
        record = await begin_and_die(lab, labels)
    broken = ScriptedTrainer()

    async def train(job, *, report, stop):
        broken.jobs.append(job)
        raise TrainerError("sleap-nn isn't installed any more.", error_code="NO_TRAINER", recoverable=True)

    broken.train = train
    async with lab.worker("gpu-1", broken):
        completed = await attach(record)
    assert len(broken.jobs) == 2
    assert completed.cut_short.endswith("1 of 3 epochs. sleap-nn isn't installed any more.")


async def test_a_worker_that_ends_each_time_does_not_try_for_ever(lab, labels):
    async with lab.worker("gpu-1", ScriptedTrainer(hold=True)):
        record = await begin_and_die(lab, labels)
    for _ in range(2):
        trainer = ScriptedTrainer()

        async def train(job, *, report, stop, trainer=trainer):
            trainer.started.set()
            await trio.sleep_forever()

        trainer.train = train
        async with lab.worker("gpu-1", trainer):
            await trainer.started.wait()
    trainer = ScriptedTrainer()
    async with lab.worker("gpu-1", trainer):
        completed = await attach(record)
    assert not trainer.jobs
    assert completed.cut_short.endswith("The worker ended each time the job was resumed.")


async def test_inputs_that_are_gone_cost_no_model_that_is_there(lab, labels, tmp_path):
    async with lab.worker("gpu-1", ScriptedTrainer(hold=True)):
        record = await begin_and_die(lab, labels)
    (dataset,) = (tmp_path / "gpu-1").glob("*/dataset/*")
    dataset.unlink()
    async with lab.worker("gpu-1"):
        completed = await attach(record)
    assert completed.cut_short.endswith("The job's files aren't on the worker any more.")


async def test_a_job_of_which_nothing_is_left_fails_with_its_reason(lab, labels, tmp_path):
    trainer = ScriptedTrainer()
    trainer.salvages = False
    async with lab.worker("gpu-1", ScriptedTrainer(hold=True)):
        record = await begin_and_die(lab, labels)
    shutil.rmtree(next((tmp_path / "gpu-1").glob("job-*")))
    for _ in range(2):  # it stays the same after another restart
        async with lab.worker("gpu-1", trainer):
            with pytest.raises(JobFailedError, match="files aren't on the worker") as caught:
                await attach(attrs.evolve(record, state="running"))
        assert caught.value.error_code == "WORKER_RESTARTED"
    assert find(record.job_id).state == "failed"


async def test_an_owner_may_stop_the_worker_as_often_as_that_takes(lab, labels):
    async with lab.worker("gpu-1", ScriptedTrainer(hold=True)):
        record = await begin_and_die(lab, labels)
    for _ in range(4):
        trainer = ScriptedTrainer()

        async def train(job, *, report, stop, trainer=trainer):
            trainer.started.set()
            await trio.sleep_forever()

        trainer.train = train
        async with lab.worker("gpu-1", trainer) as agent:
            await trainer.started.wait()
            assert len(await agent.leave()) == 1
    async with lab.worker("gpu-1"):
        assert (await attach(record)).cut_short is None


async def test_predictions_begin_again(lab, tmp_path):
    video, model = make_video(tmp_path / "flies.mp4"), make_model(tmp_path / "single", "single_instance")
    trainers = [ScriptedTrainer(hold=hold, job_types=("training", "inference")) for hold in (True, False)]
    async with lab.worker("gpu-1", trainers[0]), trio.open_nursery() as nursery:
        nursery.start_soon(lab.track, video, model)
        await trainers[0].started.wait()
        nursery.cancel_scope.cancel()
    (record,) = load_all()
    async with lab.worker("gpu-1", trainers[1]):
        completed = await attach(record)
    assert completed.frame_count == 4
    assert trainers[0].jobs == trainers[1].jobs


async def test_a_killed_trainer_goes_on_by_itself(lab, labels):
    """Such as by a kernel that runs out of memory: the worker is there all the while."""
    trainer, killed = ScriptedTrainer(epochs=3), []
    goes_on = trainer.train

    async def train(job, *, report, stop):
        if not killed:
            killed.append(job)
            trainer.failure = TrainerError("It was killed.", error_code="KILLED", recoverable=True)
        else:
            trainer.failure = None
        return await goes_on(job, report=report, stop=stop)

    trainer.train = train
    events = []
    async with lab.worker("gpu-1", trainer):
        completed = await lab.train(labels, events.append)
    assert epochs_in(events) == [1, 2, 3]
    assert (completed.total_epochs, completed.cut_short) == (3, None)
