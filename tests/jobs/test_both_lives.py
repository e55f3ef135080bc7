"""A job's two lives, on its worker and at its client, agree however the link between them is.

Models of a worker and a client move by the tables alone. Beside them, a real journal and a real record go
through the same, on disk; after every step, each has what its model has.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sleaprtc.client.events.job import Completed, StatusChanged
from sleaprtc.client.jobs.follower.inquiry import last_word_of
from sleaprtc.client.records import files
from sleaprtc.client.records.files import JobRecord, note_purged, reread
from sleaprtc.client.records.logbook import Logbook
from sleaprtc.errors import JobFailedError, StorageError, WorkerLostError
from sleaprtc.jobs import life
from sleaprtc.jobs.life import ON_WORKER, OVER, OWED, Cause, Duty, Seen, Sign, State
from sleaprtc.protocol.jobs import JobAttached, JobComplete, JobError, JobFailed, JobRequest
from sleaprtc.worker.jobs.messages import cancelled
from sleaprtc.worker.journal.answers import describe
from sleaprtc.worker.journal.recovery import forget_old, note_restart
from sleaprtc.worker.journal.store import Journal

JOB = "job-1"
FAILED = JobFailed(JOB, JobError("TRAINING_FAILED", "The loss became NaN."))
LAST_WORDS = {
    Cause.WORK_DONE: JobComplete(JOB),
    Cause.WORK_FAILED: FAILED,
    Cause.HANDED_BACK: JobFailed(JOB, JobError("HANDED_BACK", "Another worker may do it.", True)),
    Cause.CANCELLED: cancelled(JOB),
}
"""What a worker says as it moves a job on."""


@attrs.frozen
class Message:
    """What crosses the link: a kind, and the worker's answer where the message is one."""

    kind: str
    state: State = State.ABSENT
    answer: JobAttached | None = None


class WorkerDisk:
    """A real journal, moved by what the worker really does."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "journal.sqlite3"
        self._job_dir = folder / "job"
        self.journal = Journal(self._path)

    def move(self, cause: Cause) -> None:
        """Does what the worker does to its journal for a cause, in whatever state the job is."""
        if cause in (Cause.ASSIGNED, Cause.ASSIGNED_AHEAD):
            self.journal.begin(JOB, "client", JobRequest(JOB, "training"), self._job_dir, cause)
        elif cause is Cause.RESTARTED:
            self.journal.close()
            self.journal = Journal(self._path)
            note_restart(self.journal)
        elif cause is Cause.KEPT_LONG_ENOUGH:
            forget_old(self.journal, time.time() + 1e6, 1e3)
        elif cause in (Cause.PURGED, Cause.EPHEMERAL_OVER):
            self.journal.forget_for_good(JOB, cause)
        else:
            archive = self._job_dir / "models.zip" if cause is Cause.WORK_DONE else None
            self.journal.move(JOB, cause, last_word=LAST_WORDS.get(cause), archive=archive)

    @property
    def state(self) -> str:
        """How the job stands."""
        entry = self.journal.find(JOB)
        return State.ABSENT if entry is None else entry.state

    def describe(self) -> JobAttached:
        """Returns the answer to a client that asks how the job stands."""
        entry = self.journal.find(JOB)
        assert entry is not None
        return describe(self.journal, entry, False)


@attrs.define
class WorkerModel:
    """A worker as far as one job goes."""

    disk: WorkerDisk
    state: State = State.ABSENT
    had_slot: bool = False
    """It holds its slot for the job once: an assignment that comes later finds none."""
    is_full: bool = False
    was_connected: bool = False
    out: list[Message] = attrs.field(factory=list)

    def move(self, cause: Cause) -> bool:
        """Makes a transition, if the table has it."""
        following = life.after(self.state, cause)
        if following is None:
            return False
        self.state = following
        self.disk.move(cause)
        return True

    def causes(self, among: set[Cause]) -> list[Cause]:
        """Returns those that change something now."""
        return [cause for cause in sorted(among) if life.after(self.state, cause) is not None]

    def hear(self, message: Message) -> None:
        """Acts on what a client sent."""
        if message.kind == "assign" and not self.had_slot:
            self.had_slot = self.move(Cause.ASSIGNED_AHEAD if self.is_full else Cause.ASSIGNED)
            self.was_connected = False
        elif message.kind == "cancel":
            self.had_slot = True
            is_noted = self.was_connected or not life.is_underway(self.state)
            self.move(Cause.CANCELLED if is_noted else Cause.WITHDRAWN)
            self.out.append(Message("cancelled"))
        elif message.kind == "purge":
            if not life.is_underway(self.state):
                self.move(Cause.PURGED)
                self.out.append(Message("purged"))
        elif message.kind == "attach":
            self.out.append(Message("unknown") if self.state is State.ABSENT else self.attached())

    def attached(self) -> Message:
        """Reports how the job stands."""
        return Message("attached", self.state, self.disk.describe())

    def report(self) -> None:
        """Sends the status or the last word that it owes."""
        if self.state is not State.ABSENT:
            self.out.append(self.attached())


class ClientDisk:
    """A real record. Each sign is seen by another process of the client, which begins with the record."""

    def __init__(self) -> None:
        self._record = JobRecord(
            job_id=JOB,
            attach_key="key",
            worker="gpu-1",
            ws_url="ws://127.0.0.1:1",
            http_url="http://127.0.0.1:1",
            room_id="room",
            token="token1",
            dataset="/flies.pkg.slp",
            configs=(),
            out_dir="/models",
            started_at=time.time(),
        )

    @property
    def record(self) -> JobRecord:
        """The record as it is on disk."""
        return reread(self._record)

    def see(self, sign: Sign) -> None:
        """Does what a process does that sees a sign by itself."""
        book = Logbook(self.record)
        if sign is Sign.ASSIGNED:
            Logbook(self._record).begin()
        elif sign is Sign.HEARD:
            book.see(StatusChanged("gpu-1", "running", 0.5))
        elif sign is Sign.DONE:
            book.note_done("The result hasn't arrived yet.")
        elif sign is Sign.RESULT_IN_PLACE:
            book.see(Completed(JOB, "gpu-1", model_dirs=("/models/centroid",)))
        elif sign is Sign.FAILURE:
            book.fail(JobFailedError("gpu-1 has no such job."))
        elif sign is Sign.CANCELLATION:
            book.leave(is_cancelled=True, is_complete=False)
        else:
            book.fail(WorkerLostError("gpu-1 has fallen silent."))

    def hear(self, answer: JobAttached) -> None:
        """Does what a process does that gets a worker's answer."""
        word = last_word_of(answer)
        if isinstance(word, JobFailed):
            error = JobFailedError(word.error.message, error_code=word.error.code)
            Logbook(self.record).fail(error)
        else:
            self.see(Sign.HEARD if word is None else Sign.DONE)


