"""Folders of ours: for their owner alone, and never used, nor changed, where others get in."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sleaprtc.access.made_rooms import owner, remember
from sleaprtc.base.folder_lock import lock_folder
from sleaprtc.base.private_files import make_private_dirs, write_private_json
from sleaprtc.client.__main__ import main as client
from sleaprtc.client.results.delivery import make_incoming_dir
from sleaprtc.errors import OpenFolderError
from sleaprtc.programs.join import main as join
from sleaprtc.server.serve import make_state_dir
from sleaprtc.signaling.http import Account, Endpoints
from sleaprtc.worker.journal.recovery import make_jobs_dir

from .support.lying_server import ROOM_ID, lying_server

OPEN_MODES = [0o755, 0o750, 0o777, 0o1777, 0o770, 0o701, 0o2770]
ENDPOINTS = Endpoints("ws://h:8080/", "http://h:8001")
ACCOUNT = Account("anon-1", "e30.e30.c2ln")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def loose_umask() -> Any:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("loose_umask")
def test_what_is_made_is_private_whatever_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_private_dirs(tmp_path / "a" / "b")
    make_state_dir(tmp_path / "s" / "server")
    with lock_folder(tmp_path / "w" / "worker", "worker", "--work-dir"):
        make_jobs_dir(tmp_path / "w" / "worker")
    monkeypatch.setenv("SLEAP_RTC_STATE_DIR", str(tmp_path / "c" / "state"))
    remember(ENDPOINTS, ROOM_ID, ACCOUNT)
    made = [path for path in tmp_path.rglob("*") if path.is_dir()]
    assert len(made) == 10
    assert {mode(path) for path in made} == {0o700}
    assert {mode(path) for path in tmp_path.rglob("*.json")} == {0o600}


@pytest.mark.usefixtures("loose_umask")
def test_the_folder_for_models_is_the_user_s(tmp_path: Path) -> None:
    incoming = make_incoming_dir(tmp_path / "models", "job")
    assert mode(tmp_path / "models") == 0o777
    assert mode(incoming) == 0o700


@pytest.mark.parametrize("open_mode", OPEN_MODES, ids=oct)
def test_an_open_folder_is_refused_and_left_as_it_is(tmp_path: Path, open_mode: int) -> None:
    folder = tmp_path / "the folder"
    folder.mkdir()
    folder.chmod(open_mode)
    with (
        pytest.raises(
            OpenFolderError, match=r"chmod 700 '.*/the folder'`, or choose another with --work-dir\."
        ),
        lock_folder(folder, "worker", "--work-dir"),
    ):
        pytest.fail("was used")
    with pytest.raises(OpenFolderError, match="--state-dir"):
        make_state_dir(folder)
    assert mode(folder) == open_mode
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "words", [("room", "create"), ("workers",), ("jobs",), ("room", "renew", ROOM_ID)], ids=" ".join
)
def test_a_client_with_an_open_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    state_dir = tmp_path / "state"
    state_dir.mkdir(mode=0o755)
    monkeypatch.setenv("SLEAP_RTC_STATE_DIR", str(state_dir))
    with lying_server() as server:
        env = {**server.environment(), "SLEAP_RTC_ROOM_ID": "", "SLEAP_RTC_TOKEN": ""}
        ended = CliRunner().invoke(client, words, env=env)
    assert ended.exit_code == 2
    assert ended.stderr == (
        f"Error: The folder {state_dir} is open to others (its mode is 0755): close it with "
        f"`chmod 700 {state_dir}`, or choose another with SLEAP_RTC_STATE_DIR.\n"
    )
    assert mode(state_dir) == 0o755
    state_dir.chmod(0o700)
    assert CliRunner().invoke(client, ["jobs"]).exit_code == 0


def test_the_room_in_an_open_folder_is_nobody_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else may have written it, to have labels sent to a server of theirs."""
    monkeypatch.setenv("SLEAP_RTC_STATE_DIR", str(tmp_path / "state"))
    place = {"ws_url": "ws://evil:1/", "http_url": "http://evil:2", "room_id": "a", "token": "b"}
    write_private_json(tmp_path / "state" / "room.json", place)
    assert "evil" in CliRunner().invoke(join, []).stdout
    (tmp_path / "state").chmod(0o777)
    ended = CliRunner().invoke(join, [])
    assert (ended.exit_code, ended.stdout) == (2, "")


