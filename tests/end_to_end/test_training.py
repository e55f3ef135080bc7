"""The whole way of a job over a real server and real data channels; only the training itself is scripted."""

import pytest
import trio

from sleaprtc.client.events.job import (
    Answered,
    Completed,
    Connected,
    StatusChanged,
    Transferred,
    WorkerLost,
    WorkersFound,
)
from sleaprtc.client.jobs.order.filters import WorkerFilters
from sleaprtc.errors import (
    JobFailedError,
    NoWorkerError,
    TrainerError,
    UsageError,
    WorkerLostError,
)
from sleaprtc.jobs.estimate import PastModel
from sleaprtc.protocol.codec import decode_job_message
from sleaprtc.protocol.jobs import (
    JobAssignment,
    JobCancel,
    JobRequest,
    JobResponse,
    WorkerInfo,
)
from sleaprtc.protocol.messages import PeerMessage
from sleaprtc.worker.journal.past_trainings import History

from ..support.lab import ScriptedTrainer, make_checkpoint, make_labels
from ..support.waiting import until


@pytest.fixture
def labels(tmp_path):
    return make_labels(tmp_path / "flies.pkg.slp", padding_bytes=3_000_000)


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


async def test_a_model_comes_back(lab, labels, tmp_path):
    trainer, events = ScriptedTrainer(), []
    async with lab.worker("gpu-1", trainer), lab.worker("gpu-2"):
        completed = await lab.train(
            labels, events.append, settings={"model_type": "centroid", "epochs": 3}, worker=None
        )
    assert completed.model_dirs == (str(tmp_path / "models" / "centroid"),)
    original = make_checkpoint(tmp_path / "original.ckpt")
    assert (tmp_path / "models" / "centroid" / "best.ckpt").read_bytes() == original.read_bytes()
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["centroid"]
    (job,) = trainer.jobs
    assert job.requested == {"model_type": "centroid", "epochs": 3}
    assert {w.worker for w in of(WorkersFound, events)[0].workers} == {"gpu-1", "gpu-2"}
    (answered,) = of(Answered, events)
    assert [answer.accepted for answer in answered.answers] == [True, True]
    assert answered.chosen == "gpu-1"
    assert of(Connected, events)
    sent = [event for event in of(Transferred, events) if event.direction == "send"]
    assert sent[-1].received_bytes == sent[-1].size_bytes == labels.stat().st_size
    epochs = [event.current_epoch for event in of(StatusChanged, events) if event.current_epoch]
    assert list(dict.fromkeys(epochs)) == [1, 2, 3]
    assert isinstance(events[-1], Completed)
    assert (completed.worker, completed.device, completed.total_epochs) == ("gpu-1", "cuda:0", 3)


async def test_nothing_of_a_job_stays_on_the_worker(lab, labels):
    async with lab.worker("gpu-1") as agent, lab.peer("watcher") as watcher:
        await lab.train(labels)
        await until(lambda: not list(agent.jobs_dir.iterdir()))
        (worker,) = await watcher.discover({"role": "worker"})
        assert worker.metadata.properties["status"] == "available"


async def test_the_worker_with_the_better_past_is_chosen(lab, labels, tmp_path):
    History(tmp_path / "gpu-2.jsonl").add([PastModel("centroid", 5, 3, 40)])
    History(tmp_path / "gpu-1.jsonl").add([PastModel("centroid", 5, 3, 4000)])
    async with lab.worker("gpu-1"), lab.worker("gpu-2"):
        completed = await lab.train(labels, settings={"model_type": "centroid", "epochs": 3})
    assert completed.worker == "gpu-2"


async def test_an_earlier_model_is_kept(lab, labels, tmp_path):
    (tmp_path / "models" / "centroid").mkdir(parents=True)
    async with lab.worker("gpu-1"):
        completed = await lab.train(labels)
    assert completed.model_dirs == (str(tmp_path / "models" / "centroid-1"),)


async def test_configurations_arrive_before_the_dataset(lab, labels, tmp_path):
    config = tmp_path / "centroid.yaml"
    config.write_text("model_config: {backbone_config: {unet: {}}, head_configs: {centroid: {}}}\n")
    trainer = ScriptedTrainer()
    async with lab.worker("gpu-1", trainer):
        await lab.train(labels, configs=[config])
    (job,) = trainer.jobs
    assert [path.name for path in job.configs] == ["centroid.yaml"]
    assert job.requested["model_type"] == "centroid"


async def test_a_failure_comes_as_its_sentence(lab, labels, tmp_path):
    failure = TrainerError("The loss isn't finite any more.", error_code="LOSS_NOT_FINITE")
    async with lab.worker("gpu-1", ScriptedTrainer(failure=failure)) as agent:
        with pytest.raises(JobFailedError, match="isn't finite") as caught:
            await lab.train(labels)
        assert caught.value.error_code == "LOSS_NOT_FINITE"
        await until(lambda: not list(agent.jobs_dir.iterdir()))
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.logs_error("RuntimeError: bug")
async def test_a_trainer_that_breaks_is_no_silence(lab, labels):
    async with lab.worker("gpu-1", ScriptedTrainer(failure=RuntimeError("bug"))):
        with pytest.raises(JobFailedError, match="unexpectedly"):
            await lab.train(labels)


