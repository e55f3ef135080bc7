"""A running program takes a new limit from a file, and nothing else that is in its place."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import trio

from sleaprtc.base.held_files import held, is_held
from sleaprtc.transfer import limit_file
from sleaprtc.transfer.limit_file import LimitFile, limited
from sleaprtc.transfer.rate_limit import RateLimit

from ..support.waiting import until


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit_file, "LOOK_SEC", 0.01)


async def test_a_limit_is_changed_and_lifted_while_a_program_runs(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    path, limit, changes = tmp_path / "state" / "x.limit", RateLimit(), []
    nursery.start_soon(LimitFile(path).obey, limit, changes.append)
    for bytes_per_sec in (2048.0, 4096.5, None, 2048.0):
        LimitFile(path).write(bytes_per_sec)
        await until(lambda wanted=bytes_per_sec: limit.bytes_per_sec == wanted)
    assert changes == [2048.0, 4096.5, None, 2048.0]
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["x.limit"]


STRANGE = [
    b"",
    b"\xff\xfe",
    b"2M",
    b"[]",
    b"{}",
    b'{"bytes_per_sec": 0}',
    b'{"bytes_per_sec": -5000}',
    b'{"bytes_per_sec": NaN}',
    b'{"bytes_per_sec": 1e999}',
    b'{"bytes_per_sec": true}',
    b'{"bytes_per_sec": "2M"}',
    b'{"bytes_per_sec": ' + b"9" * 5000 + b"}",
    b"[" * 900,
]


async def test_strange_files_are_ignored_with_one_line_each(
    tmp_path: Path, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    path, limit = tmp_path / "x.limit", RateLimit(5000.0)
    with caplog.at_level(logging.WARNING):
        nursery.start_soon(LimitFile(path).obey, limit, lambda _: None)
        for number, content in enumerate(STRANGE, start=1):
            (tmp_path / "new").write_bytes(content)
            (tmp_path / "new").replace(path)
            await until(lambda wanted=number: len(caplog.records) >= wanted)
        await trio.sleep(0.1)
        assert len(caplog.records) == len(STRANGE)
        path.unlink()
        path.mkdir()
        await until(lambda: len(caplog.records) > len(STRANGE))
        assert limit.bytes_per_sec == 5000
        path.rmdir()
        LimitFile(path).write(6000)
        await until(lambda: limit.bytes_per_sec == 6000)


def test_what_an_earlier_program_was_told_is_cleared(tmp_path: Path) -> None:
    file = LimitFile(tmp_path / "x.limit")
    file.clear()
    file.write(2048)
    assert json.loads((tmp_path / "x.limit").read_text()) == {"bytes_per_sec": 2048}
    file.clear()
    assert not (tmp_path / "x.limit").exists()


def test_whether_a_program_runs_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "state" / "x.followed"
    assert not is_held(path)
    with held(path):
        with held(path):
            assert is_held(path)
        assert is_held(path)
    assert not is_held(path)


def test_sentences() -> None:
    assert limited("Job 1", 2**21) == "Job 1 is limited to 2 MiB/s."
    assert limited("Job 1", None) == "Job 1 has no limit on its rate any more."
