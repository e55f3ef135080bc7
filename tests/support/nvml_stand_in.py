"""A stand-in for the NVIDIA driver's library, compiled here; environment variables say what it answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .system_packages import is_missing, needs

needs_gcc = needs("gcc", "gcc")

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
typedef struct {
    unsigned pid;
    unsigned long long memory;
    unsigned gpu_instance, compute_instance;
} process_t;

/* USERS names processes and what they hold in MiB: "1234:500,77:2" */
int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, process_t *found) {
    const char *setting = getenv("USERS");
    unsigned number = 0, size = *count;
    (void)handle;
    while (setting && *setting) {
        unsigned pid; unsigned long long memory_mb;
        if (sscanf(setting, "%u:%llu", &pid, &memory_mb) != 2) break;
        if (number < size) {
            process_t process = {pid, memory_mb << 20, ~0u, ~0u};
            found[number] = process;
        }
        number++;
        setting = strchr(setting, ',');
        if (setting) setting++;
    }
    *count = number;
    return number > size ? 7 : 0;
}
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 12040; return failure("cuda", -1); }
"""


def compile_driver(folder: Path) -> Path:
    """Makes a folder for ``LD_LIBRARY_PATH``; skips the test where there is no compiler."""
    if is_missing("gcc") or not sys.platform.startswith("linux"):
        pytest.skip("needs gcc on Linux")
    (folder / "nvml.c").write_text(STAND_IN)
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", folder / "nvml.c"],
        check=True,
        timeout=120,
    )
    return folder
