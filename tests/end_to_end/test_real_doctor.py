"""What is wrong with a machine whose torch can't use its GPU, with real sleap-nn: said before and at once.

The GPU is a stand-in for the driver's library; torch is whatever is installed beside sleap-nn.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import sleaprtc.demo.flies

from ..support.nvml_stand_in import compile_driver
from ..support.programs import client, environment, running_worker
from ..support.real_training import PYTHON

pytestmark = [pytest.mark.train]


@pytest.fixture(scope="module", autouse=True)
def cpu_torch():
    code = (
        "import importlib.metadata as m, torch; m.version('sleap-nn'); assert not torch.cuda.is_available()"
    )
    if subprocess.run([PYTHON, "-c", code], capture_output=True, timeout=120, check=False).returncode:
        pytest.skip(f"{PYTHON} has no sleap-nn, or a torch that has a GPU")


def test_the_doctor_reads_the_trainer_s_torch(server_process, tmp_path):
    env = environment(server_process, SLEAP_RTC_TRAINER_PYTHON=str(PYTHON))
    command = [sys.executable, "-m", "sleaprtc.doctor", "--json"]

    def examine(**more):
        ended = subprocess.run(
            command, env={**env, **more}, capture_output=True, text=True, timeout=120, check=False
        )
        found = [json.loads(line) for line in ended.stdout.splitlines()]
        return ended.returncode, {finding.get("check"): finding for finding in found}

    status, found = examine()
    assert (status, found["trainer"]["status"], found["torch"]["status"]) == (0, "ok", "ok"), found
    version = subprocess.check_output(
        [PYTHON, "-c", "import torch; print(torch.__version__)"], text=True, timeout=120
    )
    assert found["torch"]["torch_version"].split("+")[0] == version.strip().split("+")[0]

    status, found = examine(LD_LIBRARY_PATH=str(compile_driver(tmp_path)))
    assert (status, found["torch"]["status"]) == (1, "failed")
    assert "NVIDIA RTX 4090" in found["torch"]["sentence"]


def test_a_training_on_the_cpu_of_a_gpu_machine_is_said_as_it_begins(server_process, tmp_path, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", str(compile_driver(tmp_path)))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    room = json.loads(client(server_process, "room", "create", "--json").stdout)
    flies = [PYTHON, sleaprtc.demo.flies.__file__, tmp_path / "flies"]
    made = subprocess.run(
        [*flies, "--flies", "1", "--frames", "16", "--held-out", "2"],
        capture_output=True,
        check=True,
        timeout=120,
    )
    options = ("--name", "gpu-1", "--trainer-python", str(PYTHON), "--no-secret")
    with running_worker(server_process, tmp_path / "work", *options, room=room) as (_, said):
        assert "Warning: torch" in said
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "sleaprtc.client", "train", json.loads(made.stdout)["training"]),
                *("--model-type", "base", "--epochs", "1", "--out", str(tmp_path / "out"), "--json"),
            ],
            env=environment(server_process, room),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    notices = [
        number
        for number, event in enumerate(events)
        if event["event"] == "notice" and "sits idle" in event["message"]
    ]
    first_epoch = next(number for number, event in enumerate(events) if event.get("current_epoch"))
    assert len(notices) == 1
    assert notices[0] < first_epoch
