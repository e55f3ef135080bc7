"""The demo's folder, its error without sleap-nn, and the whole demo with real training."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sleaprtc.demo.folder import MARKER_NAME, prepare_folder
from sleaprtc.errors import UsageError

DEMO = [sys.executable, "-m", "sleaprtc.demo"]


def test_a_folder_is_made(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "new" / "demo")
    assert [path.name for path in (tmp_path / "new" / "demo").iterdir()] == [MARKER_NAME]


def test_an_earlier_demo_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    prepare_folder(tmp_path)
    (tmp_path / "models" / "centroid").mkdir(parents=True)
    (tmp_path / "models" / "centroid" / "best.ckpt").write_bytes(b"old")
    (tmp_path / "summary.json").write_text("{}")
    (tmp_path / "thesis.txt").write_text("three years")
    prepare_folder(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {MARKER_NAME, "thesis.txt"}


def test_somebody_else_s_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with pytest.raises(UsageError, match="--out"):
        prepare_folder(tmp_path)
    assert (tmp_path / "models").is_dir()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError):
        prepare_folder(tmp_path / "file")


def test_a_link_in_the_folder_is_removed_and_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "data").write_text("kept")
    prepare_folder(tmp_path / "demo")
    (tmp_path / "demo" / "models").symlink_to(precious)
    prepare_folder(tmp_path / "demo")
    assert (precious / "data").read_text() == "kept"
    assert not (tmp_path / "demo" / "models").exists()


@pytest.mark.skipif(importlib.util.find_spec("sleap_nn") is not None, reason="sleap-nn is installed")
def test_without_sleap_nn_it_says_what_to_install(tmp_path: Path) -> None:
    ended = subprocess.run(
        [*DEMO, "--out", tmp_path / "demo"], capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 2
    assert "pip install" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "demo").exists()


def processes_mentioning(text: str) -> list[int]:
    found = []
    for command_line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text.encode() in command_line.read_bytes():
                found.append(int(command_line.parent.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


@pytest.mark.train
def test_the_whole_workflow_gives_a_good_model(tmp_path: Path) -> None:
    folder, users_own = tmp_path / "demo", tmp_path / "state"
    (users_own / "sleap-rtc").mkdir(parents=True, mode=0o755)  # as an earlier version made it
    ended = subprocess.run(
        [*DEMO, "--out", folder],
        env={**os.environ, "XDG_STATE_HOME": str(users_own)},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert list((users_own / "sleap-rtc").iterdir()) == []
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["error_px"] < 3.0
    assert summary["found_nodes"] == summary["true_nodes"]
    assert all((Path(model) / "best.ckpt").is_file() for model in summary["models"])
    assert Path(summary["picture"]).read_bytes().startswith(b"\x89PNG")
    assert {line.split(" ")[0] for line in ended.stdout.splitlines() if " | " in line} >= {"demo", "client"}
    assert not processes_mentioning(str(folder))


@pytest.mark.train
def test_an_interrupted_demo_leaves_no_process_behind(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    demo = subprocess.Popen([*DEMO, "--out", folder], stdout=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    with demo, demo.stdout:
        for line in demo.stdout:
            if line.startswith("demo") and "training" in line:
                break
        assert processes_mentioning(str(folder))
        os.kill(demo.pid, signal.SIGINT)
        demo.stdout.read()
    assert demo.returncode == 130
    assert not processes_mentioning(str(folder))
