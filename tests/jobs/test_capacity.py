"""Whether a worker takes a job, and what it holds."""

import attrs
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sleaprtc.jobs.capacity import AVAILABLE, BUSY, RESERVED, Capability, Slots, refusal_reason
from sleaprtc.jobs.versions import is_compatible
from sleaprtc.protocol.jobs import JobRequest, Requirements
from sleaprtc.protocol.limits import RESERVATION_SEC

WORKER = Capability(16384, ("base", "centroid"), ("training",), "1.3.0")
REQUEST = JobRequest("job", "training", config={"model_type": "base"})


def test_a_request_that_fits():
    assert refusal_reason(REQUEST, WORKER, "1.3.0") is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"job_type": "inference"}, "unsupported_job_type"),
        ({"config": {"model_type": "bottomup"}}, "unsupported_model"),
        ({"config": {"model_type": ["base"]}}, "unsupported_model"),
        ({"requirements": Requirements(min_gpu_memory_mb=24576)}, "insufficient_memory"),
        ({"requirements": Requirements(sleap_version="2.0")}, "incompatible_version"),
    ],
)
def test_a_request_that_does_not_fit(changes, reason):
    assert refusal_reason(attrs.evolve(REQUEST, **changes), WORKER, None) == reason


def test_the_registered_version_of_the_client_counts():
    assert refusal_reason(REQUEST, WORKER, "1.4.0") == "incompatible_version"


def test_a_worker_that_trains_nothing_refuses_whatever_is_left_to_it():
    request = attrs.evolve(REQUEST, config={})
    assert refusal_reason(request, WORKER, None) is None
    nothing = attrs.evolve(WORKER, supported_models=())
    assert refusal_reason(request, nothing, None) == "unsupported_model"


@pytest.mark.parametrize(
    ("worker", "client", "compatible"),
    [
        ("1.3.0", "1.3.0", True),
        ("1.4.0", "1.3.9", True),
        ("1.3.0", "1.4.0", False),
        ("2.0.0", "1.3.0", False),
        ("1.3", "1", True),
        ("v1.3.0a2", "1.3.0", True),
        ("1.3.0", None, True),
        (None, "1.3.0", True),
        ("unknown", "1.3.0", True),
    ],
)
def test_versions(worker, client, compatible):
    assert is_compatible(worker, client) is compatible


def test_a_slot_is_held_for_ten_seconds():
    slots = Slots(1)
    assert slots.reserve("job", "client", now=100)
    assert slots.status == RESERVED
    assert not slots.reserve("other", "client", now=100 + RESERVATION_SEC - 0.01)
    assert slots.reserve("other", "client", now=100 + RESERVATION_SEC)
    assert not slots.assign("job", "client", now=100 + RESERVATION_SEC)


def test_only_whoever_was_promised_a_slot_gets_it_and_only_once():
    slots = Slots(1)
    slots.reserve("job", "client", now=0)
    assert not slots.assign("job", "thief", now=1)
    assert not slots.release("job", "thief")
    assert slots.assign("job", "client", now=1)
    assert not slots.assign("job", "client", now=1)
    assert slots.status == BUSY
    slots.finish("job")
    assert slots.status == AVAILABLE


def test_two_slots():
    slots = Slots(2)
    slots.reserve("a", "client", now=0)
    assert slots.status == AVAILABLE
    slots.assign("a", "client", now=0)
    slots.reserve("b", "client", now=0)
    assert slots.status == RESERVED
    assert slots.next_expiry == RESERVATION_SEC
    slots.assign("b", "client", now=0)
    assert slots.status == BUSY


class SlotsMachine(RuleBasedStateMachine):
    """However requests, assignments and time interleave, no slot is given twice and none is lost."""

    jobs = st.sampled_from("abcd")
    clients = st.sampled_from("xy")

    def __init__(self):
        super().__init__()
        self.slots = Slots(2)
        self.now = 0.0
        self.running = {}

    @rule(job=jobs, client=clients)
    def reserve(self, job, client):
        self.slots.reserve(job, client, self.now)

    @rule(job=jobs, client=clients)
    def assign(self, job, client):
        if self.slots.assign(job, client, self.now):
            assert job not in self.running
            self.running[job] = client

    @rule(job=jobs, client=clients)
    def release(self, job, client):
        assert not (self.slots.release(job, client) and job in self.running)

    @rule(job=jobs)
    def finish(self, job):
        self.slots.finish(job)
        self.running.pop(job, None)

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds):
        self.now += seconds
        self.slots.expire(self.now)

    @invariant()
    def never_more_than_there_are(self):
        assert self.slots.running == len(self.running) <= self.slots.taken <= 2


TestSlotsMachine = SlotsMachine.TestCase
