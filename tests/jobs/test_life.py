"""The tables of a job's two lives, on its worker and at its client, say what they should."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from sleaprtc.jobs import life
from sleaprtc.jobs.life import (
    CAUSED_BY,
    IN_RECORDS,
    ON_WORKER,
    OVER,
    OWED,
    PLANNED_CAUSES,
    Cause,
    Duty,
    Seen,
    Sign,
    State,
)

DOCS = Path(__file__).parents[2] / "docs"

# --- the tables -----------------------------------------------------------------------------


def test_every_state_and_every_cause_has_its_rows() -> None:
    assert {row.state for row in ON_WORKER} == set(State) == set(OWED)
    assert {row.cause for row in ON_WORKER} == set(Cause) == set(CAUSED_BY)
    assert {row.state for row in IN_RECORDS} == set(Seen) - {Seen.COMPLETED}
    assert {row.cause for row in IN_RECORDS} == set(Sign)


@pytest.mark.parametrize("table", [ON_WORKER, IN_RECORDS], ids=["worker", "records"])
def test_no_cause_leads_to_two_states(table: tuple[life.Row, ...]) -> None:
    moves = [(row.state, row.cause) for row in table]
    assert len(moves) == len(set(moves))


def reached(table: tuple[life.Row, ...], start: str, left_out: frozenset) -> set[str]:
    """Returns the states that can be reached without some causes."""
    found = {start}
    while True:
        more = {row.next for row in table if row.state in found and row.cause not in left_out}
        if more <= found:
            return found
        found |= more


def test_only_planned_causes_lead_to_states_that_nobody_enters_yet() -> None:
    entered = reached(ON_WORKER, State.ABSENT, PLANNED_CAUSES)
    assert set(State) - entered == {State.QUEUED, State.HANDED_BACK}
    assert reached(ON_WORKER, State.ABSENT, frozenset()) == set(State)
    assert reached(IN_RECORDS, Seen.RUNNING, frozenset()) == set(Seen)


@pytest.mark.parametrize("state", sorted(set(State) - {State.ABSENT}))
def test_a_client_can_end_a_job_in_every_state(state: State) -> None:
    assert life.after(state, Cause.CANCELLED) is State.CANCELLED


@pytest.mark.parametrize("state", sorted(set(State) - {State.ABSENT}))
def test_a_restart_and_time_know_what_to_do_with_every_state(state: State) -> None:
    """What is under way is failed or goes on; what isn't is forgotten one day."""
    restarted = life.after(state, Cause.RESTARTED)
    forgotten = life.after(state, Cause.KEPT_LONG_ENOUGH)
    if life.is_underway(state):
        assert (restarted in (State.FAILED, State.INTERRUPTED, state), forgotten) == (True, None)
        assert (restarted is not State.FAILED) == life.keeps_files(state)
    else:
        assert (restarted, forgotten) == (None, State.ABSENT)


def test_a_job_that_is_over_for_its_client_runs_only_when_it_is_assigned_again() -> None:
    for seen in OVER:
        for sign in set(Sign) - {Sign.ASSIGNED}:
            assert life.seen_after(seen, sign) in {None, *OVER}
    assert life.seen_after(Seen.COMPLETED, Sign.ASSIGNED) is None


def test_a_result_in_place_is_the_strongest_thing_to_have_seen() -> None:
    for seen in set(Seen) - {Seen.COMPLETED}:
        assert life.seen_after(seen, Sign.RESULT_IN_PLACE) is Seen.COMPLETED
        assert life.outranks(Seen.COMPLETED, seen)
        assert not life.outranks(seen, Seen.COMPLETED)


def test_a_reason_of_an_end_does_not_change_with_silence_nor_a_cancellation_with_a_failure() -> None:
    assert life.seen_after(Seen.FAILED, Sign.SILENCE) is None
    assert life.seen_after(Seen.CANCELLED, Sign.SILENCE) is None
    assert life.seen_after(Seen.CANCELLED, Sign.FAILURE) is None


