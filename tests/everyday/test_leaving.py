"""What a job's record says where its process leaves, loses its worker, or hands it to another process."""

import json
from contextlib import nullcontext
from functools import partial

import attrs
import pytest
import trio

from sleaprtc.client.display.words import completion_lines
from sleaprtc.client.events.job import Completed, Connected, Detached, Notice, Retrying
from sleaprtc.client.inbox import Inbox
from sleaprtc.client.jobs.attach import attach_to_job
from sleaprtc.client.jobs.follower.exchange import FileExchange
from sleaprtc.client.jobs.follower.watch import Look
from sleaprtc.client.jobs.inquiries.ask import open_asker
from sleaprtc.client.jobs.order.control import JobControl
from sleaprtc.client.jobs.order.persistence import Persistence
from sleaprtc.client.jobs.submission.lost import LostJobs
from sleaprtc.client.records.files import find, load_all, save
from sleaprtc.client.records.logbook import Logbook
from sleaprtc.errors import (
    JobFailedError,
    NobodyReadsError,
    NotFinishedError,
    SignalingLostError,
    TakenOverError,
    WorkerLostError,
)
from sleaprtc.protocol.codec import decode_job_message
from sleaprtc.protocol.jobs import (
    JobAssignment,
    JobAttach,
    JobAttached,
    JobCancel,
    JobCancelled,
    JobRequest,
    JobResponse,
)

from ..support.client_jobs import is_in_state, record_of, seen_training
from ..support.job_messages import answer
from ..support.lab import LOOPBACK, ScriptedTrainer, open_lab
from ..support.waiting import until

WORKER = {"status": "available", "gpu_memory_mb": 16384, "supported_models": ["centroid"]}


async def test_a_job_is_cancelled_only_where_its_worker_says_so(start_server, tmp_path, labels, trainer):
    """The server is gone when the person interrupts: the worker trains on, and nothing else is claimed."""
    stop, events, control = trio.Event(), [], JobControl()
    lab = await open_lab(await start_server(stop=stop), tmp_path)
    async with lab.worker("gpu-1", trainer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(lab.train, labels, events.append, control=control))
            await seen_training(events)
            stop.set()
            await trio.sleep(0.5)
            control.is_discarding = True
            nursery.cancel_scope.cancel()
        assert trainer.running == 1
        (record,) = load_all()
        assert record.state == "lost"
        assert record.message.endswith(f"sleap-rtc client cancel {record.job_id[:8]}")
        assert [event for event in events if isinstance(event, Notice)][-1].message == record.message


async def test_a_job_that_is_thrown_away_is_cancelled(lab, labels, trainer):
    events, control = [], JobControl()
    async with lab.worker("gpu-1", trainer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(lab.train, labels, events.append, control=control))
            await seen_training(events)
            control.is_discarding = True
            nursery.cancel_scope.cancel()
        assert load_all()[0].state == "cancelled"
        await until(lambda: not trainer.running)


async def test_a_cancelled_call_leaves_the_job_to_its_worker(lab, labels, trainer):
    events = []
    async with lab.worker("gpu-1", trainer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lab.train, labels, events.append)
            await seen_training(events)
            nursery.cancel_scope.cancel()
        (record,) = load_all()
        assert record.state == "running"
        assert events[-1] == Detached(record.job_id, "gpu-1")
        assert trainer.running == 1


async def accept(lab, name, told, *, task_status):
    """Accepts jobs; ``told`` gets what it hears besides."""
    async with lab.peer(name, "worker", **WORKER) as peer:
        task_status.started()
        while True:
            asked = await peer.receive()
            message = decode_job_message(asked.payload)
            if isinstance(message, JobRequest):
                await peer.send_job_message(asked.from_peer_id, JobResponse(message.job_id, True, 0, 1))
                continue
            told.append(message)
            if isinstance(message, JobCancel):
                await peer.send_job_message(asked.from_peer_id, JobCancelled(message.job_id))


