"""Jobs and models survive locked journals, full disks, and changes of the clock."""

import sqlite3
import time
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio

from sleaprtc.client.events.job import Retrying, StatusChanged
from sleaprtc.client.jobs.attach import attach_to_job
from sleaprtc.client.jobs.order.persistence import Persistence
from sleaprtc.client.records.files import load_all
from sleaprtc.errors import JobFailedError, StorageError
from sleaprtc.jobs.life import Cause, State
from sleaprtc.protocol.jobs import JobComplete, JobRequest
from sleaprtc.transfer.archive import pack_folders
from sleaprtc.worker.journal.recovery import WallClock, forget_old, make_jobs_dir, remove_orphans
from sleaprtc.worker.journal.store import Journal

from ..support.lab import LOOPBACK, ScriptedTrainer, make_labels
from ..support.waiting import until

YEAR_SEC = 365 * 86_400.0


@pytest.fixture
def labels(tmp_path):
    return make_labels(tmp_path / "flies.pkg.slp", padding_bytes=10_000)


@pytest.fixture
def no_farewell(monkeypatch):
    async def say_nothing(_):
        return

    monkeypatch.setattr("sleaprtc.client.jobs.follower.follow.Follower._cancel_job", say_nothing)


@pytest.fixture
def impatient_journal(monkeypatch):
    monkeypatch.setattr("sleaprtc.worker.journal.store.BUSY_TIMEOUT_SEC", 0.05)
    monkeypatch.setattr("sleaprtc.worker.journal.page.RETRY_SEC", 0.05)


@contextmanager
def locked(path):
    """Locks the file, as another process such as a backup does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def journal_of(lab, name):
    return lab.tmp_path / f"{name}.sqlite3"


# --- a locked journal -----------------------------------------------------------------------


async def test_a_locked_journal_costs_a_new_job_only(lab, labels, impatient_journal):
    async with lab.worker("gpu-1") as agent:
        with locked(journal_of(lab, "gpu-1")), pytest.raises(JobFailedError) as caught:
            await lab.train(labels, worker="gpu-1")
        assert "journal can't be written" in str(caught.value)
        assert "No other worker may be asked (--worker gpu-1)" in str(caught.value)
        assert list(agent.jobs_dir.iterdir()) == []
        assert len((await lab.train(labels)).model_dirs) == 1


async def test_training_goes_on_beside_a_locked_journal(lab, labels, impatient_journal):
    trainer, done = ScriptedTrainer(hold=True), []

    async def train():
        done.append(await lab.train(labels))

    async with lab.worker("gpu-1", trainer), trio.open_nursery() as nursery:
        nursery.start_soon(train)
        await trainer.started.wait()
        with locked(journal_of(lab, "gpu-1")):
            trainer.go_on.set()
            await until(lambda: done)
    assert len(done[0].model_dirs) == 1


async def test_a_locked_journal_forgets_no_model(lab, labels, impatient_journal, no_farewell, monkeypatch):
    """Training ends while the journal is locked and the client is gone; then the worker is restarted."""
    trainer = ScriptedTrainer(hold=True)
    with monkeypatch.context() as hasty:
        hasty.setattr("sleaprtc.worker.jobs.job.RESULT_WAIT_SEC", 0.1)
        await train_beside_a_locked_journal(lab, labels, trainer)
    (record,) = load_all()
    async with lab.worker("gpu-1"):
        assert len((await attach_to_job(record, connection=LOOPBACK)).model_dirs) == 1


async def train_beside_a_locked_journal(lab, labels, trainer):
    async with lab.worker("gpu-1", trainer), lab.peer("watcher") as watcher:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lab.train, labels)
            await trainer.started.wait()
            nursery.cancel_scope.cancel()
        with locked(journal_of(lab, "gpu-1")):
            trainer.go_on.set()
            await until(lambda: watcher.discover({"properties": {"status": "busy"}}), becomes=False)
            await trio.sleep(0.3)  # longer than the model waits for its client
        with closing(Journal(journal_of(lab, "gpu-1"))) as journal:
            await until(lambda: [entry.state for entry in journal.entries()] == [State.COMPLETED])


async def test_cancelling_beside_a_locked_journal_harms_nobody(lab, labels, impatient_journal):
    trainer = ScriptedTrainer(hold=True)
    async with lab.worker("gpu-1", trainer) as agent:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lab.train, labels)
            await trainer.started.wait()
            with locked(journal_of(lab, "gpu-1")):
                nursery.cancel_scope.cancel()
                await until(lambda: not (trainer.running or list(agent.jobs_dir.iterdir())))
        trainer.go_on.set()
        assert len((await lab.train(labels)).model_dirs) == 1


# --- a full disk, an unusable folder --------------------------------------------------------


async def test_a_disk_that_is_full_fails_the_job_in_words(lab, labels, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    async with lab.worker("gpu-1") as agent:
        with monkeypatch.context() as patched:
            patched.setattr("sleaprtc.worker.jobs.job_types.TrainingJob", fail)
            with pytest.raises(JobFailedError, match=r"gpu-1: .* No space left on device\.") as caught:
                await lab.train(labels)
        assert (caught.value.exit_status, caught.value.error_code) == (1, "STORAGE")
        assert "name a folder on another disk (--work-dir)" in str(caught.value)
        assert list(agent.jobs_dir.iterdir()) == []
        assert len((await lab.train(labels)).model_dirs) == 1


def fill(journal):
    """Makes SQLite report a full disk."""
    journal._db.execute("PRAGMA max_page_count = 1")  # which SQLite takes as the present size
    with suppress(StorageError):
        for number in range(10_000):
            journal.begin(f"another-job-{number}", "client", JobRequest("another-job", "training"), Path("/"))


async def test_a_journal_on_a_full_disk_fails_the_job_in_words(lab, labels):
    async with lab.worker("gpu-1") as agent:
        fill(agent._roster._journal)
        with pytest.raises(JobFailedError) as caught:
            await lab.train(labels)
    assert str(caught.value) == (
        "gpu-1: The journal can't be written: database or disk is full. The worker's owner can make room, or "
        "name a folder on another disk (--work-dir). There is no other worker in the room."
    )


async def test_a_dataset_that_does_not_fit_fails_the_job_in_words(lab, labels, monkeypatch):
    """The worker refuses the file, so sending fails at the client, too; the worker's reason counts."""
    monkeypatch.setattr("sleaprtc.client.jobs.submission.submit.check_space", lambda *_: None)
    async with lab.worker("gpu-1"):
        monkeypatch.setattr("sleaprtc.transfer.disk.DISK_RESERVE_BYTES", 2**62)
        with pytest.raises(JobFailedError, match=r"gpu-1: flies.pkg.slp needs ") as caught:
            await lab.train(labels)
    assert (caught.value.exit_status, caught.value.error_code) == (1, "STORAGE")
    assert "name a folder on another disk (--work-dir). There is no other worker" in str(caught.value)


