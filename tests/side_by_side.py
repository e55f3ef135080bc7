"""Release 0.1.0 and this version side by side, each as server, worker or client: ``tox -e install``.

A lab updates its laptops and its workers on different days. pytest collects this file only where it is named,
since it builds the release's wheel and installs it into a virtual environment of its own with pip.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import h5py
import numpy as np
import pytest

import sleaprtc

from .support.waiting import block_until
from .worker.sleap_nn.slp_files import write_slp

TESTS = Path(__file__).parent
RELEASE = TESTS / "state" / "release_0_1_0" / "sleap-rooms-0.1.0.tar.xz"
RELEASED_COMMIT = "baac5d0"
RUNNER = TESTS / "worker" / "sleap_nn" / "fake_runner.py"
WELL, UNTIL_STOPPED = 1, 2
"""What the stand-in for a trainer does, by the number of epochs that a job asks for."""

FRAME = [
    ("frame_id", "<u8"),
    ("video", "<u4"),
    ("frame_idx", "<u8"),
    ("instance_id_start", "<u8"),
    ("instance_id_end", "<u8"),
]
TIMEOUT_SEC = 300
pytestmark = pytest.mark.xdist_group("side by side")  # so that the release is installed once
OLD, NEW = "0.1.0", "this"


@attrs.frozen
class Version:
    """One of the two versions, as commands that can be run."""

    python: Path
    is_old: bool

    def command(self, program: str, *words: object) -> list[str]:
        return [str(self.python), "-m", f"sleaprtc.{program}", *map(str, words)]


@pytest.fixture(scope="session")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Version]:
    folder = tmp_path_factory.mktemp("release")
    with tarfile.open(RELEASE) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=True, symlinks=True)
    python = environment / "bin" / "python"
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", wheel], check=True)
    return {OLD: Version(python, True), NEW: Version(Path(sys.executable), False)}


@attrs.define
class Lab:
    """A server, a worker and a client in folders that stay while the programs are replaced."""

    folder: Path
    versions: dict[str, Version]
    ws_url: str = ""
    http_url: str = ""
    room: dict[str, str] = attrs.field(factory=dict)

    def environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("SLEAP_RTC_", "PYTHON"))
        }
        return {
            **kept,
            "SLEAP_RTC_SIGNALING_WS": self.ws_url,
            "SLEAP_RTC_SIGNALING_HTTP": self.http_url,
            "SLEAP_RTC_ICE_LOOPBACK": "1",
            "SLEAP_RTC_STATE_DIR": str(self.folder / "client"),
            **({"SLEAP_RTC_INVITE": self.room["invite"]} if self.room else {}),
        }

    @contextmanager
    def program(self, version: str, ready: str, *words: object) -> Iterator[str]:
        """Runs a program until the block is left; gives what it printed until it was ready."""
        process = subprocess.Popen(
            self.versions[version].command(*words),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            said = ""
            while ready not in said:
                line = process.stdout.readline()
                assert line, said
                said += line
            yield said
        finally:
            process.terminate()
            try:
                process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    @contextmanager
    def server(self, version: str) -> Iterator[None]:
        ports = re.findall(r":(\d+)", self.ws_url + self.http_url) or ["0", "0"]
        options = ("--state-dir", self.folder / "server", "--ws-port", ports[0], "--http-port", ports[1])
        with self.program(version, "ready ws=", "server", *options) as said:
            self.ws_url, self.http_url = re.search(r"ready ws=(\S+) http=(\S+)", said).groups()
            if not self.room:
                self.room = json.loads(self.client(version, "room", "create", "--json").stdout)
            yield

    @contextmanager
    def worker(self, version: str) -> Iterator[None]:
        options = (
            "--name",
            "gpu-1",
            "--work-dir",
            self.folder / "worker",
            "--trainer-python",
            self.stand_in(),
        )
        with self.program(version, "waits for jobs", "worker", *options):
            yield

    def stand_in(self) -> Path:
        """A Python in which sleap-nn seems to be installed."""
        python = self.folder / "python"
        words = f"[{sys.executable!r}, '-u', {str(RUNNER)!r}, sys.argv[-1]]"
        python.write_text(f"#!{sys.executable}\nimport os, sys\nos.execv({sys.executable!r}, {words})\n")
        python.chmod(0o755)
        return python

    def client(self, version: str, *words: object, status: int = 0) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            self.versions[version].command("client", *words),
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SEC,
            check=False,
        )
        assert ended.returncode == status, f"{words}\n{ended.stdout}\n{ended.stderr}"
        return ended

    def objects(self, version: str, *words: object) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.client(version, *words, "--json").stdout.splitlines()]

    def train(self, version: str, behaviour: int, *words: object) -> list[dict[str, Any]]:
        return self.objects(
            version, "train", self.labels(), "--model-type", "base", "--epochs", behaviour, *words
        )

    def labels(self) -> Path:
        labels = self.folder / "flies.pkg.slp"
        if not labels.exists():
            write_slp(labels)
            with h5py.File(labels, "a") as file:
                file["frames"] = np.array([(n, 0, n, n, n + 1) for n in range(3)], dtype=FRAME)
        return labels

    def assert_whole(self, events: list[dict[str, Any]]) -> str:
        """Checks that a job ended with its model here; returns the job's id."""
        completed = events[-1]
        assert completed["event"] == "completed"
        assert completed["final_loss"] == 0.25
        (model,) = completed["model_dirs"]
        files = {path.name for path in (self.folder / model).iterdir()}
        assert {"best.ckpt", "training_config.yaml"} <= files
        return str(completed["job_id"])

    def begin(self, version: str) -> str:
        """Begins a job that goes on until it is stopped; returns its id."""
        return str(self.train(version, UNTIL_STOPPED, "--detach")[-1]["job_id"])

    def state(self, version: str, job: str) -> str:
        (state,) = [seen for seen in self.objects(version, "status", job) if seen["event"] == "job_state"]
        return str(state["state"])