@pytest.mark.parametrize("ends_by", ["an interrupt", "a server that doesn't confirm"])
async def test_leaving_while_the_job_is_assigned_frees_all_that_accepted(lab, labels, monkeypatch, ends_by):
    """The worker has its assignment, and the server's confirmation of it doesn't come."""
    deliver, assigned, told = Inbox.deliver, trio.Event(), {"gpu-1": [], "gpu-2": []}

    async def deliver_unconfirmed(inbox, worker_id, message):
        await deliver(inbox, worker_id, message)
        if isinstance(message, JobAssignment):
            assigned.set()
            await trio.sleep_forever()

    async def train():
        with pytest.raises(SignalingLostError) if ends_by != "an interrupt" else nullcontext():
            await lab.train(labels, away_sec=0.5)

    monkeypatch.setattr("sleaprtc.client.inbox.Inbox.deliver", deliver_unconfirmed)
    if ends_by != "an interrupt":
        monkeypatch.setattr("sleaprtc.client.jobs.follower.follow.RESERVATION_SEC", 0.5)
    async with trio.open_nursery() as workers:
        for name in told:
            await workers.start(accept, lab, name, told[name])
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(train)
                await assigned.wait()
                if ends_by == "an interrupt":
                    nursery.cancel_scope.cancel()
            await until(lambda: all(said and isinstance(said[-1], JobCancel) for said in told.values()))
        workers.cancel_scope.cancel()
    chosen, other = sorted(told.values(), key=len, reverse=True)
    assert [type(message) for message in chosen] == [JobAssignment, JobCancel]
    assert [message.reason for message in (chosen[-1], *other)] == ["client_left", "client_left"]


@pytest.mark.parametrize("words", [(), ("--json",)])
async def test_work_that_has_begun_goes_on_where_nobody_reads_of_it(lab, client, labels, trainer, words):
    """As with ``sleap-rtc client train ... | head``."""
    async with lab.worker("gpu-1", trainer):
        training = await client.start("train", labels, "--ice-loopback", "--out", "models", *words)
        await training.until('"status": "running"' if words else "epoch")
        training.stop_reading()
        await trio.sleep(0.2)
        trainer.go_on.set()
        ended = await training.end()
        (record,) = load_all()
        hint = f"sleap-rtc client attach {record.job_id[:8]}"
        assert (ended.status, ended.stderr) == (
            141,
            f"Error: The output of this command isn't read any more. The job continues: {hint}\n",
        )
        attached = await client.run("attach", record.job_id, "--ice-loopback")
        assert attached.status == 0, attached
        assert (client.folder / "models" / "centroid").is_dir()


async def test_what_has_not_begun_is_cancelled_where_nobody_reads_of_it(lab, labels, trainer):
    def read_nothing(event):
        if isinstance(event, Connected):
            raise BrokenPipeError

    async with lab.worker("gpu-1", trainer) as agent:
        with pytest.raises(NobodyReadsError):
            await lab.train(labels, read_nothing)
        assert load_all()[0].state == "cancelled"
        assert not trainer.jobs
        assert not list(agent.jobs_dir.iterdir())


async def test_a_result_that_waits_is_not_called_cancelled(lab, labels, monkeypatch):
    """The person interrupts while the model is on its way: it stays with the worker, to be fetched."""

    async def receive_nothing(*_):
        await trio.sleep_forever()

    monkeypatch.setattr("sleaprtc.client.jobs.follower.exchange.FileExchange.receive_result", receive_nothing)
    async with lab.worker("gpu-1") as agent, lab.peer("watcher") as watcher:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lab.train, labels)
            await until(load_all)
            await until(lambda: _is_complete(watcher, load_all()[0]))
            await trio.sleep(0.2)  # for the same word to be here
            nursery.cancel_scope.cancel()
        (record,) = load_all()
        assert (record.state, len(list(agent.jobs_dir.iterdir()))) == ("not_fetched", 1)
        assert record.message.endswith(f"sleap-rtc client fetch {record.job_id[:8]}")


