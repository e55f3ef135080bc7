"""Half-open connections to the server: messages are lost without an error."""

from __future__ import annotations

from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import attrs
import pytest
import trio

from sleaprtc.client.events.job import Connected, Notice, StatusChanged, Transferred
from sleaprtc.client.jobs.follower.follow import Follower
from sleaprtc.client.records.files import load_all
from sleaprtc.errors import JobFailedError, TakenOverError, WorkerLostError
from sleaprtc.protocol.codec import decode_job_message
from sleaprtc.protocol.jobs import (
    JobAssignment,
    JobAttach,
    JobAttached,
    JobFailed,
    JobRequest,
    JobResponse,
    JobStatus,
)
from sleaprtc.protocol.messages import Metadata, Offer, PeerMessage
from sleaprtc.signaling.http import Endpoints
from sleaprtc.signaling.link import Membership, open_link
from sleaprtc.worker.agent import Agent
from sleaprtc.worker.jobs.messages import failure

from ..support.job_messages import answer
from ..support.lab import NOT_FINITE, ScriptedTrainer, make_labels
from ..support.waiting import until
from .proxy import Proxy


@pytest.fixture
def labels(tmp_path):
    return make_labels(tmp_path / "flies.pkg.slp", padding_bytes=10_000)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Shortens the time until half-open connections are noticed, and no other time."""
    monkeypatch.setattr("sleaprtc.signaling.session.REQUEST_TIMEOUT_SEC", 1.0)
    monkeypatch.setattr("sleaprtc.signaling.session.CONFIRM_TIMEOUT_SEC", 1.0)
    monkeypatch.setattr("sleaprtc.signaling.websocket.DISCONNECT_TIMEOUT_SEC", 0.2)
    monkeypatch.setattr("sleaprtc.client.jobs.follower.watch.SILENCE_SEC", 1.0)
    monkeypatch.setattr("sleaprtc.client.jobs.follower.watch.CHECK_INTERVAL_SEC", 0.1)


async def path_to(server, nursery):
    proxy = Proxy(urlsplit(server.ws_url).port)
    await nursery.start(proxy.run)
    return proxy


@pytest.fixture
async def client_path(server, nursery):
    """The client's own path to the server."""
    return await path_to(server, nursery)


@pytest.fixture
async def worker_path(server, nursery):
    """The worker's own path to the server."""
    return await path_to(server, nursery)


def over(lab, path):
    endpoints = Endpoints(f"ws://127.0.0.1:{path.port}/", lab.endpoints.http_url)
    return attrs.evolve(lab, endpoints=endpoints)


async def train_while(lab, labels, meddle, **changes):
    """Trains while ``meddle`` runs; returns the training's result or error, and its events."""
    ended, events = [], []

    async def train():
        try:
            ended.append(await lab.train(labels, events.append, **changes))
        except (JobFailedError, TakenOverError) as error:
            ended.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(train)
        await meddle(events)
    return ended[0], events


async def freeze_in_training(path, trainer, events):
    """Freezes a path once the job is known to be running, and then lets the training go on."""
    await trainer.started.wait()
    await until(
        lambda: any(isinstance(event, StatusChanged) and event.status == "running" for event in events)
    )
    path.freeze()
    trainer.go_on.set()


# --- the client's connection ----------------------------------------------------------------


async def test_a_client_learns_why_its_job_failed(lab, labels, client_path):
    trainer = ScriptedTrainer(hold=True)
    trainer.train = failing_later(trainer)

    async def meddle(events):
        await freeze_in_training(client_path, trainer, events)

    async with lab.worker("gpu-1", trainer):
        ended, _ = await train_while(over(lab, client_path), labels, meddle)
    assert type(ended) is JobFailedError
    assert ended.error_code == "LOSS_NOT_FINITE"


def failing_later(trainer):
    """A training that starts, and fails once it may go on."""
    train = trainer.train

    async def train_and_fail(job, *, report, stop):
        await train(job, report=report, stop=stop)
        raise NOT_FINITE

    return train_and_fail


async def test_a_client_whose_model_came_home_learns_its_figures(lab, labels, client_path):
    trainer = ScriptedTrainer(hold=True)

    async def meddle(events):
        await freeze_in_training(client_path, trainer, events)

    async with lab.worker("gpu-1", trainer):
        completed, _ = await train_while(over(lab, client_path), labels, meddle)
    assert len(completed.model_dirs) == 1
    assert (completed.final_loss, completed.total_epochs, completed.device) == (1 / 3, 3, "cuda:0")


