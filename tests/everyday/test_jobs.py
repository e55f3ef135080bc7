"""Looking at jobs, ending them and fetching their models, each from a process of its own."""

import time

import pytest
import trio

from sleaprtc.client.jobs.inquiries import ask
from sleaprtc.client.jobs.inquiries.ask import Asker, open_asker
from sleaprtc.client.jobs.inquiries.state import look
from sleaprtc.client.records.files import amend, find, load_all, save
from sleaprtc.errors import WorkerAwayError
from sleaprtc.jobs.life import Sign
from sleaprtc.protocol.jobs import AppError, JobAttached

from ..support.client_jobs import record_of
from ..support.lab import ScriptedTrainer
from ..support.waiting import until


async def test_another_terminal_looks_and_stops(lab, client, labels, trainer):
    """The process that follows the job isn't disturbed, and gets the model."""
    async with lab.worker("gpu-1", trainer):
        following = await client.start("train", labels, "--ice-loopback", "--out", "models")
        await following.until("epoch 1/4")
        (record,) = load_all()
        seen = await client.run("status", record.job_id[:6])
        assert seen.status == 0, seen.stderr
        assert "running" in seen.stdout
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


async def test_everybody_says_why_a_training_was_cut(lab, client, labels):
    async with lab.worker("gpu-1", ScriptedTrainer(hold=True, epochs=6)) as agent:
        begun = await client.run("train", labels, "--detach", "--ice-loopback")
        assert begun.status == 0, begun
        (record,) = load_all()
        async with open_asker(record) as asker:
            await until(lambda: has_epochs(asker))
        await agent.leave()
    cut = "The training was cut short: 1 of 6 epochs. The worker's owner stopped it for good."
    async with lab.worker("gpu-1", ScriptedTrainer(epochs=6), resumes=False):
        shown = [await client.run("attach", record.job_id, "--ice-loopback")]
        for command in ("status", "logs", "fetch"):
            shown += [await client.run(command, record.job_id, *words) for words in ((), ("--json",))]
    for ended in shown:
        assert ended.status == 0, ended
        assert cut in ended.stdout, ended
    assert find(record.job_id).message == cut


async def has_epochs(asker):
    status = (await asker.state()).last_status
    return status is not None and status.details.current_epoch == 1


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
        assert "You cancelled the job." in ended.stderr
        assert find(record.job_id).state == "cancelled"
        again = await client.run("stop", record.job_id)
        assert again.status == 2
        assert "is over" in again.stderr


async def test_a_job_that_was_given_up_is_found_again(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer):
        job = await client.train(labels)
        amend(find(job), Sign.SILENCE, message="gpu-1 has fallen silent.")
        assert (await client.run("status", job)).stdout.startswith(f"Job {job[:8]} (training): running.")
        assert find(job).state == "running"


async def test_an_interrupt_of_looking_leaves_the_job_alone(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer):
        job = await client.train(labels)
        for words in (("logs", "-f", job), ("attach", job)):
            looking = await client.start(*words)
            await looking.until("epoch 1/4")
            looking.interrupt()
            ended = await looking.end()
            assert (ended.status, ended.stderr) == (
                130,
                f"Error: Job {job[:8]} continues without this command. "
                f"To end it early: sleap-rtc client stop {job[:8]}; "
                f"to follow it again: sleap-rtc client attach {job[:8]}\n",
            )
        assert trainer.running == 1
        assert find(job).state == "running"


async def test_a_worker_that_is_away_is_spoken_of_as_it_was_last_seen(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer):
        job = await client.train(labels)
        await look(find(job))
    seen = await client.run("status", job[:8])
    assert seen.status == 0, seen.stderr
    assert "as last seen" in seen.stdout
    assert "centroid: 1 of 4" in seen.stdout
    assert "gpu-1 isn't in the room now." in seen.stdout
    (state,) = (await client.run("status", job, "--json")).objects
    assert (state["state"], state["answered"]) == ("running", False)
    for command in ("fetch", "stop", "cancel", "logs"):
        ended = await client.run(command, job)
        assert (ended.status, ended.stderr) == (1, "Error: gpu-1 isn't in the room now.\n")
    listed = await client.run("jobs")
    assert "epoch 1/4" in listed.stdout


@pytest.mark.parametrize("state", ["failed", "lost"])
async def test_why_a_job_ended_stands_beside_why_its_worker_is_not_asked(lab, client, state):
    save(record_of(lab, "a-job", state=state, message="It ran out of memory."))
    lines = (await client.run("status", "a-job")).stdout.splitlines()
    assert "  why        It ran out of memory." in lines
    assert "  unanswered gpu-1 isn't in the room now." in lines


async def test_without_a_server_the_last_sight_and_a_network_error(lab, client, labels, trainer):
    async with lab.worker("gpu-1", trainer):
        job = await client.train(labels)
        await look(find(job))
    amend(find(job), Sign.HEARD, http_url="http://127.0.0.1:9")
    seen = await client.run("status", job)
    assert seen.status == 5
    assert "centroid: 1 of 4" in seen.stdout
    assert seen.stderr.startswith("Error: ")


