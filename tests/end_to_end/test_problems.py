"""What is wrong with a worker is said before it gets a job: when it starts, in lists, and to the client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from sleaprtc.client.events.job import Notice, StatusChanged, WorkerSummary
from sleaprtc.client.jobs.submission.worker_notices import DeviceWatch, announce_problems
from sleaprtc.worker.machine import watch
from sleaprtc.worker.machine.gpu import GpuInfo
from sleaprtc.worker.machine.watch import ProblemWatch
from sleaprtc.worker.trainer import TrainerCapabilities

from ..doctor.stand_ins import make_python
from ..faults.processes import make_dataset
from ..support.nvml_stand_in import compile_driver, needs_gcc
from ..support.programs import client, environment
from ..support.waiting import until

ROOT = Path(__file__).parents[2]
ON_THE_CPU = "trains on its CPU, and its NVIDIA RTX 4090 sits idle"


@contextmanager
def worker_of(module, server, room, folder, *options, **more):
    """A worker process; hands out what it says at its start."""
    with subprocess.Popen(
        [sys.executable, "-m", module, "--name", "gpu-1", "--work-dir", str(folder / "work"), *options],
        env={**environment(server, room), **more},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            said = []
            while not said or "waits for jobs" not in said[-1]:
                said.append(process.stdout.readline())
                assert said[-1], "".join(said)
            yield "".join(said)
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture(scope="module")
def room(server_process):
    return json.loads(client(server_process, "room", "create", "--json").stdout)


@needs_gcc
def test_a_gpu_that_is_not_used_and_one_that_somebody_else_uses(server_process, room, tmp_path):
    driver = compile_driver(tmp_path)
    gpu = {"LD_LIBRARY_PATH": str(driver), "USERS": f"{os.getpid()}:9000", "CUDA_VISIBLE_DEVICES": "0"}
    dataset = make_dataset(tmp_path / "flies.pkg.slp", 1000, seed=1)
    secret = {"SLEAP_RTC_SECRET": room["secret"]}
    with worker_of("tests.faults.worker", server_process, room, tmp_path, **gpu, **secret) as said:
        assert "Warning: torch 2.0 is a build for the CPU" in said
        assert "-m pip install --force-reinstall torch torchvision --index-url" in said
        assert "used by somebody else" in said

        listed = client(server_process, "workers", room=room)
        assert "gpu-1: torch 2.0 is a build for the CPU" in listed.stdout
        assert f"process {os.getpid()}, 9,000 MiB" in listed.stdout
        (worker,) = map(
            json.loads, client(server_process, "workers", "--json", room=room).stdout.splitlines()
        )
        assert worker["torch_device"] == "cpu"
        assert len(worker["problems"]) == 2

        options = ("--epochs", "1", "--model-type", "base", "--out", tmp_path / "out", "--json")
        ended = client(server_process, "train", dataset, *options, room=room, **secret)
        assert ended.returncode == 0, ended.stderr
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    names = [event["event"] for event in events]
    before = [event["message"] for event in events[: names.index("connected")] if event["event"] == "notice"]
    assert [message.startswith("gpu-1: ") for message in before] == [True, True]
    assert sum(ON_THE_CPU in event.get("message", "") for event in events if event["event"] == "notice") == 1


def test_a_worker_without_sleap_nn(server_process, room, tmp_path):
    python = make_python(tmp_path / "python", versions={})
    options = ("--trainer-python", str(python))
    with worker_of("sleaprtc.worker", server_process, room, tmp_path, *options) as said:
        assert f"Warning: sleap-nn isn't installed for {python}." in said
        assert f"{python} -m pip install --upgrade sleap-nn" in said
        dataset = make_dataset(tmp_path / "flies.pkg.slp", 1000, seed=1)
        ended = client(server_process, "train", dataset, "--out", tmp_path / "out", room=room)
    assert ended.returncode == 4
    assert f"sleap-nn isn't installed for {python}" in ended.stderr


def summary(**changes):
    return WorkerSummary("gpu-1", "RTX", 24_000, "0.3.5", "available", **changes)


def status(device):
    return StatusChanged(worker="gpu-1", status="running", progress=0.1, device=device)


@pytest.mark.parametrize(
    ("gpu_memory_mb", "devices", "notices"),
    [
        (24_000, ["cuda:0", "cuda:0"], 0),
        (24_000, [None, "cpu", "cpu"], 1),
        (0, ["cpu"], 0),
        (None, ["cpu"], 0),
    ],
)
def test_an_idle_gpu_is_said_once_and_at_once(gpu_memory_mb, devices, notices):
    worker = WorkerSummary("gpu-1", "RTX", gpu_memory_mb, "0.3.5", "available")
    seen = []
    emit = DeviceWatch(worker, seen.append)
    for device in devices:
        emit(status(device))
    said = [number for number, event in enumerate(seen) if isinstance(event, Notice)]
    assert len(said) == notices
    if notices:
        assert seen[said[0] - 1].device == "cpu"


def test_what_a_stranger_says_of_itself_is_cut():
    seen = []
    announce_problems(summary(problems=("x" * 10_000,) * 100), seen.append)
    assert len(seen) == 8
    assert all(len(notice.message) < 400 for notice in seen)


async def test_the_room_is_told_when_a_gpu_is_taken_and_when_it_is_free_again(lab, monkeypatch):
    monkeypatch.setattr(watch, "LOOK_INTERVAL_SEC", 0.05)
    free_mb = 23_000

    def read_gpu():
        return GpuInfo("RTX", 24_000, "12.4", 0.0 if free_mb > 20_000 else 0.9, free_mb, index=0)

    monkeypatch.setattr(watch, "read_gpu_users", lambda _: ())
    able = TrainerCapabilities(("base",), ("training",), "0.3.5", "cuda")

    async def problems_become(count):
        async def are_told():
            (worker,) = await client_link.discover({"role": "worker"})
            return len(worker.metadata.properties.get("problems", [])) == count

        await until(are_told)

    async with (
        lab.peer("gpu-1", "worker") as link,
        lab.peer("client") as client_link,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(ProblemWatch(read_gpu, able).run, link)
        await problems_become(0)
        free_mb = 1_000
        await problems_become(1)
        free_mb = 23_000
        await problems_become(0)
        nursery.cancel_scope.cancel()