def test_no_sign_but_an_assignment_leads_to_something_weaker() -> None:
    """So that processes that write one record agree, whichever of them writes last."""
    for row in IN_RECORDS:
        assert row.cause is Sign.ASSIGNED or not life.outranks(row.state, row.next), row


def test_a_client_that_fetches_a_result_knows_that_it_is_kept() -> None:
    for state, duties in OWED.items():
        assert (Duty.FETCH_RESULT in duties.client) == life.keeps_result(state)
        assert life.keeps_files(state) or not life.keeps_result(state)


def test_a_worker_repeats_the_last_word_of_every_job_that_is_over() -> None:
    for state, duties in OWED.items():
        is_over = state is not State.ABSENT and not life.is_underway(state)
        assert (Duty.REPEAT_LAST_WORD in duties.worker) == is_over
        assert (Duty.SEND_STATUSES in duties.worker) == life.is_underway(state)
    assert [state for state in State if life.is_closed(state)] == [
        State.HANDED_BACK,
        State.FAILED,
        State.CANCELLED,
        State.DELIVERED,
    ]


@pytest.mark.parametrize("state", State)
def test_a_state_is_one_word_to_a_reader_of_the_wire_or_the_disk(state: State) -> None:
    assert State(str(state)) is state
    for ask in (life.is_underway, life.is_closed, life.owes_inputs, life.keeps_result, life.keeps_files):
        assert ask(str(state)) == ask(state)
    assert life.sign_of(str(state)) is life.sign_of(state)


def test_a_state_of_a_newer_version_is_no_reason_to_work_to_send_or_to_move() -> None:
    for ask in (life.is_underway, life.is_closed, life.owes_inputs, life.keeps_result):
        assert not ask("levitating")
    assert life.sign_of("levitating") is None
    assert {cause for cause in Cause if life.after("levitating", cause)} == {Cause.CANCELLED, Cause.PURGED}
    assert all(life.seen_after("levitating", sign) is None for sign in Sign)
    assert life.outranks(Seen.FAILED, "levitating")
    assert not life.outranks("levitating", Seen.RUNNING)


def test_the_files_of_a_job_in_a_newer_versions_state_are_kept_and_its_client_may_end_it() -> None:
    assert life.keeps_files("levitating")
    assert life.after("levitating", Cause.CANCELLED) is State.CANCELLED
    assert life.after("levitating", Cause.PURGED) is State.ABSENT


@pytest.mark.parametrize("state", sorted(set(State) - {State.ABSENT}))
def test_a_client_deletes_what_is_over_and_withdraws_what_nobody_will_ask_for(state: State) -> None:
    assert life.after(state, Cause.PURGED) is (None if life.is_underway(state) else State.ABSENT)
    assert life.after(state, Cause.WITHDRAWN) is State.ABSENT


def test_a_job_has_begun_once_its_inputs_are_there() -> None:
    statuses = ("queued", "starting", "receiving", "running", "sending", "levitating")
    assert [status for status in statuses if life.has_begun(status)] == ["running", "sending"]


def test_the_documentation_shows_the_tables_as_they_are() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    maker = runpy.run_path(str(DOCS / "make_diagrams.py"))
    for name, block in maker["blocks"]().items():
        assert f"<!-- life: {name} -->\n{block}\n<!-- /life -->" in page, (
            f"The page shows another {name}; renew it with: python docs/make_diagrams.py"
        )
    assert maker["renewed"](page) == page


def test_the_command_that_renews_the_documentation_replaces_what_is_stale() -> None:
    maker = runpy.run_path(str(DOCS / "make_diagrams.py"))
    stale = "Before.\n<!-- life: planned -->\nnothing\n<!-- /life -->\nAfter.\n"
    fresh = maker["renewed"](stale)
    assert "*slot freed*" in fresh
    assert (fresh.startswith("Before.\n"), fresh.endswith("\nAfter.\n"), "nothing" in fresh) == (
        True,
        True,
        False,
    )
