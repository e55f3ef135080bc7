"""Whether a worker takes a job, and what it holds."""

from copy import deepcopy

import attrs
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sleaprtc.jobs.capacity import Capability, Loss, Slots, is_compatible, refusal_reason
from sleaprtc.protocol.jobs import JobRequest, Requirements
from sleaprtc.protocol.limits import (
    CONNECT_SEC,
    RESERVATION_SEC,
    UNPROVEN_CONNECT_SEC,
    UNPROVEN_HOLD_SEC,
)
from sleaprtc.protocol.vocabulary import WorkerStatus


@attrs.define
class Occupant:
    """A running job, as the test has it."""

    client: str
    is_proven: bool
    is_connected: bool = False


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
    assert slots.status == WorkerStatus.RESERVED
    assert not slots.reserve("other", "client", now=100 + RESERVATION_SEC - 0.01)
    assert slots.reserve("other", "client", now=100 + RESERVATION_SEC)
    assert not slots.assign("job", "client", now=100 + RESERVATION_SEC)


def test_only_whoever_was_promised_a_slot_gets_it_and_only_once():
    slots = Slots(1)
    slots.reserve("job", "client", now=0)
    assert not slots.assign("job", "thief", now=1)
    assert not slots.release("job", "thief", now=1)
    assert slots.assign("job", "client", now=1)
    assert not slots.assign("job", "client", now=1)
    assert slots.status == WorkerStatus.BUSY
    slots.finish("job")
    assert slots.status == WorkerStatus.AVAILABLE


def test_two_slots():
    slots = Slots(2)
    slots.reserve("a", "client", now=0)
    assert slots.status == WorkerStatus.AVAILABLE
    slots.assign("a", "client", now=0)
    slots.reserve("b", "client", now=0)
    assert slots.status == WorkerStatus.RESERVED
    assert slots.next_expiry == RESERVATION_SEC
    slots.assign("b", "client", now=0)
    assert slots.status == WorkerStatus.BUSY


def exhaust(slots, now, client="stranger"):
    """Uses up what is left of the budget; the hold has just ended."""
    assert slots.reserve("spent", client, now)
    assert slots.release("spent", client, now + UNPROVEN_HOLD_SEC)
    return now + UNPROVEN_HOLD_SEC


def test_strangers_hold_a_slot_for_ten_seconds_a_minute():
    slots = Slots(1, has_secret=True)
    held = {}
    for step in range(900):  # three minutes of asking every 0.2 seconds
        now = step / 5
        slots.reserve(f"job-{step}", f"stranger-{step}", now)
        held[now] = slots.status == WorkerStatus.RESERVED
    for begin in range(120):
        assert sum(is_held for now, is_held in held.items() if begin <= now < begin + 60) <= 51


def test_a_promise_without_a_hold_is_kept_where_a_slot_is_free():
    slots = Slots(1, has_secret=True)
    now = exhaust(slots, 0)
    assert slots.reserve("a", "one", now)
    assert slots.reserve("b", "two", now)
    assert slots.status == WorkerStatus.AVAILABLE
    assert slots.assign("b", "two", now + 1)
    assert not slots.assign("a", "one", now + 2)
    slots.finish("b")
    assert slots.assign("a", "one", now + 3)


def test_what_is_given_back_early_costs_only_what_it_used():
    slots = Slots(1)
    for second in range(0, 10, 2):
        assert slots.reserve("job", "client", second)
        assert slots.status == WorkerStatus.RESERVED
        assert slots.release("job", "client", second + 1)
    assert slots.reserve("job", "client", 10)
    assert slots.next_expiry == pytest.approx(15)


def test_without_a_secret_each_peer_has_a_budget_of_its_own():
    slots = Slots(1)
    now = exhaust(slots, 0)
    assert slots.reserve("a", "stranger", now)
    assert slots.status == WorkerStatus.AVAILABLE
    assert slots.reserve("b", "client", now)
    assert slots.status == WorkerStatus.RESERVED


def test_names_without_end_take_no_memory_without_end():
    slots = Slots(1)
    for number in range(1000):
        slots.reserve(f"job-{number}", f"name-{number}", now=0)
        slots.release(f"job-{number}", f"name-{number}", now=0.001)
    assert sum(slots.reserve(f"job-{number}", f"name-{number}", now=0.002) for number in range(1000)) <= 64
    assert slots.reserve("job", "client", now=100)


