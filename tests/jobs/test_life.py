"""A job's two lives, on its worker and at its client, agree however the link between them is."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

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


# --- both lives over a link that loses, repeats and reorders ----------------------------------


@attrs.frozen
class Message:
    """What crosses the link: a kind, and the worker's state where the message has one."""

    kind: str
    state: State = State.ABSENT


@attrs.define
class WorkerModel:
    """A worker as far as one job goes."""

    state: State = State.ABSENT
    had_slot: bool = False
    """It holds its slot for the job once: an assignment that comes later finds none."""
    out: list[Message] = attrs.field(factory=list)

    def move(self, cause: Cause) -> bool:
        """Makes a transition, if the table has it."""
        following = life.after(self.state, cause)
        if following is None:
            return False
        self.state = following
        return True

    def hear(self, message: Message) -> None:
        """Acts on what a client sent."""
        if message.kind == "assign" and not self.had_slot:
            self.had_slot = self.move(Cause.ASSIGNED)
        elif message.kind == "cancel":
            self.had_slot = True
            self.move(Cause.CANCELLED)  # nothing is noted of a job that isn't there
            self.out.append(Message("cancelled"))
        elif message.kind == "attach":
            self.out.append(Message("unknown") if self.state is State.ABSENT else self.attached())

    def attached(self) -> Message:
        """Reports how the job stands."""
        return Message("attached", self.state)

    def report(self) -> None:
        """Sends the status or the last word that it owes."""
        if self.state is not State.ABSENT:
            self.out.append(self.attached())


@attrs.define
class ClientModel:
    """A client as far as one job goes."""

    seen: Seen = Seen.RUNNING
    has_cancelled: bool = False
    out: list[Message] = attrs.field(factory=lambda: [Message("assign")])

    def see(self, sign: Sign) -> None:
        """Notes a sign of the job."""
        self.seen = life.seen_after(self.seen, sign) or self.seen

    def hear(self, message: Message) -> None:
        """Acts on what the worker sent."""
        if message.kind == "attached" and (sign := life.sign_of(message.state)) is not None:
            self.see(sign)
        elif message.kind == "cancelled":
            self.see(Sign.CANCELLATION)
        elif message.kind in ("failed", "unknown"):
            self.see(Sign.FAILURE)

    def cancel(self) -> None:
        """Asks the worker to drop the job."""
        self.has_cancelled = True
        self.out.append(Message("cancel"))


class BothLives(RuleBasedStateMachine):
    """Whatever happens to a job and to the messages about it, asking once more brings both to agree."""

    def __init__(self) -> None:
        super().__init__()
        self.worker = WorkerModel()
        self.client = ClientModel()
        self.flying: list[tuple[Callable[[Message], None], Message]] = []

    def _send(self) -> None:
        self.flying += [(self.worker.hear, message) for message in self.client.out]
        self.flying += [(self.client.hear, message) for message in self.worker.out]
        self.client.out.clear()
        self.worker.out.clear()

    @precondition(lambda self: self.flying or self.client.out or self.worker.out)
    @rule(which=st.integers(0, 10**6), fate=st.sampled_from(["deliver", "deliver", "lose", "repeat"]))
    def message_moves(self, which: int, fate: str) -> None:
        self._send()
        index = which % len(self.flying)
        hear, message = self.flying[index]
        if fate != "repeat":
            del self.flying[index]
        if fate != "lose":
            hear(message)

    @rule()
    def client_assigns_again(self) -> None:
        self.client.out.append(Message("assign"))

    @precondition(lambda self: self.worker.state is not State.ABSENT)
    @rule()
    def client_asks(self) -> None:
        """It has heard of the job before: until then, it repeats the assignment instead."""
        self.client.out.append(Message("attach"))

    @precondition(lambda self: self.worker.state is State.RECEIVING and not self.client.has_cancelled)
    @rule()
    def inputs_arrive(self) -> None:
        """Files go over the data channel, which loses nothing."""
        self.worker.move(Cause.INPUTS_ARRIVED)

    @rule(
        cause=st.sampled_from(
            [
                Cause.WORK_DONE,
                Cause.WORK_FAILED,
                Cause.RESTARTED,
                Cause.INTERRUPTED,
                Cause.RESUMED,
                Cause.HANDED_BACK,
            ]
        )
    )
    def worker_gets_on(self, cause: Cause) -> None:
        if self.worker.move(cause):
            self.worker.report()

    @rule()
    def client_makes_no_connection(self) -> None:
        if self.worker.move(Cause.SLOT_LOST):
            self.worker.out.append(Message("failed"))

    @rule()
    def time_passes(self) -> None:
        self.worker.move(Cause.KEPT_LONG_ENOUGH)

    @rule()
    def worker_repeats_itself(self) -> None:
        self.worker.report()

    @precondition(lambda self: self.worker.state is State.COMPLETED)
    @rule(is_noted=st.booleans())
    def result_is_fetched(self, is_noted: bool) -> None:
        """The client has the result before the worker hears of it; a worker that is killed never does."""
        self.client.see(Sign.RESULT_IN_PLACE)
        if is_noted:
            self.worker.move(Cause.RESULT_FETCHED)

    @precondition(lambda self: self.client.seen not in OVER)
    @rule()
    def client_cancels(self) -> None:
        self.client.cancel()

    @rule()
    def client_hears_nothing(self) -> None:
        self.client.see(Sign.SILENCE)

    @invariant()
    def nobody_works_on_what_is_in_place(self) -> None:
        if self.client.seen is Seen.COMPLETED:
            assert not life.is_underway(self.worker.state)

    @invariant()
    def nobody_works_on_what_has_failed_or_was_cancelled(self) -> None:
        if self.client.seen in (Seen.FAILED, Seen.CANCELLED):
            assert not life.is_underway(self.worker.state)

    def teardown(self) -> None:
        """The link heals, what is under way arrives, and the client asks once more."""
        self._send()
        while self.flying:
            hear, message = self.flying.pop()
            hear(message)
            self._send()
        if self.client.has_cancelled and self.client.seen not in OVER:
            self.worker.hear(Message("cancel"))
        self.worker.hear(Message("attach"))
        for message in self.worker.out:
            self.client.hear(message)
        assert self.client.seen in AGREEING[self.worker.state], (self.worker.state, self.client.seen)


AGREEING = {
    State.ABSENT: {Seen.CANCELLED, Seen.COMPLETED, Seen.FAILED},
    State.QUEUED: {Seen.RUNNING},
    State.RECEIVING: {Seen.RUNNING},
    State.TRAINING: {Seen.RUNNING},
    State.INTERRUPTED: {Seen.RUNNING},
    State.HANDED_BACK: {Seen.FAILED},
    State.COMPLETED: {Seen.NOT_FETCHED, Seen.COMPLETED},
    State.FAILED: {Seen.FAILED},
    State.CANCELLED: {Seen.CANCELLED, Seen.COMPLETED},
    State.DELIVERED: {Seen.COMPLETED},
}
"""What a client may have seen of a job that is so on its worker, once it has asked. A job that its worker
doesn't have was never begun, was cancelled or was over, and is over for its client too."""

TestBothLives = BothLives.TestCase
