"""Peers that have the room's token, but not its secret, and want its workers for themselves."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from contextlib import closing

import attrs
import pytest
import trio

from sleaprtc.client.records.files import load_all
from sleaprtc.jobs.hold_budget import HoldBudget
from sleaprtc.jobs.request_proof import request_proof
from sleaprtc.protocol.jobs import (
    AppError,
    JobAssignment,
    JobCancel,
    JobFailed,
    JobRequest,
    JobResponse,
)
from sleaprtc.signaling.link import Link
from sleaprtc.worker.jobs.pending import MAX_PENDING, PendingRequests
from sleaprtc.worker.journal.store import Journal, JournalEntry

from ..support.job_messages import answer, status_becomes
from ..support.lab import SECRET, WITH_SECRET, Lab, ScriptedTrainer, make_labels
from ..support.waiting import until

ASK_INTERVAL_SEC = 0.01


async def ask(link: Link, job_id: str) -> None:
    await link.send_job_message("gpu-1", JobRequest(job_id, "training"))


async def only_ask(link: Link, number: int) -> None:
    await ask(link, f"never-{number}")


async def ask_and_assign(link: Link, number: int) -> None:
    """Assigns what was asked for the last time, by when that is answered."""
    await ask(link, f"never-{number}")
    await link.send_job_message("gpu-1", JobAssignment(f"never-{number - 1}"))


async def get_assigned(link: Link, job_id: str) -> None:
    await ask(link, job_id)
    assert (await answer(link, of=JobResponse)).accepted
    await link.send_job_message("gpu-1", JobAssignment(job_id))


async def keep_asking(
    lab: Lab, how: Callable[[Link, int], Awaitable[None]], task_status: trio.TaskStatus[None]
) -> None:
    async with lab.peer("stranger") as stranger, trio.open_nursery() as nursery:

        async def read() -> None:
            while True:
                await stranger.receive()

        nursery.start_soon(read)
        for number in itertools.count():
            await how(stranger, number)
            if number == 3:
                task_status.started()
            await trio.sleep(ASK_INTERVAL_SEC)


@pytest.mark.parametrize("how", [only_ask, ask_and_assign])
async def test_a_member_gets_its_job_however_often_a_stranger_asks(
    lab: Lab, how: Callable[[Link, int], Awaitable[None]]
) -> None:
    labels = make_labels(lab.tmp_path / "flies.pkg.slp")
    async with lab.worker("gpu-1", connection=WITH_SECRET), trio.open_nursery() as nursery:
        await nursery.start(keep_asking, lab, how)
        for _ in range(3):
            completed = await lab.train(labels, connection=WITH_SECRET, response_timeout_sec=60)
            assert len(completed.model_dirs) == 1
        nursery.cancel_scope.cancel()


async def test_a_client_that_knows_no_proof_gets_its_job_on_a_free_worker(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the secret, and proves it on the data channel alone."""
    monkeypatch.setattr("sleaprtc.client.jobs.submission.submit.request_proof", lambda *_, **__: None)
    labels = make_labels(lab.tmp_path / "flies.pkg.slp")
    async with lab.worker("gpu-1", connection=WITH_SECRET) as agent, trio.open_nursery() as nursery:
        agent._slots._slots._budget = HoldBudget(hold_sec=1)
        await nursery.start(keep_asking, lab, only_ask)
        async with lab.peer("watcher") as watcher:
            await status_becomes(watcher, "available")  # the strangers' second of this minute is over
        assert len((await lab.train(labels, connection=WITH_SECRET, response_timeout_sec=60)).model_dirs) == 1
        nursery.cancel_scope.cancel()


async def test_a_stranger_that_assigns_and_does_not_connect_loses_the_slot_and_leaves_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sleaprtc.jobs.capacity.UNPROVEN_CONNECT_SEC", 0.5)
    async with lab.worker("gpu-1", connection=WITH_SECRET) as agent, lab.peer("stranger") as stranger:
        await get_assigned(stranger, "job-1")
        await status_becomes(stranger, "busy")
        assert (await answer(stranger, of=JobFailed)).error.code == "CLIENT_LOST"
        await status_becomes(stranger, "available")
        await until(lambda: not any(agent.jobs_dir.iterdir()))
        await ask(stranger, "job-2")
        assert not (await answer(stranger, of=JobResponse)).accepted
    assert journal_entries(lab) == []