def test_of_a_peer_that_keeps_asking_the_oldest_request_is_forgotten():
    slots = Slots(100, has_secret=True)
    assert slots.reserve("proven", "client", 0, is_proven=True)
    asked = [f"job-{number}" for number in range(50)]
    assert all(slots.reserve(job_id, "client", 0) for job_id in asked)
    kept = [job_id for job_id in asked if slots.assign(job_id, "client", 0)]
    assert kept == asked[-len(kept) :]
    assert 0 < len(kept) < 50
    assert slots.assign("proven", "client", 0)


def test_a_proven_request_goes_before_what_is_held_for_strangers():
    slots = Slots(1, has_secret=True)
    slots.reserve("a", "stranger", now=0)
    assert slots.reserve("b", "member", now=1, is_proven=True)
    assert not slots.assign("a", "stranger", now=2)
    assert not slots.reserve("c", "other", now=2, is_proven=True)
    assert slots.assign("b", "member", now=3)
    assert not slots.take_lost()


def test_a_stranger_that_assigns_and_does_not_connect_keeps_no_member_out():
    slots = Slots(1, has_secret=True)
    slots.reserve("a", "stranger", now=0)
    assert slots.assign("a", "stranger", now=0)
    assert not slots.reserve("b", "bare", now=1)
    assert slots.reserve("c", "member", now=1, is_proven=True)
    assert not slots.take_lost()
    assert slots.assign("c", "member", now=2)
    assert slots.take_lost() == {"a": Loss.DISPLACED}
    assert (slots.running, slots.status) == (1, WorkerStatus.BUSY)


def test_a_client_that_proves_itself_on_the_channel_keeps_its_slot():
    slots = Slots(1, has_secret=True)
    slots.reserve("a", "bare", now=0)
    slots.assign("a", "bare", now=0)
    slots.connected("a", "bare", now=10)
    assert not slots.reserve("b", "member", now=11, is_proven=True)
    slots.expire(now=100)
    assert (slots.running, slots.take_lost()) == (1, {})


def test_a_slot_that_a_member_was_promised_goes_to_it_though_a_bare_client_connects_meanwhile():
    slots = Slots(1, has_secret=True)
    slots.reserve("a", "bare", now=0)
    slots.assign("a", "bare", now=0)
    assert slots.reserve("b", "member", now=1, is_proven=True)
    slots.connected("a", "bare", now=2)
    if_assigned, if_not = slots, deepcopy(slots)
    assert if_assigned.assign("b", "member", now=3)
    assert if_assigned.take_lost() == {"a": Loss.DISPLACED}
    assert if_not.release("b", "member", now=3)
    assert not if_not.reserve("c", "member", now=4, is_proven=True)


@pytest.mark.parametrize(
    ("has_secret", "is_held", "connect_sec"),
    [
        (True, True, UNPROVEN_CONNECT_SEC),
        (True, False, UNPROVEN_CONNECT_SEC),
        (False, False, UNPROVEN_CONNECT_SEC),
        (False, True, CONNECT_SEC),
    ],
)
def test_who_does_not_connect_in_time_loses_the_slot_and_is_refused_for_a_minute(
    has_secret, is_held, connect_sec
):
    slots = Slots(1, has_secret=has_secret)
    now = 0 if is_held else exhaust(slots, 0)
    slots.reserve("a", "stranger", now)
    assert slots.assign("a", "stranger", now)
    assert slots.next_expiry == now + connect_sec
    slots.expire(now + connect_sec - 0.01)
    assert slots.status == WorkerStatus.BUSY
    slots.expire(now + connect_sec)
    assert slots.take_lost() == {"a": Loss.NOT_CONNECTED}
    assert not slots.reserve("b", "stranger", now + connect_sec + 59)
    assert slots.reserve("b", "other", now + connect_sec + 59)
    slots.release("b", "other", now + connect_sec + 60)
    assert slots.reserve("b", "stranger", now + connect_sec + 60)


def test_a_job_id_that_a_stranger_uses_first_is_still_its_members():
    slots = Slots(2, has_secret=True)
    slots.reserve("job", "stranger", now=0)
    slots.assign("job", "stranger", now=0)
    assert not slots.reserve("job", "bare", now=1)
    assert slots.reserve("job", "member", now=1, is_proven=True)
    assert slots.assign("job", "member", now=1)
    assert slots.take_lost() == {"job": Loss.DISPLACED}
    slots.connected("job", "stranger", now=2)
    assert not slots.reserve("job", "other", now=2, is_proven=True)