async def test_a_client_is_told_that_another_process_follows_its_job(lab, labels, client_path):
    trainer = ScriptedTrainer(hold=True)

    async def meddle(events):
        await trainer.started.wait()
        await until(lambda: any(isinstance(event, StatusChanged) for event in events))
        client_path.freeze()
        (record,) = load_all()
        await elsewhere.send_job_message("gpu-1", JobAttach(record.job_id, record.attach_key))

    async with lab.worker("gpu-1", trainer), lab.peer("elsewhere") as elsewhere:
        ended, _ = await train_while(over(lab, client_path), labels, meddle)
        assert trainer.running == 1
    assert type(ended) is TakenOverError


async def test_a_lost_assignment_is_made_again(lab, labels, client_path, monkeypatch):
    """The path is frozen between the worker's answer and the assignment."""
    assign = Follower._assign

    async def freeze_and_assign(follower):
        client_path.freeze()
        await assign(follower)

    monkeypatch.setattr(Follower, "_assign", freeze_and_assign)

    async def wait(_):
        return

    async with lab.worker("gpu-1"):
        completed, events = await train_while(over(lab, client_path), labels, wait)
    assert len(completed.model_dirs) == 1
    assert any(isinstance(event, Notice) and "Back in the room" in event.message for event in events)


async def test_an_assignment_is_repeated_until_its_worker_is_heard(lab, labels, monkeypatch):
    """It never reaches the worker, and no connection to the server is lost to the client's knowledge."""
    monkeypatch.setattr("sleaprtc.client.jobs.follower.follow.ASSIGN_AGAIN_SEC", 0.5)
    assign, lost = Agent._assign, []

    def lose_the_first(agent, client_id, job_id, nursery):
        if len(lost) < 1:
            lost.append(job_id)
        else:
            assign(agent, client_id, job_id, nursery)

    monkeypatch.setattr(Agent, "_assign", lose_the_first)
    async with lab.worker("gpu-1"):
        completed = await lab.train(labels)
    assert [completed.job_id] == lost


async def test_a_lost_offer_is_made_again(lab, labels, client_path, monkeypatch):
    """The path is frozen when the job is assigned, and before there is a data channel."""
    assign = Follower._assign

    async def assign_and_freeze(follower):
        await assign(follower)
        client_path.freeze()

    monkeypatch.setattr(Follower, "_assign", assign_and_freeze)

    async def wait(_):
        return

    async with lab.worker("gpu-1"):
        completed, events = await train_while(over(lab, client_path), labels, wait)
    assert len(completed.model_dirs) == 1
    assert [type(event) for event in events].count(Connected) == 1