@attrs.define
class ClientModel:
    """A client as far as one job goes."""

    disk: ClientDisk
    seen: Seen = Seen.RUNNING
    has_cancelled: bool = False
    out: list[Message] = attrs.field(factory=lambda: [Message("assign")])

    def see(self, sign: Sign) -> None:
        """Notes a sign of the job."""
        self.seen = life.seen_after(self.seen, sign) or self.seen
        self.disk.see(sign)

    def hear(self, message: Message) -> None:
        """Acts on what the worker sent."""
        if message.answer is not None:
            if (sign := life.sign_of(message.state)) is not None:
                self.seen = life.seen_after(self.seen, sign) or self.seen
            self.disk.hear(message.answer)
        elif message.kind == "cancelled":
            self.see(Sign.CANCELLATION)
        elif message.kind == "purged":
            if self.seen not in OVER:
                self.seen = life.seen_after(self.seen, Sign.CANCELLATION) or self.seen
            note_purged(self.disk.record, time.time())
        elif message.kind in ("failed", "unknown"):
            self.see(Sign.FAILURE)

    def cancel(self) -> None:
        """Asks the worker to drop the job."""
        self.has_cancelled = True
        self.out.append(Message("cancel"))


REPORTED = {
    Cause.SLOT_FREED,
    Cause.WORK_DONE,
    Cause.WORK_FAILED,
    Cause.RESTARTED,
    Cause.INTERRUPTED,
    Cause.RESUMED,
    Cause.HANDED_BACK,
}
"""What the worker tells its client after it has happened."""

UNREPORTED = {Cause.KEPT_LONG_ENOUGH, Cause.EPHEMERAL_OVER}


