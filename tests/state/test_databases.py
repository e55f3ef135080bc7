"""Every database is brought up to today's layout from what a release wrote, and a newer one is left alone."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import attrs
import pytest

import sleaprtc
from sleaprtc.base.database import Layout, open_database
from sleaprtc.errors import NewerStateError, StorageError
from sleaprtc.storage.base import StoredRoom
from sleaprtc.storage.sqlite import LAYOUT as ROOMS
from sleaprtc.storage.sqlite import open_sqlite_storage
from sleaprtc.worker.journal.store import LAYOUT as JOURNAL
from sleaprtc.worker.journal.store import Journal

DATABASES = {"rooms.sqlite3": ROOMS, "journal.sqlite3": JOURNAL}
RELEASES = sorted(Path(__file__).parent.glob("release_*/databases"))

each_database = pytest.mark.parametrize("name", DATABASES)
each_release = pytest.mark.parametrize("release", RELEASES, ids=lambda folder: folder.parent.name)


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path, str], Path]:
    def copied(release: Path, name: str) -> Path:
        return Path(shutil.copy(release / name, tmp_path / name))

    return copied


def opened(path: Path, layout: Layout) -> closing[sqlite3.Connection]:
    return closing(open_database(path, layout, 1.0))


def tables(connection: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in sorted(names)}


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def with_step(layout: Layout, *statements: str) -> Layout:
    return attrs.evolve(layout, steps=(*layout.steps, statements))


def test_no_database_is_opened_any_other_way() -> None:
    package = Path(sleaprtc.__file__).parent
    opening = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"sqlite3\s*\.\s*connect|from sqlite3 import", path.read_text())
    }
    assert opening == {"base/database.py"}


@each_release
@each_database
def test_a_released_file_becomes_what_a_new_one_is(copied, tmp_path: Path, release: Path, name: str) -> None:
    layout = DATABASES[name]
    with opened(copied(release, name), layout) as old, opened(tmp_path / "new", layout) as new:
        assert tables(old) == tables(new)
        assert version(old) == version(new) == layout.version
        assert old.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert old.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.parametrize(
    ("name", "steps"), [(name, n) for name, layout in DATABASES.items() for n in range(layout.version + 1)]
)
def test_each_version_is_brought_up(tmp_path: Path, name: str, steps: int) -> None:
    layout = DATABASES[name]
    earlier = attrs.evolve(layout, steps=layout.steps[:steps])
    with opened(tmp_path / "old", earlier) as old:
        assert version(old) == steps
    with opened(tmp_path / "old", layout) as old, opened(tmp_path / "new", layout) as new:
        assert tables(old) == tables(new)
        assert version(old) == layout.version


@each_database
def test_a_first_release_that_was_killed_before_it_stamped_the_version(copied, name: str) -> None:
    path = copied(RELEASES[0], name)
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        before = list(old.iterdump())
        old.execute("PRAGMA user_version = 0")
    with opened(path, attrs.evolve(DATABASES[name], steps=DATABASES[name].steps[:1])) as again:
        assert list(again.iterdump()) == before
        assert version(again) == 1


@each_release
def test_a_released_journal_keeps_its_jobs(copied, release: Path) -> None:
    with closing(Journal(copied(release, "journal.sqlite3"))) as journal:
        states = {entry.job_id: entry.state for entry in journal.entries()}
        assert states == {"trains": "training", "completed": "completed", "delivered": "delivered"}
        completed = journal.find("completed")
        assert completed is not None
        assert completed.archive == Path("/srv/sleap-rtc/jobs/completed/models.zip")
        assert completed.last_word is not None
        assert [status.seq for status in journal.statuses_after("completed", 0)] == [1, 2, 3]
        assert journal.kept_log("completed") == (10, b"epoch 3 of 4\n")


@each_release
async def test_a_released_server_keeps_its_rooms(copied, release: Path) -> None:
    async with open_sqlite_storage(copied(release, "rooms.sqlite3").parent) as storage:
        assert await storage.load_rooms() == [
            StoredRoom("a7f3d2e1", "tok-en-1", "anon-1", 1e11),
            StoredRoom("b7f3d2e1", "tok-en-2", "anon-2", 1e11, True),
        ]


@each_release
@each_database
def test_a_step_that_fails_halfway_leaves_the_old_file(copied, release: Path, name: str) -> None:
    path = copied(release, name)
    with closing(sqlite3.connect(path)) as old:
        before, at = list(old.iterdump()), version(old)
    good = with_step(DATABASES[name], "CREATE TABLE notes (words TEXT)", "INSERT INTO notes VALUES ('x')")
    bad = with_step(good, "DELETE FROM notes", "ALTER TABLE absent ADD COLUMN words TEXT")
    with pytest.raises(StorageError, match=rf"{name} can't be used: no such table: absent\.$"):
        open_database(path, bad, 1.0)
    with closing(sqlite3.connect(path)) as old:
        assert (list(old.iterdump()), version(old)) == (before, at)
    with opened(path, good) as up:
        assert version(up) == good.version
        assert up.execute("SELECT words FROM notes").fetchall() == [("x",)]
    with opened(path, good) as again:  # and no step is taken twice
        assert again.execute("SELECT words FROM notes").fetchall() == [("x",)]


@each_database
def test_a_file_that_release_0_1_0_stamped_later_takes_no_step_twice(tmp_path: Path, name: str) -> None:
    """Its worker opens any journal, and stamps it with the only version that it knows."""
    newer = with_step(DATABASES[name], "CREATE TABLE notes (words TEXT)")
    with opened(tmp_path / name, newer) as database:
        database.execute("PRAGMA user_version = 1")
    with opened(tmp_path / name, newer) as again:
        assert "notes" in tables(again)
    with pytest.raises(NewerStateError):
        open_database(tmp_path / name, DATABASES[name], 1.0)


@each_database
def test_a_newer_file_is_left_alone_to_the_byte(tmp_path: Path, name: str) -> None:
    layout = DATABASES[name]
    with opened(tmp_path / name, with_step(layout, "CREATE TABLE notes (words TEXT)")):
        pass
    (tmp_path / name).chmod(0o640)
    before = files(tmp_path)
    with pytest.raises(NewerStateError, match=rf"{name} \(version {layout.version + 1}, and this one reads"):
        open_database(tmp_path / name, layout, 1.0)
    assert files(tmp_path) == before
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o640


NEWER_AND_KILLED = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA journal_mode = WAL")
database.execute("CREATE TABLE notes (words TEXT)")
database.execute("PRAGMA user_version = 99")
os.kill(os.getpid(), signal.SIGKILL)
"""