@pytest.mark.parametrize("program", ["server", "worker"])
def test_programs_with_an_open_folder(tmp_path: Path, program: str) -> None:
    folder = tmp_path / "w"
    folder.mkdir(mode=0o755)
    option = "--state-dir" if program == "server" else "--work-dir"
    ended = subprocess.run(
        [sys.executable, "-m", f"sleaprtc.{program}", option, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.endswith(f"`chmod 700 {folder}`, or choose another with {option}.\n")
    assert list(folder.iterdir()) == []


# --- rooms that were made here --------------------------------------------------------------


@pytest.fixture
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "outer" / "state"
    monkeypatch.setenv("SLEAP_RTC_STATE_DIR", str(path))
    return path


@pytest.mark.parametrize("room_id", ["../../x", "../room", "..", "a/b", "\ud800", "a\0b", "CON", ""])
def test_no_file_is_named_by_a_server(state_dir: Path, tmp_path: Path, room_id: str) -> None:
    write_private_json(
        tmp_path / "x.json", {"http_url": ENDPOINTS.http_url, "username": "a", "id_token": "b"}
    )
    assert owner(room_id, ENDPOINTS.http_url) is None
    assert not state_dir.exists()


@pytest.mark.parametrize("room_id", [ROOM_ID, "con", "a-b", "x" * 64, "-"])
def test_a_room_is_remembered_for_its_server(state_dir: Path, room_id: str) -> None:
    remember(ENDPOINTS, room_id, ACCOUNT)
    remember(Endpoints("ws://other/", "http://other"), room_id, Account("other", "abc"))
    assert owner(room_id, "http://h:8001/") == ACCOUNT
    assert owner(room_id, "http://other") == Account("other", "abc")
    assert owner(room_id, "http://third") is None
    assert owner(f"{room_id[:-1]}z", ENDPOINTS.http_url) is None
    assert all(len(path.stem) == 32 and path.stem.isalnum() for path in (state_dir / "rooms").iterdir())


def test_a_room_that_the_last_version_remembered(state_dir: Path) -> None:
    earlier = state_dir / "rooms" / f"{ROOM_ID}.json"
    content = {"http_url": ENDPOINTS.http_url, "username": "anon-1", "id_token": "e30.e30.c2ln"}
    write_private_json(earlier, content)
    assert owner(ROOM_ID, ENDPOINTS.http_url) == ACCOUNT
    assert owner(ROOM_ID, "http://other") is None
    remember(ENDPOINTS, ROOM_ID, Account("anon-1", "new"))
    assert owner(ROOM_ID, ENDPOINTS.http_url) == Account("anon-1", "new")
    assert not earlier.exists()


EVIL_TOKEN = '{"http_url": "http://h:8001", "username": "a", "id_token": "a\\r\\nb"}'


@pytest.mark.parametrize("content", ["", "[]", "5", '{"http_url": 5}', EVIL_TOKEN])
def test_a_file_that_was_changed(state_dir: Path, content: str) -> None:
    remember(ENDPOINTS, ROOM_ID, ACCOUNT)
    (path,) = (state_dir / "rooms").iterdir()
    path.write_text(content)
    assert owner(ROOM_ID, ENDPOINTS.http_url) is None


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    with pytest.raises(TypeError):
        write_private_json(tmp_path / "state" / "room.json", {"room": object()})
    assert list((tmp_path / "state").iterdir()) == []
