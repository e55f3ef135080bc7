"""Reading a GPU, against a stand-in for the driver's library that is compiled here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sleaprtc.worker.machine.gpu import GpuInfo, read_gpu, visible_indices

from ..support.nvml_stand_in import compile_driver, needs_gcc

READ = """
import attrs, json, sys
from sleaprtc.worker.machine.gpu import read_gpu
print(json.dumps(attrs.asdict(read_gpu(*json.loads(sys.argv[1])))))
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_driver(tmp_path_factory.mktemp("driver"))


def read_with(driver: Path, *arguments: int, **environment: str) -> GpuInfo:
    inherited = {k: v for k, v in os.environ.items() if k not in ("CUDA_VISIBLE_DEVICES", "FAIL", "COUNT")}
    done = subprocess.run(
        [sys.executable, "-c", READ, json.dumps(arguments)],
        env={**inherited, "LD_LIBRARY_PATH": str(driver), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return GpuInfo(**json.loads(done.stdout))


@needs_gcc
def test_a_gpu_is_read(driver: Path) -> None:
    assert read_with(driver) == GpuInfo(
        model="NVIDIA RTX 4090",
        memory_mb=16384,
        cuda_version="12.4",
        utilization=0.15,
        available_memory_mb=1000,
        index=0,
        uuid="GPU-0000-beef",
    )


@needs_gcc
def test_of_several_the_one_with_most_free_memory_is_taken(driver: Path) -> None:
    assert read_with(driver, COUNT="3").index == 2


@needs_gcc
def test_a_number_selects(driver: Path) -> None:
    assert read_with(driver, 1, COUNT="3").index == 1
    missing = read_with(driver, 7, COUNT="3")
    assert missing.memory_mb == 0
    assert "no GPU 7" in (missing.problem or "")


@needs_gcc
def test_cuda_visible_devices_is_respected(driver: Path) -> None:
    assert read_with(driver, COUNT="3", CUDA_VISIBLE_DEVICES="0,1").index == 1
    assert read_with(driver, COUNT="3", CUDA_VISIBLE_DEVICES="GPU-0").index == 0
    hidden = read_with(driver, COUNT="3", CUDA_VISIBLE_DEVICES="-1")
    assert (hidden.model, hidden.memory_mb) == ("CPU", 0)
    assert "CUDA_VISIBLE_DEVICES" in (hidden.problem or "")


@needs_gcc
@pytest.mark.parametrize("call", ["init", "count", "handle", "memory", "name"])
def test_a_driver_that_fails_midway_is_explained(driver: Path, call: str) -> None:
    info = read_with(driver, FAIL=f"{call}:999")
    assert (info.model, info.memory_mb, info.available_memory_mb) == ("CPU", 0, 0)
    assert info.problem is not None
    assert info.problem.endswith(".")


@needs_gcc
def test_a_lost_gpu_is_passed_over(driver: Path) -> None:
    assert read_with(driver, COUNT="2", FAIL="memory@1:15").index == 0
    assert read_with(driver, COUNT="2", FAIL="handle@1:15").index == 0
    assert "bus" in (read_with(driver, FAIL="memory:15").problem or "")


@needs_gcc
@pytest.mark.parametrize(("call", "field"), [("utilization", "utilization"), ("cuda", "cuda_version")])
def test_what_a_device_cannot_tell_is_left_open(driver: Path, call: str, field: str) -> None:
    info = read_with(driver, FAIL=f"{call}:3")
    assert getattr(info, field) is None
    assert info.memory_mb == 16384


@needs_gcc
def test_no_devices(driver: Path) -> None:
    assert "finds no GPU" in (read_with(driver, COUNT="0").problem or "")


def test_a_library_that_is_no_nvml_is_explained(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"not a library")
    info = read_with(tmp_path)
    assert info.memory_mb == 0
    assert info.problem


def test_reading_never_raises_here() -> None:
    info = read_gpu()
    assert (info.memory_mb > 0) == (info.problem is None)


def test_visible_devices_as_the_cuda_guide_has_it() -> None:
    uuids = ["GPU-aa", "GPU-ab", "GPU-b"]
    assert visible_indices(None, uuids) == [0, 1, 2]
    assert visible_indices("", uuids) == []
    assert visible_indices("2,0", uuids) == [2, 0]
    assert visible_indices("1,9,0", uuids) == [1]
    assert visible_indices("GPU-b", uuids) == [2]
    assert visible_indices("GPU-a", uuids) == []  # ambiguous