@pytest.fixture
def lab(tmp_path: Path, versions: dict[str, Version]) -> Lab:
    return Lab(tmp_path, versions)


def test_the_archive_is_the_release(tmp_path: Path) -> None:
    """Where the history is at hand; a shallow checkout hasn't got it, and therefore the archive is here."""
    known = subprocess.run(
        ["git", "cat-file", "-e", RELEASED_COMMIT], cwd=TESTS, check=False, capture_output=True
    )
    if shutil.which("git") is None or known.returncode:
        pytest.skip("the commit of the release isn't in this checkout")
    with tarfile.open(RELEASE) as archive:
        members = {
            member.name.partition("/")[2]: archive.extractfile(member).read()
            for member in archive.getmembers()
            if member.isfile()
        }
    assert "sleaprtc/_version.py" in members
    for name, content in members.items():
        shown = subprocess.run(
            ["git", "show", f"{RELEASED_COMMIT}:{name}"], cwd=TESTS, check=True, capture_output=True
        )
        assert shown.stdout == content, name


def test_these_are_the_two_versions(versions: dict[str, Version], tmp_path: Path) -> None:
    shown = "import sleaprtc; print(sleaprtc.__version__); print(sleaprtc.__file__)"
    said = {
        name: subprocess.run(
            [version.python, "-c", shown], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.splitlines()
        for name, version in versions.items()
    }
    # This version may be the checkout or what was installed from it.
    old_environment = str(versions[OLD].python.parents[1])
    assert said[NEW][0] == sleaprtc.__version__ != OLD
    assert not said[NEW][1].startswith(old_environment)
    assert said[OLD][0] == OLD
    assert said[OLD][1].startswith(old_environment)


@pytest.mark.parametrize(
    ("server", "worker", "client"),
    [
        (NEW, NEW, OLD),
        (NEW, OLD, NEW),
        (OLD, NEW, NEW),
        (NEW, OLD, OLD),
        (OLD, NEW, OLD),
        (OLD, OLD, NEW),
    ],
)
def test_whole_jobs_attach_and_cancel(lab: Lab, server: str, worker: str, client: str) -> None:
    with lab.server(server), lab.worker(worker):
        (described,) = lab.objects(client, "workers")
        assert described["worker"] == "gpu-1"
        if client == NEW:
            announced = None if worker == OLD else sleaprtc.__version__
            assert described["sleap_rtc_version"] == announced
        lab.assert_whole(lab.train(client, WELL))
        job = lab.begin(client)
        assert lab.state(client, job) == "running"
        assert lab.client(client, "logs", job).stdout
        lab.client(client, "stop", job)
        lab.assert_whole(lab.objects(client, "attach", job))
        job = lab.begin(client)
        lab.client(client, "cancel", job)
        states = {seen["job_id"]: seen["state"] for seen in lab.objects(client, "jobs")}
        assert states[job] == "cancelled"
        assert sorted(states.values()) == ["cancelled", "completed", "completed"]


def test_what_only_this_version_can_is_refused_in_a_sentence(lab: Lab) -> None:
    with lab.server(NEW), lab.worker(OLD):
        job = lab.assert_whole(lab.train(NEW, WELL))
        (sentence,) = lab.client(NEW, "purge", job, status=1).stderr.splitlines()
        assert "gpu-1 runs a version of sleap-rtc that can't purge a job" in sentence
        ended = lab.client(NEW, "train", lab.labels(), "--ephemeral", status=4)
        (sentence,) = ended.stderr.splitlines()
        assert "No worker in the room can promise to keep nothing of the job (--ephemeral): gpu-1" in sentence


def test_the_update_of_all_three_finds_what_the_old_ones_left(lab: Lab) -> None:
    with lab.server(OLD), lab.worker(OLD):
        fetched = lab.assert_whole(lab.train(OLD, WELL))
        waiting = lab.begin(OLD)
        lab.client(OLD, "stop", waiting)
        block_until(lambda: lab.state(OLD, waiting) == "completed")
    with lab.server(NEW), lab.worker(NEW):  # the same room, the same names, the same folders
        listed = {seen["job_id"]: seen["state"] for seen in lab.objects(NEW, "jobs")}
        assert listed[fetched] == "completed"
        assert lab.state(NEW, waiting) == "completed"
        assert "epoch" in lab.client(NEW, "logs", waiting).stdout.lower()
        lab.assert_whole(lab.objects(NEW, "fetch", waiting))
        lab.assert_whole(lab.train(NEW, WELL))
        for job in (fetched, waiting):
            lab.client(NEW, "purge", job)


@pytest.mark.parametrize("updated", ["server", "worker"])
def test_a_job_outlives_the_update_of_the_others(lab: Lab, updated: str) -> None:
    """A result that waits on an old worker, or was asked for through an old server, is fetched after it."""
    with lab.server(OLD), lab.worker(OLD):
        job = lab.begin(OLD)
        lab.client(OLD, "stop", job)
        block_until(lambda: lab.state(OLD, job) == "completed")
    after = {"server": OLD, "worker": OLD, updated: NEW}
    with lab.server(after["server"]), lab.worker(after["worker"]):
        lab.assert_whole(lab.objects(OLD, "fetch", job))


def test_the_way_back_finds_what_the_new_ones_left(lab: Lab) -> None:
    """Records of jobs, rooms and keys. A database that was brought up stays with the version that did it."""
    with lab.server(NEW), lab.worker(NEW):
        job = lab.assert_whole(lab.train(NEW, WELL))
    with lab.server(OLD):
        (seen,) = lab.objects(OLD, "jobs", job)
        assert (seen["job_id"], seen["state"]) == (job, "completed")
        with lab.worker(NEW):
            lab.assert_whole(lab.train(OLD, WELL))
