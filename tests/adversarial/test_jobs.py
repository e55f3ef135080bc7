"""Peers of the same room that want what isn't theirs, and workers that say what can't be."""

from __future__ import annotations

import io
import math

import pytest
import trio

from sleaprtc.client.display import PlainDisplay
from sleaprtc.client.events.job import StatusChanged
from sleaprtc.errors import NoWorkerError
from sleaprtc.protocol.codec import encode_job_message
from sleaprtc.protocol.jobs import (
    AppError,
    DatasetInfo,
    JobAssignment,
    JobCancel,
    JobCancelled,
    JobComplete,
    JobError,
    JobFailed,
    JobRequest,
    JobResponse,
    JobStatus,
    JobStop,
    Requirements,
)
from sleaprtc.protocol.messages import ErrorMessage, PeerMessage

from ..support.foreign_worker import ForeignWorker
from ..support.job_messages import answer, status_becomes
from ..support.lab import Lab, ScriptedTrainer, make_labels


def request(job_id: str = "job-1") -> JobRequest:
    return JobRequest(
        job_id, "training", DatasetInfo("slp", 10, "fly", 1), {"model_type": "base"}, Requirements(0, 1)
    )


async def test_a_replayed_assignment_begins_nothing(lab: Lab) -> None:
    async with lab.worker("gpu-1"), lab.peer("client") as client, lab.peer("thief") as thief:
        await client.send_job_message("gpu-1", request())
        assert (await answer(client)).accepted
        await client.send_job_message("gpu-1", JobAssignment("job-1"))
        assert (await answer(client, of=JobStatus)).seq == 1
        # Said again by its client it is the same job; by another it is nobody's; after the end it is over.
        await client.send_job_message("gpu-1", JobAssignment("job-1"))
        await thief.send_job_message("gpu-1", JobAssignment("job-1"))
        assert (await answer(thief, of=JobFailed)).error.code == "NOT_RESERVED"
        (worker,) = await client.discover({"role": "worker"})
        assert worker.metadata.properties["status"] == "busy"
        await client.send_job_message("gpu-1", JobCancel("job-1"))
        await answer(client, of=JobCancelled)
        await status_becomes(client, "available")
        for peer in (client, thief):
            await peer.send_job_message("gpu-1", JobAssignment("job-1"))
            assert (await answer(peer, of=JobFailed)).error.code == "NOT_RESERVED"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"dataset_info": {"frame_megapixels": 5e-324}}, "dataset_info.frame_megapixels"),
        ({"dataset_info": {"frame_count": -5}}, "dataset_info.frame_count"),
        ({"requirements": {"min_gpu_memory_mb": 1e300}}, "requirements.min_gpu_memory_mb"),
        ({"config": {"model_type": "base", "epochs": -3}}, "config.epochs"),
        ({"timeout_ms": -1000}, "timeout_ms"),
    ],
)
async def test_a_request_with_impossible_numbers_is_refused(
    lab: Lab, changes: dict[str, object], field: str
) -> None:
    async with lab.worker("gpu-1"), lab.peer("client") as client:
        impossible = encode_job_message(request()) | changes
        await client.send(PeerMessage("client", "gpu-1", impossible))
        refused = await answer(client, of=AppError)
        assert (refused.error_code, refused.job_id) == ("INVALID_MESSAGE", "job-1")
        assert field in refused.message
        await client.send_job_message("gpu-1", request())
        assert (await answer(client, of=JobResponse)).accepted


async def test_a_client_says_which_number_a_worker_refuses(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sleaprtc.client.jobs.order.settings.MOST_EPOCHS", 10**6)  # as another version's
    async with lab.worker("gpu-1"):
        with pytest.raises(
            NoWorkerError, match=r"gpu-1 said job_request: config\.epochs must be 1 to 100,000\.$"
        ):
            await lab.train(make_labels(lab.tmp_path / "flies.pkg.slp"), settings={"epochs": 200_000})


async def test_of_two_clients_at_once_one_gets_the_slot(lab: Lab) -> None:
    async with lab.worker("gpu-1"), lab.peer("one") as one, lab.peer("two") as two:
        accepted = []

        async def ask(peer: object, job_id: str) -> None:
            await peer.send_job_message("gpu-1", request(job_id))  # type: ignore[attr-defined]
            if (await answer(peer, of=JobResponse)).accepted:
                accepted.append(job_id)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, one, "job-1")
            nursery.start_soon(ask, two, "job-2")
        assert len(accepted) == 1
        # Both claim it.
        outcomes = []
        for peer, job_id in ((one, "job-1"), (two, "job-2")):
            await peer.send_job_message("gpu-1", JobAssignment(job_id))
            outcomes.append((job_id, type(await answer(peer)).__name__))
        assert sorted(name for _, name in outcomes) == ["JobFailed", "JobStatus"]
        assert dict(outcomes)[accepted[0]] == "JobStatus"


