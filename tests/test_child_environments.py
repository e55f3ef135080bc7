"""No program that this package starts gets a secret in its environment."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest
import trio

import sleaprtc
from sleaprtc.base.child_environment import bare, without_secrets
from sleaprtc.client.inputs.packing import read_with_images
from sleaprtc.client.inputs.scratch import Scratch
from sleaprtc.demo.parts import open_parts
from sleaprtc.demo.scenario import require_trainer
from sleaprtc.errors import SleapRTCError
from sleaprtc.formats.child import ask_child
from sleaprtc.worker.sleap_nn.process.environment import runner_environment
from sleaprtc.worker.sleap_nn.trainer import SleapNNTrainer

from .support.lab import make_labels

SECRETS = {
    "SLEAP_RTC_TOKEN": "ours",
    "SLEAP_RTC_SECRET": "ours",
    "SLEAP_RTC_ROOM_ID": "ours",
    "SLEAP_RTC_INVITE": "ours",
    "SLEAP_RTC_TURN_PASSWORD": "ours",
    "AWS_ACCESS_KEY_ID": "theirs",
    "AWS_SECRET_ACCESS_KEY": "theirs",
    "AZURE_STORAGE_CONNECTION_STRING": "theirs",
    "DB_PASSWORD": "theirs",
    "GITHUB_PAT": "theirs",
    "GITHUB_TOKEN": "theirs",
    "GOOGLE_APPLICATION_CREDENTIALS": "theirs",
    "HF_TOKEN": "theirs",
    "MYSQL_PWD": "theirs",
    "SENTRY_DSN": "theirs",
    "SSH_AUTH_SOCK": "theirs",
    "WANDB_API_KEY": "theirs",
    "https_proxy": "http://me:theirs@proxy:3128",
}
NEEDED = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "CUDA_VISIBLE_DEVICES": "0",
    "LD_LIBRARY_PATH": "/opt/x",
}
STARTERS = {
    "run_process",
    "open_process",
    "Popen",
    "run",
    "call",
    "check_call",
    "check_output",
    "system",
    "popen",
}
PACKAGE_DIR = Path(sleaprtc.__file__).parent


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def telltale(tmp_path: Path) -> Path:
    """A Python that writes down its environment and does nothing else."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexec env -0 > {tmp_path}/environment\n")
    python.chmod(0o755)
    return python


def told(telltale: Path) -> dict[str, str]:
    content = telltale.with_name("environment").read_text()
    return dict(line.split("=", 1) for line in content.split("\0") if "=" in line)


def assert_no_secrets(found: dict[str, str]) -> None:
    assert "PATH" in found
    assert not set(found) & set(SECRETS)
    assert not {value for value in found.values() if value in ("ours", "theirs")}


def test_what_stays_and_what_goes() -> None:
    inherited = {
        **SECRETS,
        **NEEDED,
        "PYTHONPATH": "/x",
        "TOKENIZERS_PARALLELISM": "false",
        "HOME": "/home/me",
    }
    assert set(inherited) - set(without_secrets(inherited)) == set(SECRETS)
    assert "PYTHONPATH" not in without_secrets(inherited, other_python=True)
    assert set(bare(inherited)) == {"PATH", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "HOME"}
    runner = runner_environment(inherited, other_python=False, thread_count=1, gpu_uuid=None)
    assert not set(runner) & set(SECRETS)
    assert set(NEEDED) <= set(runner)


def calls_that_start_programs() -> list[tuple[str, ast.Call]]:
    found = []
    for path in sorted(PACKAGE_DIR.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = ast.unparse(node.func.value)
            if node.func.attr in STARTERS and owner in ("trio", "trio.lowlevel", "subprocess", "os"):
                found.append((f"{path.relative_to(PACKAGE_DIR)}:{node.lineno}", node))
    return [(place, node) for place, node in found if ast.unparse(node.func) != "trio.run"]


def test_every_call_that_starts_a_program_says_which_environment_it_gets() -> None:
    calls = calls_that_start_programs()
    assert len(calls) >= 6
    for place, call in calls:
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert "env" in given, place
        assert "environ" not in given["env"].replace("environment", ""), place


@pytest.mark.usefixtures("environment")
async def test_the_reader_of_files(telltale: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sleaprtc.formats.child.sys.executable", str(telltale))
    with pytest.raises(SleapRTCError):
        await ask_child("x", [], "x", SleapRTCError, as_what="x")
    assert_no_secrets(told(telltale))


async def test_no_module_comes_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a folder that came from somebody else, such as a result of a worker's."""
    labels = make_labels(tmp_path / "a.pkg.slp")
    for name in ("h5py", "json", "sleaprtc"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w').close()")
    monkeypatch.chdir(tmp_path)
    with Scratch() as scratch:
        await read_with_images(labels, scratch, embed="user", emit=lambda _: None)
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("environment")
async def test_the_packing_of_labels(telltale: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sleaprtc.client.inputs.packing.python_with_sleap_io", lambda: str(telltale))
    labels = make_labels(tmp_path / "a.slp", embedded=False)
    with Scratch() as scratch, pytest.raises(SleapRTCError):
        await read_with_images(labels, scratch, embed="user", emit=lambda _: None)
    assert_no_secrets(told(telltale))


@pytest.mark.usefixtures("environment")
async def test_the_trainer(telltale: Path) -> None:
    assert (await SleapNNTrainer(telltale).probe()).problem is not None
    assert_no_secrets(told(telltale))


@pytest.mark.usefixtures("environment")
async def test_the_parts_of_a_demo(telltale: Path) -> None:
    await require_trainer(str(telltale))
    assert_no_secrets(told(telltale))
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    async with open_parts(lambda name, line: None) as parts:
        (line,) = await parts.run("part", [sys.executable, "-c", show])
        proc = trio.Path(f"/proc/{parts._guard.pid}/environ")
        guard = await proc.read_bytes() if await proc.exists() else b""
    assert_no_secrets(json.loads(line))
    assert b"theirs" not in guard
    assert b"SLEAP_RTC_" not in guard