async def test_a_disk_that_is_full_is_tried_again_where_that_is_wanted(lab, labels, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    events = []
    async with lab.worker("gpu-1"):
        with monkeypatch.context() as patched:
            patched.setattr("sleaprtc.worker.jobs.job_types.TrainingJob", fail)

            def see(event):
                events.append(event)
                if isinstance(event, Retrying):
                    patched.undo()

            completed = await lab.train(labels, see, persistence=Persistence(retries=1))
    assert len(completed.model_dirs) == 1
    assert sum(isinstance(event, Retrying) for event in events) == 1


async def test_a_disk_that_is_full_after_training_costs_no_model(lab, labels, monkeypatch):
    """Once there is room again, the model arrives."""
    monkeypatch.setattr("sleaprtc.worker.jobs.job_types.PACKING_RETRY_SEC", 0.05)
    attempts = []

    def fill_at_first(folders, archive):
        attempts.append(archive)
        if len(attempts) < 3:
            archive.write_bytes(b"half")
            raise StorageError("The model can't be packed: No space left on device.")
        pack_folders(folders, archive)

    monkeypatch.setattr("sleaprtc.worker.jobs.job_types.pack_folders", fill_at_first)
    events = []
    async with lab.worker("gpu-1"):
        assert len((await lab.train(labels, events.append)).model_dirs) == 1
    said = [event.message for event in events if isinstance(event, StatusChanged) and event.message]
    assert any("No space left on device. Trying again." in message for message in said)


async def test_a_client_whose_disk_is_full_fetches_its_model_later(lab, labels, tmp_path, monkeypatch):
    """Whichever comes first: the result that can't be written, or the message that the job is done."""

    def fill_the_disk(event):
        if isinstance(event, StatusChanged) and event.status == "running":
            filled.setattr(
                "sleaprtc.client.jobs.follower.progress.JobProgress._take_completion", lambda *_: None
            )
            filled.setattr("sleaprtc.transfer.disk.DISK_RESERVE_BYTES", 2**62)

    async with lab.worker("gpu-1"):
        with (
            monkeypatch.context() as filled,
            pytest.raises(StorageError, match=r"to spare.*fetch \w{8} --out FOLDER$"),
        ):
            await lab.train(labels, fill_the_disk)
        (record,) = load_all()
        assert record.state == "not_fetched"
        assert "to spare" in record.message
        completed = await attach_to_job(record, connection=LOOPBACK, out_dir=tmp_path / "elsewhere")
    assert load_all()[0].state == "completed"
    assert [Path(folder).parent for folder in completed.model_dirs] == [tmp_path / "elsewhere"]


def test_a_work_folder_that_is_none(tmp_path):
    (tmp_path / "jobs").write_text("")
    with pytest.raises(StorageError, match="can't be made"):
        make_jobs_dir(tmp_path)


async def test_a_client_that_cannot_write_down_its_job_trains_all_the_same(
    lab, labels, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SLEAP_RTC_STATE_DIR", str(tmp_path / "file"))
    async with lab.worker("gpu-1"):
        assert len((await lab.train(labels)).model_dirs) == 1


async def test_a_model_that_came_in_whole_is_laid_down_by_the_next_process(
    lab, labels, tmp_path, monkeypatch
):
    """The client is killed after it confirmed the model, and before the model is in its place."""
    with monkeypatch.context() as patched:
        received = trio.Event()

        async def be_killed(*_):
            received.set()
            await trio.sleep_forever()

        patched.setattr("sleaprtc.client.results.delivery._finish", be_killed)
        async with lab.worker("gpu-1") as agent:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lab.train, labels)
                await received.wait()
                nursery.cancel_scope.cancel()
            await until(lambda: not list(agent.jobs_dir.iterdir()))
            (record,) = load_all()
            patched.undo()
            completed = await attach_to_job(record, connection=LOOPBACK)
    assert completed.model_dirs == (str(tmp_path / "models" / "centroid"),)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["centroid"]


# --- a kill at the wrong moment, a clock that is set ----------------------------------------


@pytest.fixture
def journal(tmp_path):
    with closing(Journal(tmp_path / "journal.sqlite3")) as journal:
        yield journal


DONE = (Cause.INPUTS_ARRIVED, Cause.WORK_DONE)


def add_job(journal, folder, causes):
    folder.mkdir(parents=True)
    (folder / "x.zip").write_text("model")
    journal.begin(folder.name, "client", JobRequest(folder.name, "training"), folder)
    for cause in causes:
        assert journal.move(folder.name, cause, last_word=JobComplete(folder.name), archive=folder / "x.zip")


def test_only_folders_with_a_waiting_model_outlive_a_kill(journal, tmp_path):
    for number, causes in enumerate((DONE, [Cause.WORK_FAILED], (*DONE, Cause.RESULT_FETCHED))):
        add_job(journal, tmp_path / f"job-{number}", causes)
    (tmp_path / "job-unknown").mkdir()
    remove_orphans(journal, tmp_path)
    assert [path.name for path in tmp_path.glob("job-*")] == ["job-0"]


@pytest.mark.parametrize("jump_sec", [56 * YEAR_SEC, -56 * YEAR_SEC])
def test_a_clock_that_is_set_forgets_no_model(journal, tmp_path, jump_sec):
    add_job(journal, tmp_path / "job-1", DONE)
    (entry,) = journal.entries()
    before = WallClock(entry.updated_at, 1000.0)
    now, monotonic = entry.updated_at + jump_sec + 3600, 4600.0
    assert before.jump_sec(now, monotonic) == pytest.approx(jump_sec)
    forget_old(journal, now, 7 * 86_400, before.jump_sec(now, monotonic))
    (entry,) = journal.entries()
    assert now - 3601 < entry.updated_at <= now
    assert (tmp_path / "job-1" / "x.zip").exists()
    forget_old(journal, now + 8 * 86_400, 7 * 86_400)
    assert not (tmp_path / "job-1").exists()


def test_clocks_that_drift_a_little_are_not_set():
    assert WallClock(1e9, 50.0).jump_sec(1e9 + 3600, 3640.0) == 0.0


def _set_clock(wall, jump_sec):
    return wall() + jump_sec


async def test_a_worker_whose_clock_is_set_goes_on(lab, labels, monkeypatch):
    monkeypatch.setattr("sleaprtc.worker.jobs.roster.FORGET_INTERVAL_SEC", 0.01)
    wall = time.time
    trainer, done = ScriptedTrainer(hold=True), []

    async def train():
        done.append(await lab.train(labels))

    async with lab.worker("gpu-1", trainer), trio.open_nursery() as nursery:
        nursery.start_soon(train)
        await trainer.started.wait()
        for jump_sec in (10 * YEAR_SEC, -10 * YEAR_SEC):
            monkeypatch.setattr("time.time", partial(_set_clock, wall, jump_sec))
            await trio.sleep(0.1)
            with closing(Journal(journal_of(lab, "gpu-1"))) as journal:
                assert [entry.state for entry in journal.entries()] == [State.TRAINING]
        trainer.go_on.set()
    assert len(done[0].model_dirs) == 1
