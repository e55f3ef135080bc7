"""What is made of what was measured."""

from __future__ import annotations

import pytest

from sleaprtc.doctor import machine, network, training
from sleaprtc.doctor.ice import IceAnswer, IceTrouble, judge_ice
from sleaprtc.doctor.measure_ice import host_and_port
from sleaprtc.doctor.measure_network import clock_error_sec
from sleaprtc.transfer.rate import Rate
from sleaprtc.worker.machine.gpu import GpuInfo
from sleaprtc.worker.machine.gpu_users import GpuUser
from sleaprtc.worker.machine.problems import cuda_torch_command, find_problems
from sleaprtc.worker.trainer import TrainerCapabilities

GPU = GpuInfo("RTX", 24_000, "12.4", 0.0, 23_000, index=0, uuid="GPU-0")
TRAINER = TrainerCapabilities(("base",), ("training",), "0.3.5", "cuda", None, "2.6.0+cu124", "12.4", "/py")
GIB = 2**30


def folder(**changes):
    given = {"purpose": "work folder", "path": "/w", "problem": None, "free_bytes": 50 * GIB, "option": "--w"}
    return machine.FolderState(**{**given, **changes})


@pytest.mark.parametrize(
    ("state", "status", "words"),
    [
        (folder(), "ok", "50.0 GiB"),
        (folder(free_bytes=5 * GIB), "warning", "Only 5.0 GiB"),
        (folder(free_bytes=GIB // 4), "failed", "too little"),
        (folder(problem="No space left on device", free_bytes=0), "failed", "No space left"),
        (folder(problem="Read-only file system"), "failed", "Read-only"),
    ],
)
def test_disk(state, status, words):
    found = machine.judge_disk([folder(purpose="state folder", free_bytes=60 * GIB), state])
    assert (found.status, words in found.sentence) == (status, True)
    assert ("--w" in (found.remedy or "")) == (status != "ok")


@pytest.mark.parametrize(
    ("version", "status"), [((3, 10, 1), "failed"), ((3, 12, 0), "ok"), ((3, 15, 0), "warning")]
)
def test_python(version, status):
    assert machine.judge_python(version, "/python").status == status


def test_packages():
    here = machine.Package("trio", "0.26", "0.31.0")
    assert machine.judge_packages("0.1", [here], "pip").status == "ok"
    wrong = [
        here,
        machine.Package("attrs", "23.2", "22.1.0"),
        machine.Package("click", "8.1", None),
        machine.Package("h5py", None, "3.1", "ImportError: libhdf5.so"),
    ]
    found = machine.judge_packages("0.1", wrong, "python -m pip")
    assert found.remedy == "python -m pip"
    assert found.status == "failed"
    for words in ("attrs 22.1.0 (needed: 23.2)", "missing: click", "libhdf5.so"):
        assert words in found.sentence


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("aiortc>=1.14", ("aiortc", "1.14")),
        ("h5py", ("h5py", None)),
        ('wrtc>=0.1; extra == "fast"', None),
        ("nvidia-ml-py>=12.535 ; python_version >= '3'", ("nvidia-ml-py", "12.535")),
    ],
)
def test_requirements(text, read):
    assert machine.parse_requirement(text) == read


@pytest.mark.parametrize(
    ("version", "problem", "has_wheels", "status"),
    [
        ("0.1", None, True, "ok"),
        (None, None, True, "warning"),
        (None, None, False, "ok"),
        ("0.1", "it is broken", True, "warning"),
    ],
)
def test_engines(version, problem, has_wheels, status):
    assert machine.judge_engines(version, problem, has_wheels, "pip").status == status


@pytest.mark.parametrize(
    ("users", "utilization", "in_use"),
    [
        ((), 0.0, False),
        ((GpuUser(7, "python of anna", 9000),), 0.9, True),
        ((GpuUser(7, "python of me", 9000, is_own=True),), 0.9, False),
        ((GpuUser(7, "Xorg", 40),), 0.0, False),
        ((GpuUser(7, None, None),), None, True),
    ],
)
def test_who_uses_a_gpu(users, utilization, in_use):
    gpu = GpuInfo("RTX", 24_000, "12.4", utilization, 15_000, index=0)
    codes = [problem.code for problem in find_problems(gpu, users, TRAINER)]
    assert codes == (["gpu_in_use"] if in_use else [])
    assert training.judge_gpu(gpu, users, 0).status == ("warning" if in_use else "ok")


def test_what_is_used_and_by_nobody_that_is_seen():
    gpu = GpuInfo("RTX", 24_000, "12.4", 0.97, 2_000, index=0)
    (problem,) = find_problems(gpu, (), TRAINER)
    assert "can't be seen from here" in problem.sentence


def test_a_gpu_that_sits_idle_while_a_training_runs():
    assert "sits idle" in training.judge_gpu(GPU, (), training_count=1).sentence
    assert training.judge_gpu(GPU, (), training_count=0).status == "ok"


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        ("No NVIDIA driver is installed on this machine.", "ok"),
        ("CUDA_VISIBLE_DEVICES hides every GPU of this machine.", "warning"),
        ("The GPU has fallen off the bus: the machine needs a restart.", "failed"),
        ("The NVIDIA driver doesn't answer.", "failed"),
    ],
)
def test_no_gpu(problem, status):
    assert training.judge_gpu(GpuInfo(problem=problem), (), 0).status == status


