"""What clients know of their jobs."""

import attrs
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sleaprtc.client.events.job import Completed, StatusChanged
from sleaprtc.client.records import files, logbook
from sleaprtc.client.records.files import find
from sleaprtc.client.records.logbook import Logbook
from sleaprtc.errors import JobFailedError, UsageError, WorkerLostError
from sleaprtc.jobs.life import OVER, Seen, outranks

from ..support.client_jobs import a_record

RECORD = a_record()
FAILURES = {
    "failed": JobFailedError("The loss became NaN."),
    "cancelled": JobFailedError("It was dropped.", error_code="CANCELLED"),
    "lost": WorkerLostError("gpu-1 has fallen silent."),
}


class Disk:
    """The folder of the records, for one of them."""

    def __init__(self):
        self.record = None

    def save(self, record):
        self.record = record

    def reread(self, record):
        return self.record or record


@pytest.fixture
def disk(monkeypatch):
    disk = Disk()
    monkeypatch.setattr(logbook, "save", disk.save)
    monkeypatch.setattr(logbook, "reread", disk.reread)
    return disk


def test_an_unset_variable_names_no_job():
    with pytest.raises(UsageError, match="No job is named"):
        find("")


def status(seq):
    return StatusChanged("gpu-1", "running", 0.5, seq=seq)


def test_a_job_that_was_cancelled_is_not_called_failed_when_its_worker_has_nothing_of_it(disk):
    """An attach finds "doesn't know this job any more" then; silence and failures don't undo an end."""
    book = Logbook(attrs.evolve(RECORD, state="cancelled", message="By you."))
    book.fail(FAILURES["failed"])
    book.fail(FAILURES["lost"])
    assert (book.record.state, book.record.message) == ("cancelled", "By you.")
    book = Logbook(attrs.evolve(RECORD, state="failed", message="It ran out of memory."))
    book.fail(FAILURES["lost"])
    assert (book.record.state, book.record.message) == ("failed", "It ran out of memory.")


def test_a_status_that_comes_late_does_not_undo_an_end_that_another_process_has_seen(disk):
    book = Logbook(RECORD)
    book.begin()
    disk.record = attrs.evolve(RECORD, state="failed", message="It ran out of memory.")
    book.see(status(1))
    book.detach()
    assert disk.record.state == "failed"


@pytest.mark.parametrize("state", sorted(Seen))
def test_an_assignment_begins_a_record_again_but_for_a_result_that_is_here(disk, state):
    disk.record = attrs.evolve(RECORD, state=str(state))
    Logbook(attrs.evolve(RECORD, worker="gpu-2")).begin()
    expected = ("completed", "gpu-1") if state is Seen.COMPLETED else ("running", "gpu-2")
    assert (disk.record.state, disk.record.worker) == expected


def test_a_record_on_disk_is_plain_text(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "private_state_dir", lambda: tmp_path)
    files.save(RECORD.after(files.Sign.SILENCE))
    assert find("job").state == "lost"
    assert '"lost"' in (tmp_path / "jobs" / "job.json").read_text()


class TwoProcesses(RuleBasedStateMachine):
    """Two processes write one record; whatever they see in which order, the strongest end stays."""

    def __init__(self):
        super().__init__()
        self.disk = Disk()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(logbook, "save", self.disk.save)
        self.patch.setattr(logbook, "reread", self.disk.reread)
        self.books = [Logbook(RECORD), Logbook(RECORD)]
        self.strongest = Seen.RUNNING
        self.books[0].begin()

    def _note(self, state):
        if outranks(state, self.strongest):
            self.strongest = state

    @rule(which=st.integers(0, 1), how=st.sampled_from(sorted(FAILURES)))
    def ends_without_a_result(self, which, how):
        self.books[which].fail(FAILURES[how])
        self._note(how)

    @rule(which=st.integers(0, 1))
    def result_is_in_place(self, which):
        self.books[which].see(Completed("job", "gpu-1", model_dirs=("/models/centroid",)))
        self._note("completed")

    @rule(which=st.integers(0, 1), seq=st.integers(1, 9))
    def hears_a_status(self, which, seq):
        self.books[which].see(status(seq))
        self.books[which].detach()

    @rule(which=st.integers(0, 1), is_complete=st.booleans())
    def is_interrupted(self, which, is_complete):
        self.books[which].leave(is_cancelled=False, is_complete=is_complete)

    @invariant()
    def the_strongest_end_is_on_disk(self):
        assert not outranks(self.strongest, self.disk.record.state)
        assert (self.disk.record.state in OVER) == (self.strongest in OVER)

    def teardown(self):
        self.patch.undo()


TestTwoProcesses = TwoProcesses.TestCase