class SlotsMachine(RuleBasedStateMachine):
    """However requests, assignments and time interleave, no slot is given twice and none is lost.

    What is held for those without proof is looked at after each step, with whoever it is charged to.
    """

    jobs = st.sampled_from("abcd")
    clients = st.sampled_from("xyz")
    has_secret = True
    SLOTS = 2

    def __init__(self):
        super().__init__()
        self.slots = Slots(self.SLOTS, has_secret=self.has_secret)
        self.now = 0.0
        self.running = {}
        self.promised = {}  # proven: until when
        self.unproven_holds = []  # account, from, to

    def _held(self):
        """The accounts of what is held without proof, once for each slot."""
        return [
            "" if self.has_secret else client
            for (_, client), accepted in self.slots._accepted.items()
            if accepted.hold is not None and not accepted.is_proven
        ]

    def _take_lost(self):
        for job in self.slots.take_lost():
            assert not self.running.pop(job).is_proven

    @rule(job=jobs, client=clients, is_proven=st.booleans())
    def reserve(self, job, client, is_proven):
        is_proven = is_proven and self.has_secret
        firm = [j for j, occupant in self.running.items() if occupant.is_proven or occupant.is_connected]
        others = [key for key, until in self.promised.items() if until > self.now and key != (job, client)]
        accepted = self.slots.reserve(job, client, self.now, is_proven=is_proven)
        if is_proven and job not in self.running and len(firm) + len(others) < self.SLOTS:
            assert accepted
        if is_proven and accepted:
            self.promised[job, client] = self.now + RESERVATION_SEC

    @rule(job=jobs, client=clients)
    def assign(self, job, client):
        is_promised = self.promised.get((job, client), 0) > self.now
        if self.slots.assign(job, client, self.now):
            self._take_lost()
            assert job not in self.running
            self.running[job] = Occupant(client, is_promised)
            self.promised.pop((job, client), None)
        else:
            assert not is_promised or job in self.running

    @rule(job=jobs, client=clients)
    def connect(self, job, client):
        self.slots.connected(job, client, self.now)
        self._take_lost()
        if job in self.running and self.running[job].client == client:
            self.running[job].is_connected = True

    @rule(job=jobs, client=clients)
    def release(self, job, client):
        self.slots.release(job, client, self.now)
        self.promised.pop((job, client), None)

    @rule(job=jobs)
    def finish(self, job):
        self.slots.finish(job)
        self.running.pop(job, None)

    @rule(seconds=st.one_of(st.floats(0, 1), st.floats(0, 20)))
    def wait(self, seconds):
        end = self.now + seconds
        while True:
            # To the next moment at which time alone changes something.
            expiry = self.slots.next_expiry
            until = end if expiry is None else min(max(expiry, self.now), end)
            self.unproven_holds += [(account, self.now, until) for account in self._held()]
            self.now = until
            self.slots.expire(self.now)
            self._take_lost()
            if until == end:
                break

    @invariant()
    def never_more_than_there_are(self):
        self._take_lost()
        assert self.slots.running == len(self.running) <= self.SLOTS
        assert (self.slots.status == WorkerStatus.BUSY) == (len(self.running) == self.SLOTS)
        assert (self.slots.status == WorkerStatus.AVAILABLE) == (self.slots.taken < self.SLOTS)

    @invariant()
    def no_more_than_ten_seconds_a_minute_are_held_without_proof(self):
        self.unproven_holds = [hold for hold in self.unproven_holds if hold[2] > self.now - 60]
        for account in {account for account, _, _ in self.unproven_holds}:
            held_sec = sum(
                end - max(start, self.now - 60)
                for whose, start, end in self.unproven_holds
                if whose == account
            )
            assert held_sec <= UNPROVEN_HOLD_SEC + 1e-6


class WithoutSecretMachine(SlotsMachine):
    """The same in a room without a secret, where each peer has a budget."""

    has_secret = False


TestSlotsMachine = SlotsMachine.TestCase
TestWithoutSecretMachine = WithoutSecretMachine.TestCase