@each_database
def test_what_a_newer_one_left_when_it_was_killed_stays(tmp_path: Path, name: str) -> None:
    """Its version is still in the log beside the file, which the next connection would fold into the file."""
    ended = subprocess.run([sys.executable, "-c", NEWER_AND_KILLED, tmp_path / name], timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    before = files(tmp_path)
    assert len(before[f"{name}-wal"]) > 0
    with pytest.raises(NewerStateError, match="version 99"):
        open_database(tmp_path / name, DATABASES[name], 1.0)
    after = files(tmp_path)
    # The third file beside them is an index of the log, shared memory that every reader takes its place in.
    assert after.keys() == before.keys()
    assert all(after[file] == before[file] for file in (name, f"{name}-wal"))


@pytest.mark.parametrize(
    ("program", "name", "option"),
    [("server", "rooms.sqlite3", "--state-dir"), ("worker", "journal.sqlite3", "--work-dir")],
)
def test_a_program_refuses_a_newer_file_in_one_sentence(
    tmp_path: Path, program: str, name: str, option: str
) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    (folder / "jobs" / "job-1").mkdir(parents=True, mode=0o700)
    with closing(sqlite3.connect(folder / name)) as newer:
        newer.execute("PRAGMA user_version = 99")
    before = (folder / name).read_bytes()
    ended = subprocess.run(
        [sys.executable, "-m", f"sleaprtc.{program}", option, folder],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "SLEAP_RTC_STATE_DIR": str(tmp_path / "user")},
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith(
        f"Error: A newer version of sleap-rtc wrote the {DATABASES[name].name} {folder / name} (version 99, "
    )
    assert f"update sleap-rtc, or choose another folder with {option}." in ended.stderr
    assert (folder / name).read_bytes() == before
    assert (folder / "jobs" / "job-1").exists()