async def test_others_neither_stop_nor_cancel_a_job(lab: Lab) -> None:
    trainer = ScriptedTrainer(hold=True)
    labels = make_labels(lab.tmp_path / "flies.pkg.slp")
    async with lab.worker("gpu-1", trainer), lab.peer("thief") as thief:
        job_ids: list[str] = []

        async def meddle() -> None:
            await trainer.started.wait()
            for message in (JobStop(job_ids[0]), JobCancel(job_ids[0])):
                await thief.send_job_message("gpu-1", message)
            assert (await answer(thief)).error_code == "UNKNOWN_JOB"
            trainer.go_on.set()

        def note(event: object) -> None:
            job_ids.extend([event.job_id] if hasattr(event, "job_id") else [])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(meddle)
            completed = await lab.train(labels, note)
    assert completed.worker == "gpu-1"
    assert not trainer.stopped_early


async def test_nobody_else_completes_or_fails_a_job(lab: Lab) -> None:
    """A peer that overhears a job_id says the last word on it, in the name of its own."""
    trainer = ScriptedTrainer(hold=True)
    labels = make_labels(lab.tmp_path / "flies.pkg.slp")
    events: list[object] = []
    async with lab.worker("gpu-1", trainer), lab.peer("liar", "peer") as liar:

        async def lie() -> None:
            await trainer.started.wait()
            (client,) = await liar.discover({"role": "client"})
            job_id = next(event.job_id for event in events if hasattr(event, "job_id"))
            for word in (
                JobFailed(job_id, JobError("X", "It is over.")),
                JobCancelled(job_id),
                JobComplete(job_id),
                JobStatus(job_id, "running", 0.99, seq=99),
            ):
                await liar.send_job_message(client.peer_id, word)
            # The server takes no message in the worker's name.
            await liar.send(PeerMessage("gpu-1", client.peer_id, {"app_message_type": "job_failed"}))
            refused = await liar.receive()
            assert isinstance(refused, ErrorMessage)
            assert refused.code == "IDENTITY_MISMATCH"
            trainer.go_on.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lie)
            completed = await lab.train(labels, events.append)
    assert completed.worker == "gpu-1"
    assert not [event for event in events if isinstance(event, StatusChanged) and event.progress == 0.99]


ODD_STATUSES = [
    {"progress": 7},
    {"progress": -1e308},
    {"progress": 10**400},
    {"progress": 0.5, "details": {"current_loss": 10**400, "total_epochs": -5, "current_epoch": 2**70}},
    {"progress": 0.5, "details": {"current_loss": "NaN"}},
    {"progress": 0.5, "details": {"estimated_remaining_minutes": 1e308, "current_loss": 1e308}},
    {"progress": "0.5", "seq": -1},
    {"message": "\x1b[2J\x1b]0;owned\x07" + "x" * 10_000, "status": "\x1b[31m", "seq": 2**70},
    {"status": None, "details": []},
]


async def test_a_worker_that_says_what_cannot_be(lab: Lab) -> None:
    labels = make_labels(lab.tmp_path / "flies.pkg.slp")
    (lab.tmp_path / "foreign").mkdir()
    model = lab.tmp_path / "best.ckpt"
    model.write_bytes(b"weights")
    said = [{"app_message_type": "job_status", "status": "running", **odd} for odd in ODD_STATUSES]
    complete = {"app_message_type": "job_complete", "result": {"final_loss": -1e308, "model_size_mb": 1e308}}
    events: list[object] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(ForeignWorker(lab, [model], [*said, complete]).run)
        completed = await lab.train(labels, events.append)
        nursery.cancel_scope.cancel()
    assert completed.worker == "foreign"
    statuses = [event for event in events if isinstance(event, StatusChanged)]
    assert statuses
    shown = io.StringIO()
    for status in statuses:
        assert 0.0 <= status.progress <= 1.0
        PlainDisplay(shown).show(status)
        assert status.current_loss is None or math.isfinite(status.current_loss)
    assert "\x1b" not in shown.getvalue()