async def test_a_worker_that_leaves_fails_no_job_whose_result_waits(lab, labels, monkeypatch):
    async def receive_nothing(*_):
        await trio.sleep_forever()

    monkeypatch.setattr("sleaprtc.client.jobs.follower.exchange.FileExchange.receive_result", receive_nothing)
    async with (
        lab.worker("gpu-1") as agent,
        lab.peer("watcher") as watcher,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(lab.train, labels)
        await until(load_all)
        await until(lambda: _is_complete(watcher, load_all()[0]))
        await agent.leave()
        await trio.sleep(0.2)  # for a wrong word to be here
        nursery.cancel_scope.cancel()
    (record,) = load_all()
    assert record.state == "not_fetched"
    assert record.message.endswith(f"sleap-rtc client fetch {record.job_id[:8]}")


async def _is_complete(watcher, record):
    await watcher.send_job_message("gpu-1", JobAttach(record.job_id, record.attach_key, follow=False))
    attached = await answer(watcher)  # an AppError while the worker doesn't have the job yet
    return isinstance(attached, JobAttached) and attached.state == "completed"


async def test_cancel_asks_the_worker_though_the_record_says_cancelled(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer):
        job = await client.train(labels)
        save(attrs.evolve(find(job), state="cancelled"))
        ended = await client.run("cancel", job)
        assert ended.status == 0, ended
        assert trainer.running == 0
        assert (await client.run("cancel", job)).status == 0
    away = await client.run("cancel", job)
    assert (away.status, away.stderr) == (1, "Error: gpu-1 isn't in the room now.\n")


async def test_attaching_to_a_worker_that_is_away_says_what_is_waited_for(
    lab, client, labels, trainer, monkeypatch
):
    async with lab.worker("gpu-1", trainer):
        record = find(await client.train(labels))
    notices = []
    monkeypatch.setattr("sleaprtc.client.jobs.attach.ASK_AGAIN_SEC", 0.1)
    monkeypatch.setattr("sleaprtc.client.jobs.attach.ATTACH_TIMEOUT_SEC", 2.0)
    with pytest.raises(WorkerLostError, match="gpu-1 isn't in the room"):
        await attach_to_job(record, connection=LOOPBACK, emit=notices.append)
    assert [notice.message for notice in notices] == ["gpu-1 doesn't answer; asking for another 2 seconds."]


async def test_an_attached_job_ends_elsewhere_and_is_not_begun_again(lab, labels, trainer):
    """The first process says so and leaves the record, the files and the worker to the second."""
    failures, events, results = [], [], []

    async def train():
        try:
            await lab.train(labels, events.append, persistence=Persistence(retries=3))
        except TakenOverError as error:
            failures.append(str(error))

    async def attach():
        results.append(await attach_to_job(load_all()[0], connection=LOOPBACK))

    async with lab.worker("gpu-1", trainer), trio.open_nursery() as nursery:
        nursery.start_soon(train)
        await seen_training(events)
        nursery.start_soon(attach)
        await until(lambda: failures)
        assert load_all()[0].state == "running"
        trainer.go_on.set()
    assert "followed by another process" in failures[0]
    assert len(results[0].model_dirs) == len(trainer.jobs) == len(load_all()) == 1
    assert load_all()[0].state == "completed"


async def test_what_another_process_knows_of_the_end_stays(lab):
    record = record_of(lab, "job")
    logbook = Logbook(record)
    save(attrs.evolve(record, state="completed"))
    logbook.fail(WorkerLostError("gpu-1 has fallen silent."))
    assert find("job").state == "completed"
    logbook.leave(is_cancelled=False, is_complete=False)
    assert find("job").state == "completed"
    save(attrs.evolve(record, state="cancelled"))
    logbook.fail(WorkerLostError("gpu-1 has fallen silent."))
    assert find("job").state == "cancelled"


async def test_a_fetch_that_gets_nothing_changes_nothing(lab, client, labels, trainer, tmp_path):
    async with lab.worker("gpu-1", trainer):
        record = find(await client.train(labels))
        with pytest.raises(NotFinishedError):
            await attach_to_job(
                record, connection=LOOPBACK, only_if_finished=True, out_dir=tmp_path / "elsewhere"
            )
        assert find(record.job_id).out_dir == record.out_dir
        trainer.go_on.set()
        async with open_asker(record) as asker:
            await until(lambda: is_in_state(asker, "completed"))
        first = await client.run("fetch", record.job_id, "--ice-loopback", "--out", "first")
        assert first.status == 0, first
        fetched = find(record.job_id)
        assert fetched.out_dir == str(tmp_path / "first")
        with trio.fail_after(60):
            async with open_asker(record) as asker:
                await until(lambda: is_in_state(asker, "delivered"))
        second = await client.run("fetch", record.job_id, "--ice-loopback", "--out", "second")
        assert second.status == 1
        assert str(tmp_path / "first" / "centroid") in second.stderr
        assert find(record.job_id) == fetched


async def test_what_arrived_in_the_first_folder_is_fetched_into_another(lab, client, labels, trainer):
    """The process before had the model whole, and was killed before it laid it down."""
    async with lab.worker("gpu-1", trainer):
        record = find(await client.train(labels))
        trainer.go_on.set()
        assert (await client.run("attach", record.job_id, "--ice-loopback")).status == 0
        incoming = client.folder / record.out_dir / f".incoming-{record.job_id}"
        incoming.mkdir()
        (incoming / "best.ckpt").write_bytes(b"weights")
        save(record)
        async with open_asker(record) as asker:
            await until(lambda: is_in_state(asker, "delivered"))
        fetched = await client.run("fetch", record.job_id, "--ice-loopback", "--out", "second", "--json")
        assert fetched.status == 0, fetched
        completed = json.loads(fetched.stdout.splitlines()[-1])
        assert (completed["final_loss"], completed["total_epochs"]) == (0.25, 4)
        assert completed["device"] == "cuda:0"
        assert list((client.folder / "second").glob("best.ckpt*"))
        assert not incoming.exists()


@pytest.fixture
def lose_the_first(monkeypatch):
    """Takes the first job for lost as soon as it trains, although its worker is there; no other job."""
    followed = []

    async def lose(watcher):
        followed.append(watcher)
        await until(lambda: watcher._progress.has_started)
        if len(followed) == 1:
            watcher._lose("has fallen silent")
        await trio.sleep_forever()

    monkeypatch.setattr("sleaprtc.client.jobs.follower.watch.WorkerWatcher.run", lose)
    return followed


async def train_again(lab, labels, events, results):
    results.append(await lab.train(labels, events.append, persistence=Persistence(retries=1, wait_sec=60)))


async def test_a_lost_job_that_goes_on_is_followed_again_and_not_begun_anew(
    lab, labels, trainer, lose_the_first
):
    events, results = [], []
    async with lab.worker("gpu-1", trainer), lab.worker("gpu-2"), trio.open_nursery() as nursery:
        nursery.start_soon(train_again, lab, labels, events, results)
        await until(lambda: len(lose_the_first) == 2)
        trainer.go_on.set()
    (retrying,) = [event for event in events if isinstance(event, Retrying)]
    assert results[0].job_id == retrying.job_id
    assert len(trainer.jobs) == 1
    assert results[0].total_epochs == 4
    assert find(retrying.job_id).state == "completed"


@pytest.fixture
def away_at_first(monkeypatch):
    """The lost worker doesn't answer before the next attempt, and does later."""
    ask, asked = LostJobs.find, []

    async def find_later(lost):
        asked.append(lost)
        return None if len(asked) == 2 else await ask(lost)

    monkeypatch.setattr("sleaprtc.client.jobs.submission.lost.LostJobs.find", find_later)
    monkeypatch.setattr("sleaprtc.client.jobs.submission.lost.LOOK_INTERVAL_SEC", 0.2)


async def test_a_job_that_turns_up_when_another_attempt_is_at_work_is_ended(
    lab, labels, trainer, lose_the_first, away_at_first
):
    second, events, results = ScriptedTrainer(hold=True), [], []
    async with lab.worker("gpu-1", trainer), lab.worker("gpu-2", second), trio.open_nursery() as nursery:
        nursery.start_soon(train_again, lab, labels, events, results)
        await until(lambda: second.jobs or len(trainer.jobs) > 1)
        await until(lambda: not trainer.running)
        second.go_on.set()
    (retrying,) = [event for event in events if isinstance(event, Retrying)]
    assert results[0].worker == "gpu-2"
    assert results[0].job_id != retrying.job_id
    assert (find(retrying.job_id).state, len(second.jobs), len(trainer.jobs)) == ("cancelled", 1, 1)
    assert results[0].job_id[:8] in find(retrying.job_id).message


async def test_an_attempt_that_has_not_begun_gives_way_to_a_job_that_turns_up(
    lab, labels, trainer, lose_the_first, away_at_first, monkeypatch
):
    """The second attempt is still sending its labels, when the first worker answers again."""
    send, sent = FileExchange.send_inputs, []

    async def send_once(exchange):
        sent.append(exchange)
        if len(sent) > 1:
            await trio.sleep_forever()
        await send(exchange)

    monkeypatch.setattr("sleaprtc.client.jobs.follower.exchange.FileExchange.send_inputs", send_once)
    second, events, results = ScriptedTrainer(), [], []
    async with lab.worker("gpu-1", trainer), lab.worker("gpu-2", second), trio.open_nursery() as nursery:
        nursery.start_soon(train_again, lab, labels, events, results)
        await until(
            lambda: any(isinstance(event, Notice) and "isn't retried" in event.message for event in events)
        )
        trainer.go_on.set()
    (retrying,) = [event for event in events if isinstance(event, Retrying)]
    assert results[0].job_id == retrying.job_id
    assert not second.jobs
    assert sorted(record.state for record in load_all()) == ["cancelled", "completed"]


async def test_a_hint_stands_last(lab, labels, monkeypatch):
    monkeypatch.setattr("sleaprtc.client.jobs.order.persistence.RETRY_PATIENCE_SEC", 0.1)
    monkeypatch.setattr("sleaprtc.client.jobs.follower.watch.SILENCE_SEC", 0.2)
    monkeypatch.setattr("sleaprtc.client.jobs.follower.watch.CHECK_INTERVAL_SEC", 0.05)
    events, failures = [], []

    async def train():
        try:
            await lab.train(labels, events.append, away_sec=1, persistence=Persistence(retries=1))
        except JobFailedError as error:
            failures.append(str(error))

    async with trio.open_nursery() as nursery, lab.worker("gpu-1", ScriptedTrainer(hold=True)):
        nursery.start_soon(train)
        await seen_training(events)
    (retrying,) = [event for event in events if isinstance(event, Retrying)]
    assert failures[0].endswith(f"sleap-rtc client attach {retrying.job_id[:8]}")
    assert "It wasn't retried" in failures[0]


async def test_what_was_fetched_before_is_shown_or_missed(lab, client, labels):
    async with lab.worker("gpu-1"):
        trained = await client.run("train", labels, "--ice-loopback", "--out", "models")
    assert trained.status == 0, trained
    job, model_dir = load_all()[0].job_id, client.folder / "models" / "centroid"
    again = await client.run("fetch", job)
    assert (again.status, again.stdout) == (0, f"Already fetched: {model_dir}\n")
    (completed,) = (await client.run("fetch", job, "--json")).objects
    assert (completed["fetched_before"], completed["model_dirs"]) == (True, [str(model_dir)])
    model_dir.rename(client.folder / "elsewhere")
    missed = await client.run("fetch", job)
    assert missed.status == 1
    assert missed.stderr.endswith(f"{model_dir}\n")


@pytest.mark.parametrize(("count", "text"), [(1, "1 epoch in"), (2, "2 epochs in"), (None, "? epochs in")])
async def test_epochs_are_counted(count, text):
    (line,) = completion_lines(Completed("job", "gpu-1", total_epochs=count))
    assert text in line


async def test_a_worker_that_is_not_back_yet_after_an_outage_is_waited_for(lab, labels, trainer, monkeypatch):
    """The client was back in the room first; only who hasn't come back in time has left it."""
    settled, asked, events, failures = [], [], [], []

    async def miss(_):
        asked.append(bool(settled))
        return Look.MISSING

    monkeypatch.setattr("sleaprtc.client.jobs.follower.watch.SILENCE_SEC", 0.05)
    monkeypatch.setattr("sleaprtc.client.jobs.follower.watch.CHECK_INTERVAL_SEC", 0.02)
    monkeypatch.setattr("sleaprtc.client.jobs.follower.watch.WorkerWatcher._look", miss)
    monkeypatch.setattr("sleaprtc.signaling.link.Link.is_settled", property(lambda _: bool(settled)))

    async def train():
        try:
            await lab.train(labels, events.append, away_sec=0.1)
        except WorkerLostError as error:
            failures.append(str(error))

    async with lab.worker("gpu-1", trainer), trio.open_nursery() as nursery:
        nursery.start_soon(train)
        await seen_training(events)
        await trio.sleep(0.3)
        assert not failures
        assert not asked
        settled.append(True)
        await until(lambda: failures)
    assert "has left the room during training" in failures[0]
