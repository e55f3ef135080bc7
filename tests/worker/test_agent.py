"""A worker in its room, as a client that speaks the protocol sees it."""

import pytest

from sleaprtc._version import __version__
from sleaprtc.protocol.jobs import (
    AppError,
    DatasetInfo,
    JobAssignment,
    JobCancel,
    JobCancelled,
    JobFailed,
    JobRequest,
    JobResponse,
    JobStatus,
    Requirements,
)
from sleaprtc.protocol.messages import PeerMessage

from ..support.job_messages import answer, status_becomes
from ..support.lab import SLEAP_VERSION

REQUEST = JobRequest(
    "job-uuid-789",
    "training",
    DatasetInfo("slp", 1000, "fly", 250),
    {"model_type": "base", "epochs": 100, "batch_size": 8},
    Requirements(8192, 45),
)


async def test_metadata_are_the_protocols(lab):
    async with lab.worker("gpu-1", max_jobs=2), lab.peer("client") as client:
        (worker,) = await client.discover({"role": "worker"})
    assert worker.metadata.tags == ("sleap-rtc", "training-worker")
    properties = dict(worker.metadata.properties)
    assert properties.pop("hostname")
    assert properties == {
        "gpu_memory_mb": 16384,
        "gpu_model": "Test GPU",
        "cuda_version": "12.4",
        "sleap_version": SLEAP_VERSION,
        "sleap_rtc_version": __version__,
        "status": "available",
        "max_concurrent_jobs": 2,
        "supported_models": ["base", "centroid", "topdown", "bottomup"],
        "supported_job_types": ["training"],
        "digest_algorithms": ["sha256", "blake3"],
        "status_interval_sec": 5.0,
        "torch_device": "cuda",
        "features": ["attach/1", "purge/1", "ephemeral/1", "predictions_formats/1", "validation/1"],
        "problems": [],
    }


async def test_an_accepted_request_holds_the_slot(lab):
    async with (
        lab.worker("gpu-1"),
        lab.peer("client") as client,
        lab.peer("other") as other,
    ):
        await client.send_job_message("gpu-1", REQUEST)
        yes = await answer(client)
        assert isinstance(yes, JobResponse)
        assert yes.accepted
        assert yes.estimated_start_time_sec == 0
        assert yes.estimated_duration_minutes > 0
        assert (yes.worker_info.gpu_utilization, yes.worker_info.available_memory_mb) == (0.1, 14000)
        await status_becomes(client, "reserved")
        await other.send_job_message("gpu-1", JobRequest("other-job", "training"))
        no = await answer(other)
        assert (no.accepted, no.reason) == (False, "busy")


async def test_cancelling_a_reservation_frees_the_slot(lab):
    async with lab.worker("gpu-1"), lab.peer("client") as client:
        await client.send_job_message("gpu-1", REQUEST)
        await answer(client)
        await client.send_job_message("gpu-1", JobCancel("job-uuid-789", "assigned_elsewhere"))
        assert await answer(client) == JobCancelled("job-uuid-789")
        await status_becomes(client, "available")


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (JobRequest("j", "inference"), "unsupported_job_type"),
        (JobRequest("j", "training", config={"model_type": "multi_class"}), "unsupported_model"),
        (JobRequest("j", "training", requirements=Requirements(99999)), "insufficient_memory"),
        (JobRequest("j", "training", requirements=Requirements(sleap_version="2.0")), "incompatible_version"),
    ],
)
async def test_refusals(lab, request_, reason):
    async with lab.worker("gpu-1"), lab.peer("client") as client:
        await client.send_job_message("gpu-1", request_)
        no = await answer(client)
        assert (no.job_id, no.accepted, no.reason) == ("j", False, reason)


async def test_the_clients_registered_version_is_looked_up(lab):
    async with lab.worker("gpu-1"), lab.peer("client", sleap_version="1.4.0") as client:
        await client.send_job_message("gpu-1", REQUEST)
        assert (await answer(client)).reason == "incompatible_version"


async def test_only_whoever_was_promised_the_slot_gets_it(lab):
    async with (
        lab.worker("gpu-1"),
        lab.peer("client") as client,
        lab.peer("thief") as thief,
    ):
        await client.send_job_message("gpu-1", REQUEST)
        await answer(client)
        await thief.send_job_message("gpu-1", JobAssignment("job-uuid-789"))
        refused = await answer(thief)
        assert isinstance(refused, JobFailed)
        assert (refused.error.code, refused.error.recoverable) == ("NOT_RESERVED", True)
        await client.send_job_message("gpu-1", JobAssignment("job-uuid-789"))
        first = await answer(client)
        assert isinstance(first, JobStatus)
        assert (first.status, first.seq) == ("starting", 1)
        await status_becomes(client, "busy")
        await thief.send_job_message("gpu-1", JobCancel("job-uuid-789"))
        assert isinstance(await answer(thief), AppError)
        await client.send_job_message("gpu-1", JobCancel("job-uuid-789"))
        assert await answer(client, of=JobCancelled) == JobCancelled("job-uuid-789")
        await status_becomes(client, "available")


async def test_garbage_gets_an_answer_and_harms_nobody(lab):
    async with lab.worker("gpu-1"), lab.peer("client") as client:
        for payload in ({}, {"app_message_type": "job_request", "job_id": 5}, {"app_message_type": "?"}):
            await client.send(PeerMessage("client", "gpu-1", payload))
            assert isinstance(await answer(client), AppError)
        await client.send_job_message("gpu-1", REQUEST)
        assert (await answer(client)).accepted


async def test_an_unwritable_folder_is_said(lab):
    async with lab.worker("gpu-1") as agent, lab.peer("client") as client:
        agent.jobs_dir.rmdir()
        await client.send_job_message("gpu-1", REQUEST)
        await answer(client)
        await client.send_job_message("gpu-1", JobAssignment("job-uuid-789"))
        failed = await answer(client, of=JobFailed)
        assert failed.error.code == "STORAGE"
        await status_becomes(client, "available")


async def test_leaving_tells_the_clients(lab):
    async with lab.worker("gpu-1") as agent, lab.peer("client") as client:
        await client.send_job_message("gpu-1", REQUEST)
        await answer(client)
        await client.send_job_message("gpu-1", JobAssignment("job-uuid-789"))
        await answer(client)
        await agent.leave()
        failed = await answer(client, of=JobFailed)
        assert failed.error.recoverable
        await status_becomes(client, "maintenance")
        await client.send_job_message("gpu-1", JobRequest("another", "training"))
        assert (await answer(client, of=JobResponse)).reason == "maintenance"


async def test_an_assignment_that_is_said_twice_at_once_is_one(lab):
    async with lab.worker("gpu-1"), lab.peer("client") as client:
        await client.send_job_message("gpu-1", REQUEST)
        await answer(client)
        for _ in range(2):
            await client.send_job_message("gpu-1", JobAssignment("job-uuid-789"))
        assert isinstance(await answer(client), JobStatus)
