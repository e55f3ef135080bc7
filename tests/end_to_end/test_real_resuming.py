"""Workers that end while real sleap-nn trains, as processes, and are started again.

They run with the Python that ``SLEAP_RTC_TRAINER_PYTHON`` names, else with this one, and are skipped
where that has no sleap-nn.
"""

from __future__ import annotations

import csv
import json
import signal
import subprocess
from pathlib import Path

import pytest

from ..support.programs import client, running_worker
from ..support.real_training import PYTHON, SMALL_CONFIG, make_flies
from ..support.waiting import block_until

pytestmark = [pytest.mark.train]

EPOCHS = 6
PATIENCE_SEC = 600


@pytest.fixture(scope="module", autouse=True)
def trainer_python():
    code = "import importlib.metadata as m; m.version('sleap-nn'); m.version('sleap-io')"
    if subprocess.run([PYTHON, "-c", code], capture_output=True, timeout=120, check=False).returncode:
        pytest.skip(f"{PYTHON} has no sleap-nn")


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return make_flies(tmp_path_factory.mktemp("flies"))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "single_instance.yaml"
    path.write_text(SMALL_CONFIG)
    return path


@pytest.fixture
def room(server_process):
    return json.loads(client(server_process, "room", "create", "--json").stdout)


class Job:
    """A training that is left to its worker."""

    def __init__(self, server, room, tmp_path, labels, config):
        self.server, self.room, self.work_dir, self.out = server, room, tmp_path / "work", tmp_path / "models"
        self.words = (labels, "--config", config, "--epochs", EPOCHS, "--out", self.out)
        self.job_id = ""

    def worker(self, *options):
        words = ("--name", "gpu-1", "--trainer-python", PYTHON, "--threads", "1", *options)
        return running_worker(self.server, self.work_dir, *map(str, words), room=self.room)

    def client(self, *words):
        return client(self.server, *map(str, words), "--json", room=self.room)

    def begin(self):
        begun = self.client("train", *self.words, "--detach")
        assert begun.returncode == 0, begun
        self.job_id = json.loads(begun.stdout.splitlines()[-1])["job_id"]

    def wait_for_epoch(self, epoch):
        def is_there():
            state = json.loads(self.client("status", self.job_id).stdout)
            has_come = ((state["status"] or {}).get("current_epoch") or 0) >= epoch
            assert has_come or state["state"] == "running", state
            return has_come

        block_until(is_there, patience_sec=PATIENCE_SEC)

    def fetch(self):
        done = self.client("attach", self.job_id)
        assert done.returncode == 0, done
        completed = json.loads(done.stdout.splitlines()[-1])
        (folder,) = map(Path, completed["model_dirs"])
        return completed, folder


@pytest.fixture
def job(server_process, room, tmp_path, labels, config):
    return Job(server_process, room, tmp_path, labels, config)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_training_goes_on_after_its_worker_ended(job, number):
    with job.worker() as (worker, _):
        job.begin()
        job.wait_for_epoch(3)
        worker.send_signal(number)
        worker.wait(60)
    with job.worker():
        completed, folder = job.fetch()
    assert (completed["total_epochs"], completed["cut_short"]) == (EPOCHS, None)
    with (folder / "training_log.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == [str(epoch) for epoch in range(EPOCHS)]
    assert len((folder / "report" / "losses.csv").read_text().splitlines()) == EPOCHS + 1
    assert {path.name for path in folder.glob("*.ckpt*")} == {"best.ckpt"}


def test_a_training_that_is_given_up_leaves_its_best_model(job):
    with job.worker() as (worker, _):
        job.begin()
        job.wait_for_epoch(2)
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
    with job.worker("--no-resume"):
        completed, folder = job.fetch()
    assert 2 <= completed["total_epochs"] < EPOCHS
    assert f"of {EPOCHS} epochs. The worker's owner stopped it for good." in completed["cut_short"]
    assert (folder / "best.ckpt").stat().st_size > 10_000
