"""Reads through NVML which GPU the machine has and how busy it is.

NVML is the driver's own library (https://docs.nvidia.com/deploy/nvml-api/): it answers without torch,
without CUDA, and without taking memory on the device.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar, TypeVarTuple

import attrs
import pynvml

from ...base.sentences import as_clause
from ...jobs.properties import NO_GPU_MODEL
from ...protocol.limits import MIB

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


@attrs.frozen
class GpuInfo:
    """The state of a GPU at one moment, or the lack of one.

    Attributes:
        model: The device's name, or ``"CPU"``.
        memory_mb: All of its memory in MiB; 0 without a GPU.
        cuda_version: Newest CUDA that the driver supports, such as ``"12.4"``.
        utilization: 0.0 to 1.0, over the driver's last sample period; None where it isn't known.
        available_memory_mb: Free memory in MiB; 0 without a GPU.
        problem: One sentence on why there's no usable GPU, else None.
        index: NVML's number of the device.
        uuid: What ``CUDA_VISIBLE_DEVICES`` takes to select exactly this device.
    """

    model: str = NO_GPU_MODEL
    memory_mb: int = 0
    cuda_version: str | None = None
    utilization: float | None = None
    available_memory_mb: int = 0
    problem: str | None = None
    index: int | None = None
    uuid: str | None = None


def read_gpu(index: int | None = None, *, environ: Mapping[str, str] | None = None) -> GpuInfo:
    """Reads the GPU that training would use.

    Args:
        index: NVML's number of the wanted device; by default the one with the most free memory.
        environ: Where ``CUDA_VISIBLE_DEVICES`` is looked up; the process's environment by default.
            Its numbers are taken in PCI order, as with ``CUDA_DEVICE_ORDER=PCI_BUS_ID``.

    Returns:
        The device, or a :class:`GpuInfo` that says why there is none. Nothing is raised.
    """
    try:
        with open_nvml():
            return _choose_gpu(index, os.environ if environ is None else environ)
    except pynvml.NVMLError as error:
        return GpuInfo(problem=_explain(error))
    except Exception as error:  # a broken driver fails in ways of its own, and a worker must start
        return GpuInfo(problem=f"The NVIDIA driver gave an answer that can't be read: {as_clause(error)}.")


def visible_indices(setting: str | None, uuids: Sequence[str]) -> list[int]:
    """Returns which devices ``CUDA_VISIBLE_DEVICES`` leaves visible.

    Args:
        setting: The variable's value, or None where it isn't set.
        uuids: The devices' UUIDs in NVML's order.

    Returns:
        Their numbers. As in the CUDA programming guide, the first invalid entry ends the list.
    """
    if setting is None:
        return list(range(len(uuids)))
    visible: list[int] = []
    for entry in setting.split(","):
        found = _find_device(entry.strip(), uuids)
        if found is None:
            break
        visible.append(found)
    return visible


def _find_device(entry: str, uuids: Sequence[str]) -> int | None:
    if entry.isdecimal():
        return int(entry) if int(entry) < len(uuids) else None
    matching = [number for number, uuid in enumerate(uuids) if entry and uuid.startswith(entry)]
    return matching[0] if len(matching) == 1 else None


@contextmanager
def open_nvml() -> Iterator[None]:
    """Loads the driver's library for the block; raises :class:`pynvml.NVMLError` if there is none."""
    pynvml.nvmlInit()
    try:
        yield
    finally:
        # there is nothing left to release
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _choose_gpu(index: int | None, environ: Mapping[str, str]) -> GpuInfo:
    uuids = [_optional(_read_uuid, number) or "" for number in range(pynvml.nvmlDeviceGetCount())]
    if not uuids:
        return GpuInfo(problem="The NVIDIA driver is running but finds no GPU.")
    wanted = visible_indices(environ.get("CUDA_VISIBLE_DEVICES"), uuids)
    if not wanted:
        return GpuInfo(problem="CUDA_VISIBLE_DEVICES hides every GPU of this machine.")
    if index is not None:
        if index not in wanted:
            return GpuInfo(problem=f"There is no GPU {index} among those visible: {wanted}.")
        wanted = [index]
    return _freest([(number, uuids[number]) for number in wanted])


def _freest(candidates: Sequence[tuple[int, str]]) -> GpuInfo:
    """Returns the device with the most free memory, skipping any that fails."""
    readable: list[GpuInfo] = []
    failure: pynvml.NVMLError | None = None
    for number, uuid in candidates:
        try:
            readable.append(_read_device(number, uuid))
        except pynvml.NVMLError as error:
            failure = error
    if not readable:
        assert failure is not None
        return GpuInfo(problem=_explain(failure))
    return max(readable, key=lambda gpu: gpu.available_memory_mb)


def _read_uuid(number: int) -> str:
    uuid: str = pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(number))
    return uuid


def _read_device(number: int, uuid: str) -> GpuInfo:
    handle = pynvml.nvmlDeviceGetHandleByIndex(number)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    rates = _optional(pynvml.nvmlDeviceGetUtilizationRates, handle)
    return GpuInfo(
        model=pynvml.nvmlDeviceGetName(handle),
        memory_mb=memory.total // MIB,
        cuda_version=_cuda_version(),
        utilization=None if rates is None else min(max(rates.gpu / 100, 0.0), 1.0),
        available_memory_mb=memory.free // MIB,
        index=number,
        uuid=uuid or None,
    )


def _cuda_version() -> str | None:
    # NVML reports 1000 * major + 10 * minor
    version = _optional(pynvml.nvmlSystemGetCudaDriverVersion_v2)
    return None if version is None else f"{version // 1000}.{version % 1000 // 10}"


def _optional(query: Callable[[*Arguments], T], *arguments: *Arguments) -> T | None:
    """Queries what not every device supports, such as utilization under some virtualization."""
    try:
        return query(*arguments)
    except pynvml.NVMLError:
        return None


def _explain(error: pynvml.NVMLError) -> str:
    known = {
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "No NVIDIA driver is installed on this machine.",
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "The NVIDIA driver is installed but not loaded.",
        pynvml.NVML_ERROR_NO_PERMISSION: "This user may not ask the NVIDIA driver for its GPUs.",
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
            "The NVIDIA driver was updated while it was loaded: the machine needs a restart."
        ),
        pynvml.NVML_ERROR_GPU_IS_LOST: "The GPU has fallen off the bus: the machine needs a restart.",
    }
    return known.get(error.value, f"The NVIDIA driver reports an error: {as_clause(error)}.")