async def test_a_member_that_dies_before_it_connects_holds_its_slot_no_longer(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sleaprtc.worker.agent.PRESENCE_INTERVAL_SEC", 0.1)
    request = JobRequest("job-1", "training")
    proof = request_proof(SECRET.key, request, client_id="member", worker_id="gpu-1")
    async with lab.worker("gpu-1", connection=WITH_SECRET), lab.peer("watcher") as watcher:
        async with lab.peer("member") as member:
            await member.send_job_message("gpu-1", attrs.evolve(request, proof=proof))
            assert (await answer(member, of=JobResponse)).accepted
            await member.send_job_message("gpu-1", JobAssignment("job-1"))
            await status_becomes(watcher, "busy")
            await trio.sleep(0.5)
            (worker,) = await watcher.discover({"role": "worker"})
            assert worker.metadata.properties["status"] == "busy"
        await status_becomes(watcher, "available")


async def test_a_proof_is_of_no_use_to_another_peer(lab: Lab) -> None:
    async with (
        lab.worker("gpu-1", connection=WITH_SECRET) as agent,
        lab.peer("member") as member,
        lab.peer("thief") as thief,
    ):
        agent._slots._slots._budget = HoldBudget(hold_sec=0)
        request = JobRequest("job-1", "training")
        proof = request_proof(SECRET.key, request, client_id="member", worker_id="gpu-1")
        proven = attrs.evolve(request, proof=proof)
        await thief.send_job_message("gpu-1", proven)
        assert (await answer(thief, of=JobResponse)).accepted
        (worker,) = await thief.discover({"role": "worker"})
        assert worker.metadata.properties["status"] == "available"
        await member.send_job_message("gpu-1", proven)
        assert (await answer(member, of=JobResponse)).accepted
        await status_becomes(member, "reserved")


async def test_who_takes_an_absent_client_s_name_cannot_end_its_job(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def say_nothing(_: object) -> None:
        return

    monkeypatch.setattr("sleaprtc.client.jobs.follower.follow.Follower._cancel_job", say_nothing)
    monkeypatch.setattr("sleaprtc.client.room.new_client_name", lambda: "client-1")
    trainer = ScriptedTrainer(hold=True)
    labels = make_labels(lab.tmp_path / "flies.pkg.slp")
    async with lab.worker("gpu-1", trainer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lab.train, labels)
            await trainer.started.wait()
            nursery.cancel_scope.cancel()
        (record,) = load_all()
        async with lab.peer("client-1") as thief:
            await thief.send_job_message("gpu-1", JobCancel(record.job_id))
            assert (await answer(thief, of=AppError)).error_code == "UNKNOWN_JOB"
        assert trainer.running == 1


async def test_a_stranger_s_job_of_the_same_id_overwrites_no_record(lab: Lab) -> None:
    labels = make_labels(lab.tmp_path / "flies.pkg.slp")
    async with lab.worker("gpu-1"), lab.peer("stranger") as stranger:
        await lab.train(labels)
        (record,) = load_all()
        await get_assigned(stranger, record.job_id)
        assert (await answer(stranger, of=JobFailed)).error.code == "STORAGE"
    (entry,) = journal_entries(lab)
    assert (entry.job_id, entry.state) == (record.job_id, "delivered")


def journal_entries(lab: Lab) -> list[JournalEntry]:
    with closing(Journal(lab.tmp_path / "gpu-1.sqlite3")) as journal:
        return journal.entries()


async def test_a_flood_of_requests_drops_no_member_s() -> None:
    pending = PendingRequests()
    accepted = sum(pending.begin(f"stranger-{number % 100}", False) for number in range(10_000))
    assert accepted == MAX_PENDING
    assert pending.begin("member", True)
    pending.end("stranger-0", False)
    assert pending.begin("stranger-0", False)