async def test_a_lost_cancellation_is_sent_again(lab, labels, client_path):
    trainer = ScriptedTrainer(hold=True)
    events = []
    async with lab.worker("gpu-1", trainer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(over(lab, client_path).train, labels, events.append)
            await trainer.started.wait()
            client_path.freeze()
            nursery.cancel_scope.cancel()
        assert trainer.running == 0
    assert any(isinstance(event, Notice) and "was cancelled on gpu-1" in event.message for event in events)


# --- the worker's connection ----------------------------------------------------------------


@asynccontextmanager
async def worker_over(lab, path, trainer):
    async with over(lab, path).worker("gpu-1", trainer) as agent:
        yield agent


@pytest.mark.parametrize("fails", [True, False])
async def test_a_worker_s_last_word_is_said_until_the_server_has_it(lab, labels, worker_path, fails):
    trainer = ScriptedTrainer(hold=True)
    if fails:
        trainer.train = failing_later(trainer)

    async def meddle(events):
        await freeze_in_training(worker_path, trainer, events)

    async with worker_over(lab, worker_path, trainer):
        ended, _ = await train_while(lab, labels, meddle)
    if fails:
        assert (type(ended), ended.error_code) == (JobFailedError, "LOSS_NOT_FINITE")
    else:
        assert (ended.final_loss, ended.total_epochs, ended.device) == (1 / 3, 3, "cuda:0")


async def test_a_worker_that_cannot_be_heard_is_not_lost_while_its_channel_is_there(
    lab, labels, worker_path, monkeypatch
):
    monkeypatch.setattr("sleaprtc.client.jobs.follower.exchange.FURTHER_FILE_SEC", 0.1)
    trainer = ScriptedTrainer(hold=True)

    async def meddle(events):
        await trainer.started.wait()
        await until(lambda: any(isinstance(event, Transferred) for event in events))
        worker_path.freeze()
        await trio.sleep(2)  # twice SILENCE_SEC
        trainer.go_on.set()

    async with worker_over(lab, worker_path, trainer):
        completed, _ = await train_while(lab, labels, meddle)
    assert not isinstance(completed, WorkerLostError)
    assert len(completed.model_dirs) == 1


async def test_a_worker_that_leaves_when_its_result_is_here_is_not_lost(
    lab, labels, worker_path, monkeypatch
):
    """``job_complete`` never arrives, and the data channel is gone."""
    monkeypatch.setattr("sleaprtc.client.jobs.follower.inquiry.ASKED_WORD_SEC", 4.0)
    monkeypatch.setattr("sleaprtc.client.jobs.follower.exchange.FURTHER_FILE_SEC", 0.1)
    trainer, stay = ScriptedTrainer(hold=True), trio.CancelScope()

    async def meddle(events):
        await freeze_in_training(worker_path, trainer, events)
        await until(lambda: any(has_arrived(event) for event in events))
        stay.cancel()

    async def run_worker(*, task_status):
        with stay:
            async with worker_over(lab, worker_path, trainer):
                task_status.started()
                await trio.sleep_forever()

    async with trio.open_nursery() as worker:
        await worker.start(run_worker)
        ended, _ = await train_while(lab, labels, meddle, away_sec=1.5)
    assert not isinstance(ended, WorkerLostError)
    assert len(ended.model_dirs) == 1


def has_arrived(event):
    """Whether a file has arrived completely."""
    is_received = isinstance(event, Transferred) and event.direction == "receive"
    return is_received and event.received_bytes == event.size_bytes


# --- peers that know only the contract ------------------------------------------------------


async def test_a_client_that_offers_again_is_told_again_why_its_job_failed(lab, client_path, monkeypatch):
    monkeypatch.setattr("sleaprtc.jobs.capacity.UNPROVEN_CONNECT_SEC", 0.3)
    monkeypatch.setattr("sleaprtc.jobs.capacity.CONNECT_SEC", 0.3)
    membership = Membership(over(lab, client_path).endpoints, lab.room, "bare", "client", Metadata())
    async with lab.worker("gpu-1"), open_link(membership, lab.account) as bare:
        await bare.send_job_message("gpu-1", JobRequest("job-1", "training"))
        assert (await answer(bare, of=JobResponse)).accepted
        await bare.send_job_message("gpu-1", JobAssignment("job-1"))
        failed = await answer(bare, of=JobFailed)
        for _ in range(2):
            await bare.send(Offer("bare", "gpu-1", "v=0"))
            assert await answer(bare, of=JobFailed) == failed


async def test_a_worker_that_does_not_announce_it_is_never_asked(lab, labels, client_path):
    """It gets only messages of the contract, although the client was away in the meantime."""
    heard = []
    async with lab.peer("foreign", "worker") as foreign, trio.open_nursery() as nursery:

        async def train():
            with pytest.raises(JobFailedError):
                await over(lab, client_path).train(labels)
            nursery.cancel_scope.cancel()

        nursery.start_soon(train)
        while True:
            message = await foreign.receive()
            if not isinstance(message, PeerMessage):
                continue
            word = decode_job_message(message.payload)
            heard.append(type(word).__name__)
            if isinstance(word, JobRequest):
                client = message.from_peer_id
                await foreign.send_job_message(client, JobResponse(word.job_id, accepted=True))
            elif isinstance(word, JobAssignment):
                if heard.count("JobAssignment") == 1:
                    client_path.cut()
                else:
                    await foreign.deliver_job_message(client, failure(word.job_id, NOT_FINITE))
    assert set(heard) <= {"JobRequest", "JobAssignment", "JobCancel"}


async def test_a_result_that_its_worker_has_laid_down_is_attached_to(lab, labels, client_path):
    """A scripted worker, which finished while the client was away and has given up waiting for it."""
    questions = []
    features = {"features": ["attach/1"]}
    async with lab.peer("by-hand", "worker", **features) as worker, trio.open_nursery() as nursery:

        async def train():
            with pytest.raises(JobFailedError):
                await over(lab, client_path).train(labels)
            nursery.cancel_scope.cancel()

        nursery.start_soon(train)
        while True:
            message = await worker.receive()
            if not isinstance(message, PeerMessage):
                continue
            client, word = message.from_peer_id, decode_job_message(message.payload)
            if isinstance(word, JobRequest):
                await worker.send_job_message(client, JobResponse(word.job_id, accepted=True))
            elif isinstance(word, JobAssignment):
                await worker.deliver_job_message(client, JobStatus(word.job_id, "running", seq=7))
                await trio.sleep(0.2)
                client_path.cut()
            elif isinstance(word, JobAttach):
                questions.append((word.follow, word.after_seq))
                if word.follow:
                    await worker.deliver_job_message(client, failure(word.job_id, NOT_FINITE))
                else:
                    await worker.send_job_message(client, JobAttached(word.job_id, "completed"))
    assert questions == [(False, 0), (True, 7)]