async def test_a_worker_that_knows_nothing_of_this(lab, client, labels):
    """One of another make, or an older one: it answers what it doesn't know, or not at all."""
    async with lab.peer("other-make", "worker") as worker, trio.open_nursery() as nursery:

        async def answer():
            while True:
                message = await worker.receive()
                kind = message.payload["app_message_type"]
                if kind == "job_log_request":
                    reply = AppError("UNKNOWN_MESSAGE_TYPE", "Unknown message type 'job_log_request'.")
                elif kind == "job_attach":
                    reply = JobAttached("a-job", "training")
                else:
                    continue
                await worker.send_job_message(message.from_peer_id, reply)

        nursery.start_soon(answer)
        save(record_of(lab, "a-job", worker="other-make"))
        logs = await client.run("logs", "a-job")
        assert logs.status == 1
        assert "other-make can't be asked that" in logs.stderr
        stop = await client.run("stop", "a-job")
        assert stop.status == 1
        assert "continues the job" in stop.stderr
        status = await client.run("status", "a-job")
        assert (status.status, status.stdout.splitlines()[0]) == (0, "Job a-job (training): running.")
        fetch = await client.run("fetch", "a-job")
        assert (fetch.status, fetch.stderr) == (75, "Error: The job isn't finished yet: it is running.\n")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("request_of", [Asker.stop, Asker.cancel])
async def test_a_request_that_nobody_answers_may_still_be_carried_out(lab, client, monkeypatch, request_of):
    monkeypatch.setattr(ask, "ANSWER_TIMEOUT_SEC", 0.1)
    monkeypatch.setattr(ask, "CANCEL_TIMEOUT_SEC", 0.1)
    async with lab.peer("gpu-1", "worker"), ask.open_asker(record_of(lab, "a-job")) as asker:
        with pytest.raises(WorkerAwayError) as caught:
            await request_of(asker)
    assert str(caught.value) == (
        "gpu-1 is in the room, but doesn't answer. The request was sent and may still be carried out; "
        "`sleap-rtc client status a-job` shows the job's state."
    )


@pytest.mark.parametrize(
    ("state", "last_line"),
    [
        ("training", "Its result at its end: sleap-rtc client attach a-job"),  # `fetch` would fail for now
        ("completed", "Its result: sleap-rtc client fetch a-job"),
    ],
)
async def test_what_stop_names_can_be_pasted_at_once(lab, client, state, last_line):
    async with lab.peer("gpu-1", "worker") as worker, trio.open_nursery() as nursery:

        async def answer():
            while True:
                message = await worker.receive()
                if message.payload["app_message_type"] == "job_attach":
                    reply = JobAttached("a-job", state, stop_requested=True)
                    await worker.send_job_message(message.from_peer_id, reply)

        nursery.start_soon(answer)
        save(record_of(lab, "a-job"))
        stopped = await client.run("stop", "a-job")
        assert stopped.stdout.splitlines() == [
            "gpu-1 is ending the job early and keeps its best model.",
            last_line,
        ]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("state", "is_shown"), [("failed", False), ("cancelled", False), ("lost", True)])
async def test_how_far_a_job_was_is_not_shown_once_it_is_over(lab, client, state, is_shown):
    status = {"worker": "gpu-1", "status": "running", "progress": 0.05, "estimated_remaining_minutes": 3.0}
    save(record_of(lab, "a-job", state=state, last_status=status))
    shown = (await client.run("status", "a-job")).stdout
    assert ("progress   5%" in shown, "time left" in shown) == (is_shown, is_shown)


@pytest.mark.parametrize(
    ("state", "results", "shown"),
    [
        ("failed", (), ""),
        ("running", (), ""),
        ("completed", ("/there/run-2/centroid",), "/there/run-2/centroid"),
        ("completed", ("/there/run-2/centroid", "/there/run-2/centered_instance"), "/there/run-2"),
        ("completed", ("run-2/centroid",), "/there/run-2/centroid"),
    ],
)
async def test_a_list_of_jobs_tells_where_results_lie(lab, client, state, results, shown):
    save(record_of(lab, "a-job", state=state, results=results, out_dir="/there/run-2"))
    (row,) = [line for line in (await client.run("jobs")).stdout.splitlines() if "a-job" in line]
    assert row.split("│")[-2].strip() == shown


async def test_records_are_forgotten(lab, client):
    day_sec = 86_400
    now = time.time()
    for name, state, age_days in (
        ("running", "running", 100),
        ("given-up", "running", 200),
        ("old", "completed", 31),
        ("young", "completed", 29),
        ("failed", "failed", 1),
    ):
        save(record_of(lab, name, state=state, started_at=now - age_days * day_sec))
    listed = [record["job_id"] for record in (await client.run("jobs", "--json")).objects]
    assert listed == ["failed", "young", "running"]
    assert (await client.run("jobs", "run", "--json")).objects[0]["job_id"] == "running"
    assert (await client.run("jobs", "--forget")).stdout == "Forgot 2 jobs.\n"
    assert (await client.run("jobs", "--forget", "runn")).stdout == "Forgot 1 job.\n"
    assert (await client.run("jobs")).stdout == "No jobs yet.\n"
    unknown = await client.run("status", "runn")
    assert unknown.status == 2
    assert "sleap-rtc client jobs" in unknown.stderr


async def test_an_end_that_is_known_is_not_overwritten(lab):
    save(record_of(lab, "job", state="completed"))
    assert amend(record_of(lab, "job"), Sign.FAILURE).state == "completed"
    assert find("job").state == "completed"
    forgotten = record_of(lab, "gone")
    assert amend(forgotten, Sign.FAILURE) == forgotten
    assert len(load_all()) == 1
