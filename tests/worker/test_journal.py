"""The journal moves jobs by the table of a job's life, and loses no move that it can't write at once."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

import sleaprtc.worker
from sleaprtc.errors import StorageError
from sleaprtc.jobs import life
from sleaprtc.jobs.keys import attach_digest
from sleaprtc.jobs.life import Cause, State
from sleaprtc.protocol.jobs import JobComplete, JobPurge, JobPurged, JobRequest
from sleaprtc.worker.journal.page import JobNotes
from sleaprtc.worker.journal.recovery import forget_old, note_restart, remove_orphans
from sleaprtc.worker.journal.store import Journal

from ..support.lab import Lab

REQUEST = JobRequest("job-1", "training")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal(tmp_path / "journal.sqlite3")) as journal:
        yield journal


def state_in(journal: Journal) -> str:
    entry = journal.find("job-1")
    return State.ABSENT if entry is None else entry.state


def put(journal: Journal, state: str) -> None:
    """Writes a state as a version that has other transitions would have."""
    journal._write("UPDATE jobs SET state = ?", (state,))


@given(causes=st.lists(st.sampled_from(sorted(Cause)), max_size=12))
def test_a_job_moves_by_the_table_alone(
    tmp_path_factory: pytest.TempPathFactory, causes: list[Cause]
) -> None:
    state: State = State.ABSENT
    with closing(Journal(tmp_path_factory.mktemp("journal") / "journal.sqlite3")) as journal:
        for cause in causes:
            following = life.after(state, cause)
            if cause not in (Cause.ASSIGNED, Cause.ASSIGNED_AHEAD):
                assert journal.move("job-1", cause) is following
            elif following is not None:
                journal.begin("job-1", "client", REQUEST, Path("/"), cause)
            else:
                with pytest.raises(StorageError, match=f"already, and it is {state}"):
                    journal.begin("job-1", "client", REQUEST, Path("/"), cause)
            state = following or state
            assert state_in(journal) == state


def test_a_move_without_a_row_changes_nothing(journal: Journal, tmp_path: Path) -> None:
    journal.begin("job-1", "client", REQUEST, tmp_path)
    before = journal.find("job-1")
    assert journal.move("job-1", Cause.WORK_DONE, last_word=JobComplete("job-1"), archive=tmp_path) is None
    assert journal.find("job-1") == before
    assert journal.move("job-2", Cause.WORK_FAILED) is None
    assert [entry.job_id for entry in journal.entries()] == ["job-1"]


def test_a_job_that_lost_its_slot_leaves_no_page(journal: Journal, tmp_path: Path) -> None:
    journal.begin("job-1", "client", REQUEST, tmp_path)
    assert journal.move("job-1", Cause.SLOT_LOST) is State.ABSENT
    assert journal.entries() == []


@pytest.mark.parametrize("state", [*sorted(set(State) - {State.ABSENT}), "levitating"])
def test_a_start_fails_interrupts_forgets_and_keeps_by_the_table(
    journal: Journal, tmp_path: Path, state: str
) -> None:
    folder = tmp_path / "job-x"
    folder.mkdir()
    journal.begin("job-1", "client", REQUEST, folder)
    put(journal, state)
    following = {State.RECEIVING: State.FAILED, State.TRAINING: State.INTERRUPTED}.get(state, state)
    failed = [entry.job_id for entry in note_restart(journal)]
    assert failed == (["job-1"] if state == State.RECEIVING else [])
    assert state_in(journal) == following
    remove_orphans(journal, tmp_path)
    assert folder.exists() == life.keeps_files(state)
    (entry,) = journal.entries()
    is_kept = life.is_underway(following) or state == "levitating"
    forgotten = forget_old(journal, entry.updated_at + 100, 50)
    assert (forgotten, state_in(journal)) == (([], following) if is_kept else ([entry], State.ABSENT))
    assert folder.exists() == is_kept


def test_a_job_in_a_newer_versions_state_is_ended_by_its_client_alone(
    journal: Journal, tmp_path: Path
) -> None:
    """An older version leaves such a job alone: the newer one may come back, and go on with it."""
    folder = tmp_path / "job-x"
    folder.mkdir()
    journal.begin("job-1", "client", REQUEST, folder)
    put(journal, "levitating")
    with pytest.raises(StorageError):
        journal.begin("job-1", "client", REQUEST, tmp_path / "job-y")
    assert note_restart(journal) == []
    remove_orphans(journal, tmp_path)
    assert forget_old(journal, 1e12, 0) == []
    assert (state_in(journal), folder.exists()) == ("levitating", True)
    assert journal.move("job-1", Cause.CANCELLED) is State.CANCELLED
    put(journal, "levitating")
    journal.forget_for_good("job-1", Cause.PURGED)
    assert journal.entries() == []


@pytest.mark.parametrize("state", sorted(set(State) - {State.ABSENT}))
def test_a_job_is_deleted_for_good_only_for_a_reason(journal: Journal, tmp_path: Path, state: str) -> None:
    journal.begin("job-1", "client", REQUEST, tmp_path)
    put(journal, state)
    if life.is_underway(state):
        with pytest.raises(StorageError, match=f"can't be deleted while it is {state}"):
            journal.forget_for_good("job-1", Cause.PURGED)
        assert state_in(journal) == state
    else:
        journal.forget_for_good("job-1", Cause.PURGED)
        journal.forget_for_good("job-1", Cause.PURGED)
        assert state_in(journal) == State.ABSENT


async def test_moves_that_could_not_be_written_are_written_in_their_order(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a result would be lost: nothing leads from a job that still receives to one that is completed."""
    monkeypatch.setattr("sleaprtc.worker.journal.page.RETRY_SEC", 0.01)
    journal._db.execute("PRAGMA busy_timeout = 10")
    journal.begin("job-1", "client", REQUEST, tmp_path)
    notes = JobNotes(journal, "job-1")
    with closing(sqlite3.connect(tmp_path / "journal.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await notes.move(Cause.INPUTS_ARRIVED)
        await notes.move(Cause.WORK_DONE, last_word=JobComplete("job-1"), archive=tmp_path / "x.zip")
        assert state_in(journal) == State.RECEIVING
        other.execute("COMMIT")
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(notes.keep_trying)
            await notes.move(Cause.RESULT_FETCHED)
    entry = journal.find("job-1")
    assert entry is not None
    assert (entry.state, entry.archive) == (State.DELIVERED, tmp_path / "x.zip")


def test_only_a_beginning_and_a_move_write_a_jobs_state() -> None:
    """Whoever deletes a job or changes its state names a cause, which the table has or hasn't."""
    folder = Path(sleaprtc.worker.__file__).parent
    text = "\n".join(path.read_text() for path in folder.rglob("*.py"))
    statements = re.findall(r"INSERT\b[\w ]*\bINTO jobs\b|DELETE FROM jobs\b|UPDATE jobs SET state\b", text)
    assert sorted(statements) == ["DELETE FROM jobs", "INSERT OR REPLACE INTO jobs", "UPDATE jobs SET state"]


# --- a job with the id of an earlier one, in a worker's roster --------------------------------

KEYED = JobRequest("job-1", "training", attach_digest=attach_digest("key"))


async def test_a_job_replaces_an_earlier_one_whose_end_could_not_be_written(lab: Lab, tmp_path: Path) -> None:
    """Nothing works on that one any more, although the journal says so."""
    async with lab.worker("gpu-1") as agent:
        roster = agent._roster
        folder = tmp_path / "job-x"
        folder.mkdir()
        roster._journal.begin("job-1", "client", KEYED, folder)
        roster._journal.move("job-1", Cause.INPUTS_ARRIVED)
        job_dir = roster._begin("client", KEYED)
        entry = roster._journal.find("job-1")
        assert entry is not None
        assert (entry.state, entry.directory) == (State.RECEIVING, job_dir)
        assert (folder.exists(), job_dir.exists()) == (False, True)


async def test_a_job_does_not_replace_one_in_a_newer_versions_state(lab: Lab, tmp_path: Path) -> None:
    async with lab.worker("gpu-1") as agent:
        roster = agent._roster
        folder = tmp_path / "job-x"
        folder.mkdir()
        roster._journal.begin("job-1", "client", KEYED, folder)
        put(roster._journal, "levitating")
        with pytest.raises(StorageError, match="already, and it is levitating"):
            roster._begin("client", KEYED)
        assert (state_in(roster._journal), folder.exists()) == ("levitating", True)
        assert list(agent.jobs_dir.iterdir()) == []


async def test_a_client_purges_its_job_in_a_newer_versions_state(lab: Lab, tmp_path: Path) -> None:
    async with lab.worker("gpu-1") as agent:
        roster = agent._roster
        folder = tmp_path / "job-x"
        folder.mkdir()
        roster._journal.begin("job-1", "client", KEYED, folder)
        put(roster._journal, "levitating")
        answer = await roster._purge.answer(JobPurge("job-1", "key"), None)
        assert answer == JobPurged("job-1")
        assert (state_in(roster._journal), folder.exists()) == (State.ABSENT, False)
