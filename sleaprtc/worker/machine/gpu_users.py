"""Finds out which processes use a GPU, and whose they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import attrs
import psutil
import pynvml

from ...protocol.limits import MIB
from .gpu import GpuInfo, open_nvml

RUNNER_PATH: Final = os.path.join("sleaprtc", "worker", "sleap_nn", "runner", "start.py")  # noqa: PTH118
"""How an argument of every trainer process ends."""


@attrs.frozen
class GpuUser:
    """A process that computes on a GPU.

    Attributes:
        pid: Its number, of the host where this is a container.
        name: Program and user, such as ``python of anna``; None where that can't be seen from here.
        memory_mb: What it holds in MiB; None where the driver doesn't tell.
        is_own: Whether it belongs to this package.
    """

    pid: int
    name: str | None = None
    memory_mb: int | None = None
    is_own: bool = False


def read_gpu_users(gpu: GpuInfo) -> tuple[GpuUser, ...]:
    """Returns the processes that compute on a GPU; none if the driver doesn't tell. Never raises."""
    if gpu.index is None:
        return ()
    try:
        with open_nvml():
            handle = pynvml.nvmlDeviceGetHandleByIndex(gpu.index)
            running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
            return tuple(_describe(entry.pid, entry.usedGpuMemory) for entry in running)
    except Exception:  # not every device and system can tell, and a worker runs without knowing
        return ()


def _describe(pid: int, memory_bytes: int | None) -> GpuUser:
    memory_mb = None if memory_bytes is None else memory_bytes // MIB
    try:
        process = psutil.Process(pid)
        name = process.name()
    except psutil.Error:
        return GpuUser(pid, None, memory_mb)
    with suppress(psutil.Error, KeyError):
        name = f"{name} of {process.username()}"
    return GpuUser(pid, name, memory_mb, _is_own(process))


def _is_own(process: psutil.Process) -> bool:
    """Whether a process belongs to this worker, or to another worker's training."""
    with suppress(psutil.Error):
        family = [process, *process.parents()]
        return any(relative.pid == os.getpid() or is_runner(relative) for relative in family)
    return False


def is_runner(process: psutil.Process) -> bool:
    """Whether a process is a trainer process of this package."""
    with suppress(psutil.Error):
        return any(argument.endswith(RUNNER_PATH) for argument in process.cmdline())
    return False


def running_trainings(condition: Callable[[psutil.Process], bool] = is_runner) -> int:
    """Counts this package's trainings on this machine, as far as this user may see them."""
    return sum(1 for process in psutil.process_iter() if condition(process))