async def test_no_worker(lab, labels):
    with pytest.raises(NoWorkerError, match="no worker in the room"):
        await lab.train(labels)
    async with lab.worker("gpu-1"):
        with pytest.raises(NoWorkerError, match="no worker named gpu-2"):
            await lab.train(labels, worker="gpu-2")


async def test_all_refuse(lab, labels):
    events = []
    async with lab.worker("gpu-1"), lab.worker("gpu-2"):
        with pytest.raises(NoWorkerError) as caught:
            await lab.train(labels, events.append, min_gpu_memory_mb=99999, filters=WorkerFilters(tags=()))
    assert "gpu-1 said insufficient_memory" in str(caught.value)
    assert "gpu-2 said insufficient_memory" in str(caught.value)
    assert of(Answered, events)[0].chosen is None


async def test_an_unwritable_out_folder(lab, labels, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="can't be written"):
        await lab.train(labels, out_dir=tmp_path / "file" / "models")


async def test_cancelling_cancels_on_the_worker(lab, labels):
    trainer = ScriptedTrainer(hold=True)
    async with lab.worker("gpu-1", trainer) as agent, lab.peer("watcher") as watcher:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lab.train, labels)
            await trainer.started.wait()
            nursery.cancel_scope.cancel()
        await until(lambda: not (trainer.running or list(agent.jobs_dir.iterdir())))

        async def is_available():
            (worker,) = await watcher.discover({"role": "worker"})
            return worker.metadata.properties["status"] == "available"

        await until(is_available)


async def test_two_clients_on_two_workers(lab, labels, tmp_path):
    first = ScriptedTrainer(hold=True)
    results = []

    async def train(name):
        results.append(await lab.train(labels, out_dir=tmp_path / name))

    async with lab.worker("gpu-1", first), lab.worker("gpu-2"), trio.open_nursery() as nursery:
        nursery.start_soon(train, "a")
        await first.started.wait()
        await train("b")
        first.go_on.set()
    assert [result.worker for result in results] == ["gpu-2", "gpu-1"]


# --- workers that vanish --------------------------------------------------------------------


async def serve_until_assigned(peer, *, minutes):
    """Accepts jobs with a better estimate than anybody's, and returns when one is assigned."""
    while True:
        message = await peer.receive()
        if not isinstance(message, PeerMessage):
            continue
        payload = decode_job_message(message.payload)
        if isinstance(payload, JobRequest):
            response = JobResponse(payload.job_id, True, 0, minutes, WorkerInfo(0.0, 1000))
            await peer.send_job_message(message.from_peer_id, response)
        elif isinstance(payload, JobAssignment):
            return
        else:
            assert isinstance(payload, JobCancel)


async def test_the_chosen_one_vanishes_before_it_begins(lab, labels):
    events = []

    async def vanish(task_status):
        async with lab.peer("aaa-best", "worker") as peer:
            task_status.started()
            await serve_until_assigned(peer, minutes=0.01)

    async with lab.worker("gpu-2"), trio.open_nursery() as nursery:
        await nursery.start(vanish)
        completed = await lab.train(labels, events.append)
    (lost,) = of(WorkerLost, events)
    assert lost.worker == "aaa-best"
    assert completed.worker == "gpu-2"


async def test_the_worker_vanishes_during_training(lab, labels):
    trainer = ScriptedTrainer(hold=True)

    async def work(task_status):
        async with lab.worker("gpu-1", trainer):
            with trio.CancelScope() as scope:
                task_status.started(scope)
                await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        worker_scope = await nursery.start(work)

        def cut_in_the_first_epoch(event):
            if isinstance(event, StatusChanged) and event.current_epoch:
                worker_scope.cancel()

        with trio.fail_after(60), pytest.raises(WorkerLostError, match="during training"):
            await lab.train(labels, cut_in_the_first_epoch, away_sec=1)


async def test_a_slow_worker_that_accepts_too_late_is_told(lab, labels):
    told, trainer = trio.Event(), ScriptedTrainer(hold=True)

    async def answer_late(task_status):
        async with lab.peer("slow", "worker") as peer:
            task_status.started()
            asked = await peer.receive()
            request = decode_job_message(asked.payload)
            await trainer.started.wait()  # the other worker has the job
            await peer.send_job_message(asked.from_peer_id, JobResponse(request.job_id, True, 0, 1))
            said = decode_job_message((await peer.receive()).payload)
            assert said == JobCancel(request.job_id, "assigned_elsewhere")
            told.set()

    async with lab.worker("gpu-1", trainer), trio.open_nursery() as nursery:
        await nursery.start(answer_late)
        nursery.start_soon(release_when, told, trainer)
        await lab.train(labels, response_timeout_sec=2)
    assert told.is_set()


async def release_when(event, trainer):
    await event.wait()
    trainer.go_on.set()
