"""Reading a GPU, against a stand-in for the driver's library that is compiled here."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sleaprtc.worker.gpu import GpuInfo, read_gpu, visible_indices

STAND_IN = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned int gpu, memory; } utilization_t;
static int indices[8] = {0, 1, 2, 3, 4, 5, 6, 7};

/* FAIL names a call and the code it returns: "memory:15", "memory@1:15" for device 1 alone */
static int failure(const char *call, int device) {
    const char *setting = getenv("FAIL");
    char everywhere[64], here[64];
    if (!setting) return 0;
    snprintf(everywhere, sizeof everywhere, "%s:", call);
    snprintf(here, sizeof here, "%s@%d:", call, device);
    if (!strncmp(setting, everywhere, strlen(everywhere))) return atoi(setting + strlen(everywhere));
    if (!strncmp(setting, here, strlen(here))) return atoi(setting + strlen(here));
    return 0;
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; return failure("init", -1); }
int nvmlInit_v2(void) { return failure("init", -1); }
int nvmlShutdown(void) { return failure("shutdown", -1); }
const char *nvmlErrorString(int code) { (void)code; return "stand-in"; }
int nvmlDeviceGetCount_v2(unsigned *count) {
    const char *setting = getenv("COUNT");
    *count = setting ? (unsigned)atoi(setting) : 1;
    return failure("count", -1);
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    *handle = &indices[index];
    return failure("handle", (int)index);
}
int nvmlDeviceGetName(void *handle, char *name, unsigned size) {
    snprintf(name, size, "NVIDIA RTX 409%d", *(int *)handle);
    return failure("name", *(int *)handle);
}
int nvmlDeviceGetUUID(void *handle, char *uuid, unsigned size) {
    snprintf(uuid, size, "GPU-%d000-beef", *(int *)handle);
    return failure("uuid", *(int *)handle);
}
int nvmlDeviceGetMemoryInfo(void *handle, memory_t *memory) {
    memory->total = 16384ULL << 20;
    memory->free = (1000ULL * (1 + *(int *)handle)) << 20;
    memory->used = memory->total - memory->free;
    return failure("memory", *(int *)handle);
}
int nvmlDeviceGetUtilizationRates(void *handle, utilization_t *rates) {
    rates->gpu = 15; rates->memory = 3;
    return failure("utilization", *(int *)handle);
}
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 12040; return failure("cuda", -1); }
"""

READ = """
import attrs, json, sys
from sleaprtc.worker.gpu import read_gpu
print(json.dumps(attrs.asdict(read_gpu(*json.loads(sys.argv[1])))))
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler on Linux")
    folder = tmp_path_factory.mktemp("driver")
    (folder / "nvml.c").write_text(STAND_IN)
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", folder / "nvml.c"],
        check=True,
        timeout=60,
    )
    return folder


def read_with(driver: Path, *arguments: int, **environment: str) -> GpuInfo:
    inherited = {k: v for k, v in os.environ.items() if k not in ("CUDA_VISIBLE_DEVICES", "FAIL", "COUNT")}
    done = subprocess.run(
        [sys.executable, "-c", READ, json.dumps(arguments)],
        env={**inherited, "LD_LIBRARY_PATH": str(driver), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return GpuInfo(**json.loads(done.stdout))


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


def test_of_several_the_one_with_most_free_memory_is_taken(driver: Path) -> None:
    assert read_with(driver, COUNT="3").index == 2


def test_a_number_selects(driver: Path) -> None:
    assert read_with(driver, 1, COUNT="3").index == 1
    missing = read_with(driver, 7, COUNT="3")
    assert missing.memory_mb == 0
    assert "no GPU 7" in (missing.problem or "")


def test_cuda_visible_devices_is_respected(driver: Path) -> None:
    assert read_with(driver, COUNT="3", CUDA_VISIBLE_DEVICES="0,1").index == 1
    assert read_with(driver, COUNT="3", CUDA_VISIBLE_DEVICES="GPU-0").index == 0
    hidden = read_with(driver, COUNT="3", CUDA_VISIBLE_DEVICES="-1")
    assert (hidden.model, hidden.memory_mb) == ("CPU", 0)
    assert "CUDA_VISIBLE_DEVICES" in (hidden.problem or "")


@pytest.mark.parametrize("call", ["init", "count", "handle", "memory", "name"])
def test_a_driver_that_fails_midway_is_explained(driver: Path, call: str) -> None:
    info = read_with(driver, FAIL=f"{call}:999")
    assert (info.model, info.memory_mb, info.available_memory_mb) == ("CPU", 0, 0)
    assert info.problem is not None
    assert info.problem.endswith(".")


def test_a_lost_gpu_is_passed_over(driver: Path) -> None:
    assert read_with(driver, COUNT="2", FAIL="memory@1:15").index == 0
    assert read_with(driver, COUNT="2", FAIL="handle@1:15").index == 0
    assert "bus" in (read_with(driver, FAIL="memory:15").problem or "")


@pytest.mark.parametrize(("call", "field"), [("utilization", "utilization"), ("cuda", "cuda_version")])
def test_what_a_device_cannot_tell_is_left_open(driver: Path, call: str, field: str) -> None:
    info = read_with(driver, FAIL=f"{call}:3")
    assert getattr(info, field) is None
    assert info.memory_mb == 16384


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
