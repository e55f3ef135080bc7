"""The target for files from others does reach what it's for."""

from pathlib import Path

import pytest

from sleaprtc.errors import SleapRTCError

from . import archives
from .archives import READERS, changed, fuzz_archives, sound_files


@pytest.mark.parametrize(("number", "name"), [(number, name) for number, (name, _) in enumerate(READERS)])
def test_every_reader_takes_a_sound_file(tmp_path: Path, number: int, name: str) -> None:
    taken = 0
    for position, content in enumerate((*sound_files(), b"\x00\x00\x00\x20ftypisom")):
        folder = tmp_path / str(position)
        folder.mkdir()
        (folder / name).write_bytes(content)
        try:
            READERS[number][1](folder / name)
        except SleapRTCError:
            continue
        taken += 1
    assert taken


def test_what_is_left_behind_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "READERS", [("a.zip", lambda path: path.with_name("left").touch())])
    with pytest.raises(AssertionError, match="left"):
        fuzz_archives(bytes([0, 1]))
    monkeypatch.setattr(archives, "READERS", [("a.zip", lambda path: {}[path])])
    with pytest.raises(KeyError):
        fuzz_archives(bytes([0, 1]))


def test_changes_change() -> None:
    sound = bytes(range(100))
    assert changed(sound, b"") == sound
    assert changed(sound, bytes([0, 0, 0, 5, 200, 0]))[5] == 200
    assert len(changed(sound, bytes([2, 0, 0, 5, 0, 10]))) == 90
    assert len(changed(sound, bytes([3, 0, 0, 5, 7, 10]))) == 110