def capable(**changes):
    given = {
        "supported_models": ("base",),
        "sleap_version": "0.3.5",
        "torch_version": "2.6",
        "python": "/py",
        **changes,
    }
    return TrainerCapabilities(**given)


def test_a_torch_that_is_too_new_for_the_driver():
    trainer = capable(torch_device="cpu", torch_cuda="13.0")
    found = training.judge_torch(GPU, trainer)
    assert found.status == "failed"
    assert "built for CUDA 13.0" in found.sentence
    assert "up to CUDA 12.4" in found.sentence


@pytest.mark.parametrize(
    ("driver", "index"),
    [("12.4", "cu124"), ("12.5", "cu124"), ("13.1", "cu130"), ("11.4", "cu118"), (None, "cu130")],
)
def test_the_build_of_torch_is_one_that_the_driver_can_run(driver, index):
    assert cuda_torch_command(driver, "/a b/python") == (
        "'/a b/python' -m pip install --force-reinstall torch torchvision --index-url "
        f"https://download.pytorch.org/whl/{index}"
    )


def test_a_machine_that_nobody_wants_to_train_on_needs_no_sleap_nn():
    trainer = TrainerCapabilities(problem="sleap-nn isn't installed for /py.", python="/py")
    assert training.judge_trainer(trainer, is_wanted=False).status == "warning"
    assert training.judge_trainer(trainer, is_wanted=True).status == "failed"
    assert training.judge_torch(GPU, trainer).status == "skipped"


@pytest.mark.parametrize(
    ("error_sec", "status", "words"),
    [
        (None, "ok", "doesn't send the time"),
        (1.2, "ok", "agrees"),
        (-40, "warning", "40 seconds behind"),
        (7200, "failed", "2 hours ahead"),
        (-86_400 * 3, "failed", "3 days behind"),
    ],
)
def test_clock(error_sec, status, words):
    found = network.judge_clock(error_sec)
    assert (found.status, words in found.sentence) == (status, True)


def test_the_header_of_the_clock():
    assert clock_error_sec("Thu, 01 Jan 1970 00:01:00 GMT", 61.5) == 1.0
    assert clock_error_sec("yesterday", 61.5) is None
    assert clock_error_sec(None, 61.5) is None


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("stun:a.example", ("stun", "a.example", 3478)),
        ("turn:a.example:99?transport=udp", ("turn", "a.example", 99)),
        ("turns:[::1]:99", ("turns", "::1", 99)),
        ("http:a.example", None),
        ("stun:a:port", None),
    ],
)
def test_addresses_of_ice_servers(url, read):
    assert host_and_port(url) == read


def trouble(kind, url="turn:c:1", **given):
    return IceAnswer(url, problem=f"it is {kind.name}.", trouble=kind, **given)


def test_one_dead_ice_server_of_several_is_a_warning():
    alive, dead = IceAnswer("stun:a", 3.0), trouble(IceTrouble.SILENT, "stun:b")
    assert judge_ice([alive]).status == "ok"
    assert judge_ice([alive, dead]).status == "warning"
    assert judge_ice([dead]).status == "failed"
    refusing = trouble(IceTrouble.CREDENTIALS, "turn:c", round_trip_ms=3.0)
    assert judge_ice([refusing]).status == "failed"
    assert judge_ice([alive, refusing]).status == "warning"
    both = judge_ice([alive, dead, refusing])
    assert "No answer from stun:b: it is SILENT. Every connection waits for it." in both.sentence
    assert "TURN doesn't relay, which some networks need: turn:c: it is CREDENTIALS." in both.sentence
    assert "stun:b: Let its port through" in both.remedy
    assert "turn:c: Correct its user name" in both.remedy
    assert judge_ice([dead]).facts["ice_servers"][0]["trouble"] == "silent"
    assert "Host candidates only" in judge_ice([]).sentence


@pytest.mark.parametrize("kind", IceTrouble)
def test_each_trouble_of_an_ice_server_has_a_remedy_of_its_own(kind):
    found = judge_ice([trouble(kind)])
    assert found.remedy.endswith(".")
    assert ("user name and password" in found.remedy) == (kind is IceTrouble.CREDENTIALS)
    assert ("certificate" in found.remedy) == (kind is IceTrouble.UNTRUSTED)
    assert ("UDP" in found.remedy) == (kind is IceTrouble.SILENT)
    assert ("Every connection waits" in found.sentence) == (kind is IceTrouble.SILENT)
    assert "Every connection waits" not in judge_ice([trouble(kind, "turns:c:1")]).sentence


def test_one_engine_that_fails_isn_t_all_of_them():
    works = network.SelfTest("aiortc", 20.0, Rate(1, 1, 1, 1))
    fails = network.SelfTest("libwebrtc", problem="No network path to answerer was found.")
    one = network.judge_self_tests([works, fails], asked_for_loopback=False)
    assert one.status == "warning"
    assert one.sentence.startswith(
        "One of the two engines can't make a data channel from this machine to itself. libwebrtc"
    )
    both = network.judge_self_tests([fails, fails], asked_for_loopback=False)
    assert both.status == "failed"
    assert ".." not in both.sentence + one.sentence
