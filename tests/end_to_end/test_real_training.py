"""Jobs with real sleap-nn, over separate server, worker and client processes, and what goes wrong with them.

They run with the Python that ``SLEAP_RTC_TRAINER_PYTHON`` names, else with this one, and are skipped
where that has no sleap-nn.
"""

import json
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..support.emulator import opened_terminal
from ..support.lab import make_labels
from ..support.programs import client, environment, running_worker
from ..support.real_training import PYTHON, SMALL_CONFIG, make_flies
from ..support.waiting import block_until

pytestmark = [pytest.mark.train]


@pytest.fixture(scope="module", autouse=True)
def trainer_python():
    code = "import importlib.metadata as m; m.version('sleap-nn'); m.version('sleap-io')"
    if subprocess.run([PYTHON, "-c", code], capture_output=True, timeout=120, check=False).returncode:
        pytest.skip(f"{PYTHON} has no sleap-nn")


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return make_flies(tmp_path_factory.mktemp("flies"))


@pytest.fixture(scope="module")
def room(server_process):
    return json.loads(client(server_process, "room", "create", "--json").stdout)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "single_instance.yaml"
    path.write_text(SMALL_CONFIG)
    return path


@pytest.fixture(scope="module")
def workers(server_process, room, tmp_path_factory):
    """Two workers that stay for the whole module."""
    with ExitStack() as stack:
        for name in ("gpu-1", "gpu-2"):
            work_dir = tmp_path_factory.mktemp(name)
            options = ["--name", name, "--trainer-python", str(PYTHON)]
            stack.enter_context(running_worker(server_process, work_dir, *options, room=room))
        yield


