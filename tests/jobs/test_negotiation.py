"""Who gets the job."""

from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.jobs.negotiation import Negotiation, SelectionRule
from sleaprtc.protocol.jobs import JobResponse, WorkerInfo


def accepts(minutes, *, start_sec=0.0, memory_mb=None):
    info = None if memory_mb is None else WorkerInfo(0.1, memory_mb)
    return JobResponse("job", True, start_sec, minutes, info)


def test_the_fastest_of_the_example_is_worker_b():
    negotiation = Negotiation("job", ["Worker-A-GPU1", "Worker-B-GPU2"])
    negotiation.record("Worker-A-GPU1", accepts(42, memory_mb=14000))
    assert not negotiation.is_complete
    negotiation.record("Worker-B-GPU2", accepts(38, memory_mb=22000))
    assert negotiation.is_complete
    assert negotiation.ranked(SelectionRule.FASTEST) == ["Worker-B-GPU2", "Worker-A-GPU1"]


def test_each_rule_has_its_own_best():
    negotiation = Negotiation("job", ["fast", "soon", "big"])
    negotiation.record("fast", accepts(10, start_sec=60, memory_mb=8000))
    negotiation.record("soon", accepts(30, start_sec=0, memory_mb=4000))
    negotiation.record("big", accepts(30, start_sec=120, memory_mb=48000))
    assert negotiation.ranked(SelectionRule.FASTEST)[0] == "fast"
    assert negotiation.ranked(SelectionRule.SOONEST)[0] == "soon"
    assert negotiation.ranked(SelectionRule.MOST_MEMORY)[0] == "big"


def test_waiting_counts_as_time():
    negotiation = Negotiation("job", ["later", "now"])
    negotiation.record("later", accepts(10, start_sec=3600))
    negotiation.record("now", accepts(20))
    assert negotiation.ranked(SelectionRule.FASTEST) == ["now", "later"]


def test_a_worker_without_an_estimate_comes_last():
    negotiation = Negotiation("job", ["vague", "clear"])
    negotiation.record("vague", JobResponse("job", True))
    negotiation.record("clear", accepts(600))
    assert negotiation.ranked(SelectionRule.FASTEST) == ["clear", "vague"]


def test_refusals_silence_and_strangers():
    negotiation = Negotiation("job", ["a", "b", "c"])
    assert negotiation.record("a", JobResponse("job", False, reason="busy"))
    assert not negotiation.record("stranger", accepts(1))
    assert not negotiation.record("b", JobResponse("another job", True))
    assert not negotiation.record("a", accepts(1))  # the first answer holds
    assert negotiation.ranked(SelectionRule.FASTEST) == []
    assert list(negotiation.refused) == ["a"]
    assert negotiation.silent == ("b", "c")


def test_who_is_gone_is_not_waited_for():
    negotiation = Negotiation("job", ["a", "b"])
    negotiation.record("a", accepts(1))
    negotiation.withdraw("b")
    assert negotiation.is_complete
    negotiation.withdraw("a")
    assert negotiation.ranked(SelectionRule.FASTEST) == []


answers = st.builds(
    JobResponse,
    job_id=st.just("job"),
    accepted=st.booleans(),
    estimated_start_time_sec=st.none() | st.floats(0, 1e6),
    estimated_duration_minutes=st.none() | st.floats(0, 1e6),
    worker_info=st.none() | st.builds(WorkerInfo, st.none(), st.none() | st.floats(0, 1e6)),
)


@given(st.dictionaries(st.text(min_size=1), answers), st.sampled_from(SelectionRule))
def test_ranking_names_exactly_those_that_accepted(responses, rule):
    negotiation = Negotiation("job", responses)
    for worker, response in responses.items():
        negotiation.record(worker, response)
    ranked = negotiation.ranked(rule)
    assert sorted(ranked) == sorted(w for w, r in responses.items() if r.accepted)
    assert negotiation.is_complete
