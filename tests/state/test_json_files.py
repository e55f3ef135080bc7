"""State in JSON files: what a newer version adds is ignored and kept; what it changed is never misread."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from sleaprtc.access import joined_room, made_rooms
from sleaprtc.access.joined_room import RememberedRoom
from sleaprtc.access.kept_room import KeptRoom, KeptRoomFile
from sleaprtc.client.records import files
from sleaprtc.client.records.files import JobRecord
from sleaprtc.identity.issuer import KEY_FILE_NAME, TokenIssuer
from sleaprtc.jobs.estimate import PastModel
from sleaprtc.jobs.life import Sign
from sleaprtc.protocol.jobs import JobRequest
from sleaprtc.rtc.secret import RoomSecret
from sleaprtc.signaling.http import Account, Endpoints, Room
from sleaprtc.worker.journal.past_trainings import History
from sleaprtc.worker.journal.recovery import ResumeTokenFile, remove_orphans
from sleaprtc.worker.journal.store import Journal

NEWER: dict[str, Any] = {"layout": 7, "priority": {"of": ["a", "newer", "version"]}}
ENDPOINTS = Endpoints("ws://127.0.0.1:1", "http://127.0.0.1:2")
PLACE = RememberedRoom(ENDPOINTS, Room("a7f3d2e1", "token-1"), RoomSecret.generate())
RECORD = JobRecord(
    "job-1",
    "key",
    "gpu-1",
    ENDPOINTS.ws_url,
    ENDPOINTS.http_url,
    "a7f3d2e1",
    "token-1",
    "/flies.pkg.slp",
    ("centroid.yaml",),
    "/models",
    5.0,
    last_status={"epoch": 3},
    connection={"ice_servers": [[["stun:127.0.0.1"], None, None]]},
)


@pytest.fixture(autouse=True)
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLEAP_RTC_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def extend(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def kept_in(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text())
    return {key: content.get(key) for key in NEWER}


def test_a_record_keeps_what_a_newer_version_added() -> None:
    files.save(RECORD)
    path = files.records_dir() / "job-1.json"
    extend(path, **NEWER)
    assert files.load_all() == [RECORD]
    files.amend(RECORD, Sign.CANCELLATION, ended_at=9.0)
    assert files.find("job").state == "cancelled"
    assert kept_in(path) == NEWER


@pytest.mark.parametrize("field", [field.name for field in attrs.fields(JobRecord)])
def test_a_record_whose_field_is_something_else_now_is_not_read(field: str) -> None:
    files.save(RECORD)
    path = files.records_dir() / "job-1.json"
    extend(path, **{field: {"of": "a newer version"} if field not in ("connection", "last_status") else 7})
    before = path.read_text()
    assert files.load_all() == []
    files.forget_old(1e12)
    assert path.read_text() == before


def test_a_worker_s_room_keeps_what_a_newer_version_added(tmp_path: Path) -> None:
    file = KeptRoomFile(tmp_path)
    file.write(KeptRoom(PLACE, Account("anon", "old")))
    extend(tmp_path / "room.json", **NEWER)
    file.renewed(Account("anon", "new"))
    assert file.read() == KeptRoom(PLACE, Account("anon", "new"))
    assert kept_in(tmp_path / "room.json") == NEWER


def test_a_joined_room_with_more_keys_is_the_same_room() -> None:
    joined_room.remember(PLACE)
    extend(joined_room.path(), **NEWER)
    assert joined_room.load() == PLACE
    assert joined_room.remember(PLACE) is False
    assert kept_in(joined_room.path()) == NEWER


def test_a_made_room_with_more_keys_is_still_one_s_own(state_dir: Path) -> None:
    made_rooms.remember(ENDPOINTS, "a7f3d2e1", Account("anon", "token"))
    (path,) = (state_dir / "rooms").iterdir()
    extend(path, **NEWER)
    assert made_rooms.owner("a7f3d2e1", ENDPOINTS.http_url) == Account("anon", "token")


def test_a_signing_key_with_more_keys_is_the_same_key(tmp_path: Path) -> None:
    key = TokenIssuer.from_state_dir(tmp_path).jwks()
    extend(tmp_path / KEY_FILE_NAME, **NEWER)
    assert TokenIssuer.from_state_dir(tmp_path).jwks()["keys"][0]["x"] == key["keys"][0]["x"]
    assert kept_in(tmp_path / KEY_FILE_NAME) == NEWER


def test_a_resume_token_of_another_layout_is_no_token(tmp_path: Path) -> None:
    file = ResumeTokenFile(tmp_path, "a7f3d2e1", "gpu-1")
    for content in (["a7f3d2e1", "gpu-1", "extra", "token"], {"token": "x"}, "token", 7):
        (tmp_path / "resume.json").write_text(json.dumps(content))
        assert file.read() is None


def test_past_trainings_with_more_keys_count_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    model = PastModel("centroid", 100, 5, 60.0, 1.0, 16, 4)
    newer = json.dumps({"trained": [1, 2]})
    path.write_text(json.dumps({**attrs.asdict(model), **NEWER}) + "\n" + newer + "\n")
    history = History(path)
    assert history.models == [model]
    history.add([model])
    assert newer in path.read_text().splitlines()


def test_a_folder_stays_whose_job_only_a_newer_version_can_read(tmp_path: Path) -> None:
    folder, orphan = tmp_path / "job-x", tmp_path / "job-y"
    folder.mkdir()
    orphan.mkdir()
    journal = Journal(tmp_path / "journal.sqlite3")
    journal.begin("job-1", "client", JobRequest("job-1", "training"), folder)
    journal._write(
        "UPDATE jobs SET request = ?, state = 'completed'", ('{"app_message_type": "job_request_2"}',)
    )
    assert journal.entries() == []
    remove_orphans(journal, tmp_path)
    journal.close()
    assert folder.exists()
    assert not orphan.exists()