class Training:
    """A `train` command under way, whose events can be waited for."""

    def __init__(self, server, room, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sleaprtc.client", "train", "--json", *map(str, arguments)],
            env=environment(server, room),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.events = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def wait_for(self, condition):
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if condition(self.events[-1]):
                return self.events[-1]
        pytest.fail(f"ended before: {self.events[-3:]} {self.process.stderr.read()}")
        return None

    def finish(self, timeout_sec=300):
        stdout, stderr = self.process.communicate(timeout=timeout_sec)
        self.events += [json.loads(line) for line in stdout.splitlines()]
        return self.process.returncode, stderr


def is_epoch(event):
    return event["event"] == "status" and event["current_epoch"] is not None


def runners_below(pid):
    """Process ids of trainings that a worker has started."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            arguments = (process / "cmdline").read_text().split("\0")
            parent = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError, IndexError):
            continue  # not a process, or one that is gone already
        if parent == pid and any(argument.endswith("runner/start.py") for argument in arguments):
            found.append(int(process.name))
    return found


def assert_ends(pid):
    """Waits until a process is gone, or only waits to be reaped."""
    status = Path(f"/proc/{pid}/stat")
    block_until(lambda: not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_a_real_model_comes_back(server_process, room, workers, labels, config, tmp_path):
    with Training(
        server_process, room, labels, "--config", config, "--epochs", 2, "--out", tmp_path
    ) as training:
        status, stderr = training.finish()
    assert (status, stderr) == (0, "")
    kinds = [event["event"] for event in training.events]
    assert kinds[0] == "workers"
    assert kinds[-1] == "completed"
    epochs = [event["current_epoch"] for event in training.events if is_epoch(event)]
    assert list(dict.fromkeys(epochs)) == [1, 2]
    (folder,) = training.events[-1]["model_dirs"]
    assert {path.name for path in Path(folder).iterdir()} >= {"best.ckpt", "training_config.yaml"}
    assert training.events[-1]["device"].startswith(("cpu", "cuda", "mps"))
    (report,) = training.events[-1]["report"]
    assert (report["model"], report["epochs"]) == ("single_instance", 2)
    assert report["best_epoch"] in (1, 2)
    files = {Path(path).name.partition(".tfevents")[0] for path in report["pictures"] + report["files"]}
    assert files >= {"losses.png", "losses.csv", "metrics.json", "events.out"}
    assert all(Path(path).is_file() for path in report["pictures"] + report["files"])


def test_a_training_on_a_terminal(server_process, room, workers, labels, config, tmp_path):
    options = ["--config", config, "--epochs", 3, "--out", tmp_path]
    command = ["-m", "sleaprtc.client", "train", labels, *options]
    with opened_terminal(100, 40, command, **environment(server_process, room)) as shown:
        shown.wait_for(lambda lines: any(re.match(r"Epoch \d of 3: single_", line) for line in lines), 120)
        lines = shown.finish(120)
    text = "\n".join(lines)
    assert re.search(r"single_instance  train [\d.e-]+  val [\d.e-]+  best [\d.e-]+ in epoch \d", text)
    assert sum(line.split() == ["1", "epoch", "3"] for line in lines) == 1
    assert f"Picture: {tmp_path / 'single_instance' / 'report' / 'losses.png'}" in text.replace("\n", "")


def test_a_loss_that_is_not_finite(server_process, room, workers, labels, config, tmp_path):
    arguments = ["--config", config, "--learning-rate", "1e30", "--epochs", 2, "--out", tmp_path]
    with Training(server_process, room, labels, *arguments) as training:
        status, stderr = training.finish()
    assert status == 1
    assert "loss" in stderr
    assert stderr.count("\n") == 1


def test_labels_that_only_look_like_some(server_process, room, workers, tmp_path):
    broken = make_labels(tmp_path / "broken.pkg.slp")
    with Training(
        server_process, room, broken, "--model-type", "base", "--out", tmp_path / "out"
    ) as training:
        status, stderr = training.finish()
    assert status == 1
    assert "broken.pkg.slp" in stderr
    assert stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("trainer_config: {ckpt_dir: '${oc.env:HOME}'}", "interpolation at trainer_config.ckpt_dir"),
        ("model_config: {pretrained_backbone_weights: /etc/passwd}", "pretrained_backbone_weights"),
    ],
)
def test_a_config_that_smuggles_something(server_process, room, workers, labels, tmp_path, line, sentence):
    config = tmp_path / "evil.yaml"
    config.write_text(line + "\n")
    arguments = ["--config", config, "--model-type", "base", "--epochs", 1, "--out", tmp_path / "out"]
    with Training(server_process, room, labels, *arguments) as training:
        status, stderr = training.finish()
    assert status == 2
    assert sentence in stderr
    assert stderr.count("\n") == 1


def test_a_training_that_was_interrupted_is_left_running_and_can_be_cancelled(
    server_process, room, labels, config, tmp_path
):
    options = ["--name", "alone", "--trainer-python", str(PYTHON)]
    with running_worker(server_process, tmp_path / "w", *options, room=room) as (worker, _):
        arguments = ["--config", config, "--epochs", 500, "--worker", "alone", "--out", tmp_path / "out"]
        with Training(server_process, room, labels, *arguments) as training:
            job = training.wait_for(is_epoch)["job_id"]
            (runner,) = runners_below(worker.pid)
            training.process.send_signal(signal.SIGINT)
            status, stderr = training.finish()
            assert (status, stderr) == (130, "Error: Interrupted; the job continues.\n")
        assert runners_below(worker.pid) == [runner]
        assert client(server_process, "cancel", job, room=room).returncode == 0
        assert_ends(runner)
        assert list((tmp_path / "w" / "jobs").glob("job-*")) == []


def test_a_killed_worker_takes_its_trainer_with_it_and_is_waited_for(
    server_process, room, labels, config, tmp_path
):
    options = ["--name", "doomed", "--trainer-python", str(PYTHON)]
    with running_worker(server_process, tmp_path / "w", *options, room=room) as (worker, _):
        arguments = ["--config", config, "--epochs", 500, "--worker", "doomed", "--out", tmp_path / "out"]
        with Training(server_process, room, labels, *arguments) as training:
            training.wait_for(is_epoch)
            (runner,) = runners_below(worker.pid)
            worker.kill()
            training.wait_for(
                lambda event: event["event"] == "notice" and "Waiting for it" in event["message"]
            )
            training.process.send_signal(signal.SIGINT)
            status, stderr = training.finish(timeout_sec=60)
        assert (status, stderr) == (130, "Error: Interrupted; the job continues.\n")
        assert_ends(runner)


def test_the_chosen_one_is_killed_before_it_trains(server_process, room, workers, labels, config, tmp_path):
    options = ["--name", "aaa-doomed", "--trainer-python", str(PYTHON)]
    work_dir = tmp_path / "w"
    work_dir.mkdir(mode=0o700)
    past = {"model": "single_instance", "frame_count": 16, "filters": 4, "epochs": 1000, "duration_sec": 1.0}
    (work_dir / "history.jsonl").write_text(json.dumps(past) + "\n")
    with running_worker(server_process, work_dir, *options, room=room) as (worker, _):
        arguments = ["--config", config, "--epochs", 2, "--select", "fastest", "--out", tmp_path / "out"]
        with Training(server_process, room, labels, *arguments) as training:
            chosen = training.wait_for(lambda event: event["event"] == "answers")["chosen"]
            assert chosen == "aaa-doomed"
            worker.kill()
            status, stderr = training.finish()
    assert (status, stderr) == (0, "")
    (lost,) = [event for event in training.events if event["event"] == "worker_lost"]
    assert lost["worker"] == "aaa-doomed"
    assert training.events[-1]["worker"] in ("gpu-1", "gpu-2")