class BothLives(RuleBasedStateMachine):
    """Whatever happens to a job and to the messages about it, asking once more brings both to agree."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="lives-")
        folder = Path(self._folder.name)
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(files, "private_state_dir", lambda: folder)
        self.worker = WorkerModel(WorkerDisk(folder))
        self.client = ClientModel(ClientDisk())
        self.client.see(Sign.ASSIGNED)
        self.flying: list[tuple[Callable[[Message], None], Message]] = []

    def _send(self) -> None:
        self.flying += [(self.worker.hear, message) for message in self.client.out]
        self.flying += [(self.client.hear, message) for message in self.worker.out]
        self.client.out.clear()
        self.worker.out.clear()

    def _is_quiet(self) -> bool:
        return not (self.flying or self.client.out or self.worker.out)

    @precondition(lambda self: not self._is_quiet())
    @rule(which=st.integers(0, 10**6), fate=st.sampled_from(["deliver", "deliver", "lose", "repeat"]))
    def message_moves(self, which: int, fate: str) -> None:
        self._send()
        index = which % len(self.flying)
        hear, message = self.flying[index]
        if fate != "repeat":
            del self.flying[index]
        if fate != "lose":
            hear(message)

    @initialize(is_full=st.booleans(), step_count=st.integers(0, 4))
    def job_begins_undisturbed(self, is_full: bool, step_count: int) -> None:
        """Else few jobs would get far."""
        self.worker.is_full = is_full
        steps: list[Callable[[], object]] = [
            lambda: self.worker.hear(Message("assign")),
            lambda: self.worker.move(Cause.SLOT_FREED),
            self.inputs_arrive,
            lambda: self.worker.move(Cause.WORK_DONE),
        ]
        for step in steps[:step_count]:
            step()

    @precondition(lambda self: not self.worker.had_slot)
    @rule()
    def client_assigns_again(self) -> None:
        """The assignment is repeated: the first one may be lost."""
        self.client.out.append(Message("assign"))

    @precondition(
        lambda self: (
            self._is_quiet()
            and self.client.seen is not Seen.COMPLETED
            and not life.is_underway(self.worker.state)
        )
    )
    @rule(is_full=st.booleans())
    def client_begins_again(self, is_full: bool) -> None:
        """A new request and its answer go before; they aren't played here."""
        self.worker.is_full = is_full
        self.client.see(Sign.ASSIGNED)
        self.client.has_cancelled = False
        self.worker.had_slot = False
        self.worker.hear(Message("assign"))

    @precondition(lambda self: self.worker.state is not State.ABSENT)
    @rule()
    def client_asks(self) -> None:
        """It has heard of the job before: until then, it repeats the assignment instead."""
        self.client.out.append(Message("attach"))

    @precondition(lambda self: self.worker.state is State.RECEIVING and not self.client.has_cancelled)
    @rule()
    def inputs_arrive(self) -> None:
        """Files go over the data channel, which loses nothing."""
        self.worker.was_connected = True
        self.worker.move(Cause.INPUTS_ARRIVED)

    @precondition(lambda self: self.worker.causes(REPORTED))
    @rule(which=st.integers(0, 10**6))
    def worker_gets_on(self, which: int) -> None:
        causes = self.worker.causes(REPORTED)
        self.worker.move(causes[which % len(causes)])
        self.worker.report()

    @precondition(lambda self: self.worker.causes({Cause.SLOT_LOST}))
    @rule()
    def client_makes_no_connection(self) -> None:
        self.worker.move(Cause.SLOT_LOST)
        self.worker.out.append(Message("failed"))

    @precondition(lambda self: self.worker.causes(UNREPORTED))
    @rule(which=st.integers(0, 10**6))
    def worker_forgets(self, which: int) -> None:
        causes = self.worker.causes(UNREPORTED)
        self.worker.move(causes[which % len(causes)])

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

    @precondition(lambda self: self.client.seen not in OVER and not self.client.has_cancelled)
    @rule()
    def client_cancels(self) -> None:
        self.client.cancel()

    @precondition(lambda self: self.client.seen in {*OVER, Seen.NOT_FETCHED})
    @rule()
    def client_purges(self) -> None:
        self.client.out.append(Message("purge"))

    @rule()
    def client_hears_nothing(self) -> None:
        self.client.see(Sign.SILENCE)

    @invariant()
    def the_journal_has_what_the_table_says(self) -> None:
        assert self.worker.disk.state == self.worker.state
        entry = self.worker.disk.journal.find(JOB)
        if entry is not None:
            duties = OWED[self.worker.state].worker
            assert (entry.last_word is not None) == (Duty.REPEAT_LAST_WORD in duties)
            assert entry.archive is not None or Duty.KEEP_RESULT not in duties

    @invariant()
    def the_record_has_what_the_table_says(self) -> None:
        assert self.client.disk.record.state == self.client.seen

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
        try:
            self._agree()
        finally:
            self.worker.disk.journal.close()
            self.patch.undo()
            self._folder.cleanup()

    def _agree(self) -> None:
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
        self.the_journal_has_what_the_table_says()
        self.the_record_has_what_the_table_says()


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


# --- each row by itself, on disk --------------------------------------------------------------


def way_to(state: State) -> list[Cause]:
    """Returns causes that lead from no job to a job in this state."""
    ways: dict[State, list[Cause]] = {State.ABSENT: []}
    while state not in ways:
        for row in ON_WORKER:
            if row.state in ways:
                ways.setdefault(row.next, [*ways[row.state], row.cause])
    return ways[state]


@pytest.mark.parametrize("state", State)
def test_the_journal_follows_every_row_and_nothing_else(state: State, tmp_path: Path) -> None:
    for cause in Cause:
        folder = tmp_path / cause.name
        folder.mkdir()
        disk = WorkerDisk(folder)
        for earlier in way_to(state):
            disk.move(earlier)
        assert disk.state == state
        following = life.after(state, cause)
        is_refused = False
        try:
            disk.move(cause)
        except StorageError:  # the worker tells its client
            is_refused = True
        assert (disk.state, is_refused and following is not None) == (following or state, False)
        disk.journal.close()
