"""How a worker's disk is shared: nobody reserves what isn't there, and nobody ends for another's disk."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.jobs.disk import (
    INFERENCE_BYTES,
    SPARE_BYTES,
    TRAINING_BYTES,
    DiskUse,
    has_to_end,
    needed_bytes,
    refusal,
    spare_bytes,
)
from sleaprtc.protocol.jobs import DatasetInfo, JobRequest
from sleaprtc.protocol.limits import MIB

JOBS = ("a", "b", "c")
sizes = st.integers(0, 100).map(lambda size_mb: float(size_mb * MIB))
shares = st.dictionaries(st.sampled_from(JOBS), sizes)
uses = st.builds(
    DiskUse,
    quota_bytes=sizes | st.just(math.inf),
    folder_bytes=sizes,
    free_bytes=sizes,
    evictable_bytes=sizes,
    by_job=shares,
)


def use(*, quota=math.inf, folder=0.0, free=1000.0, evictable=0.0, **by_job):
    return DiskUse(
        quota * MIB,
        folder * MIB,
        free * MIB + SPARE_BYTES,
        evictable * MIB,
        {name: taken * MIB for name, taken in by_job.items()},
    )


def mib(**jobs):
    return {name: size * MIB for name, size in jobs.items()}


@given(use=uses, reserved=shares, needed=sizes)
def test_what_is_accepted_is_there_beside_what_others_reserved(use, reserved, needed):
    if refusal(use, reserved, "new", needed) is None:
        assert spare_bytes(use, {**reserved, "new": needed}) >= 0


@given(use=uses, reserved=shares, job=st.sampled_from(JOBS))
def test_a_job_within_what_it_reserved_never_ends(use, reserved, job):
    if use.by_job.get(job, 0.0) <= reserved.get(job, 0.0):
        assert not has_to_end(use, reserved, job)


@given(use=uses, reserved=shares)
def test_where_somebody_lacks_what_was_reserved_others_took_it(use, reserved):
    """Unless something besides the jobs did, such as another program: then nobody can give it back."""
    over = [job for job in JOBS if use.by_job.get(job, 0.0) > reserved.get(job, 0.0)]
    for job in over:
        assert has_to_end(use, reserved, job) == (spare_bytes(use, reserved, {job}) < 0)


def test_the_quota_and_the_disk_both_count():
    assert refusal(use(quota=100, folder=40), {}, "new", 60 * MIB) is None
    assert refusal(use(quota=100, folder=40), {}, "new", 61 * MIB) is not None
    assert refusal(use(free=60), {}, "new", 60 * MIB) is None
    assert refusal(use(free=60), {}, "new", 61 * MIB) is not None
    assert refusal(use(free=60, evictable=1), {}, "new", 61 * MIB) is None


def test_what_a_job_has_taken_of_its_share_counts_once():
    half = use(quota=100, folder=30, a=30)
    assert spare_bytes(half, mib(a=50)) == 50 * MIB
    assert spare_bytes(half, mib(a=30)) == 70 * MIB
    assert spare_bytes(half, mib(a=10)) == 70 * MIB


def test_the_reason_says_whether_waiting_helps():
    full = use(quota=100, folder=30, a=30)
    busy = refusal(full, mib(a=50), "new", 60 * MIB)
    assert busy is not None
    assert busy.reason == "busy"
    assert busy.sentence == "The job needs about 60 MiB of the worker's disk, which other jobs have reserved."
    never = refusal(full, mib(a=50), "new", 160 * MIB)
    assert never is not None
    assert never.reason == "maintenance"
    assert "and 110 MiB are missing" in never.sentence


def test_a_job_s_own_reservation_is_not_in_its_way():
    assert refusal(use(quota=100), mib(new=80), "new", 90 * MIB) is None


def test_only_the_job_that_outgrew_its_share_ends():
    crowded = use(quota=100, folder=90, a=70, b=20)
    reserved = mib(a=40, b=40)
    assert has_to_end(crowded, reserved, "a")
    assert not has_to_end(crowded, reserved, "b")
    assert not has_to_end(use(quota=100, folder=75, a=55, b=20), reserved, "a")  # nobody needs the rest yet


def test_what_jobs_need():
    info = DatasetInfo(estimated_size_mb=100)
    assert needed_bytes(JobRequest("j", "training", info)) == 200 * MIB + TRAINING_BYTES
    assert needed_bytes(JobRequest("j", "inference", info)) == 100 * MIB + INFERENCE_BYTES
    assert needed_bytes(JobRequest("j", "training")) == TRAINING_BYTES
