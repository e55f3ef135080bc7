"""Judges what would train here: the GPU, sleap-nn's interpreter, its build of torch."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ..base.sentences import as_sentence
from ..worker.machine.gpu import GpuInfo
from ..worker.machine.gpu_users import GpuUser
from ..worker.machine.problems import sharing_problem, torch_problem, trainer_problem
from ..worker.trainer import TrainerCapabilities
from .findings import Finding, failed, ok, skipped, warning

_HARMLESS = ("No NVIDIA driver is installed", "finds no GPU", "is installed but not loaded")
"""Sentences about a machine without a GPU. Any other problem is that of a machine with one."""


def judge_gpu(gpu: GpuInfo, users: Sequence[GpuUser], training_count: int) -> Finding:
    """Judges the GPU: what it is, whether it is usable, and who uses it.

    Args:
        gpu: As NVML has it.
        users: The processes that compute on it.
        training_count: How many trainings of this package run on this machine.
    """
    facts: dict[str, object] = {
        "gpu_model": gpu.model,
        "gpu_memory_mb": gpu.memory_mb,
        "available_memory_mb": gpu.available_memory_mb,
        "utilization": gpu.utilization,
        "cuda_version": gpu.cuda_version,
        "processes": [attrs.asdict(user) for user in users],
    }
    if not gpu.memory_mb:
        return _judge_missing_gpu(gpu, facts)
    sharing = sharing_problem(gpu, users)
    if sharing is not None:
        return warning("gpu", sharing.sentence, sharing.remedy, **facts)
    if training_count and not any(user.is_own for user in users) and not gpu.utilization:
        sentence = f"A training runs on this machine, and the {gpu.model} sits idle."
        return warning("gpu", sentence, "See the check `torch`: it runs on the CPU.", **facts)
    cuda = f", CUDA up to {gpu.cuda_version}" if gpu.cuda_version else ""
    load = "" if gpu.utilization is None else f", {gpu.utilization:.0%} busy"
    sentence = f"{gpu.model}: {gpu.available_memory_mb:,} of {gpu.memory_mb:,} MiB free{load}{cuda}."
    return ok("gpu", sentence, **facts)


def _judge_missing_gpu(gpu: GpuInfo, facts: dict[str, object]) -> Finding:
    problem = gpu.problem or "No GPU was found."
    if any(words in problem for words in _HARMLESS):
        return ok(
            "gpu",
            f"{as_sentence(problem)} Trainings here would run on the CPU; a client needs no GPU.",
            **facts,
        )
    if "CUDA_VISIBLE_DEVICES" in problem:
        return warning("gpu", problem, "Unset CUDA_VISIBLE_DEVICES, or name a GPU in it.", **facts)
    return failed("gpu", problem, "Check that `nvidia-smi` works: it asks the same driver.", **facts)


def judge_trainer(trainer: TrainerCapabilities, *, is_wanted: bool) -> Finding:
    """Judges whether sleap-nn is installed.

    Args:
        trainer: What its interpreter said.
        is_wanted: Whether this machine is meant to train: it has a GPU, or the interpreter was named.
    """
    facts = {"python": trainer.python, "sleap_nn_version": trainer.sleap_version}
    problem = trainer_problem(trainer)
    if problem is None:
        models = ", ".join(trainer.supported_models)
        return ok(
            "trainer", f"sleap-nn {trainer.sleap_version} of {trainer.python} trains {models}.", **facts
        )
    if is_wanted:
        return failed("trainer", problem.sentence, problem.remedy, **facts)
    sentence = f"{as_sentence(problem.sentence)} This machine can be a client, but not a worker."
    return warning("trainer", sentence, f"To train here: {problem.remedy}", **facts)


def judge_torch(gpu: GpuInfo, trainer: TrainerCapabilities) -> Finding:
    """Judges whether sleap-nn's torch uses what the machine has."""
    if trainer.torch_version is None:
        return skipped("torch", "The trainer's Python has no torch to check.")
    facts = {
        "torch_version": trainer.torch_version,
        "torch_cuda": trainer.torch_cuda,
        "torch_device": trainer.torch_device,
    }
    if trainer.torch_device is None:
        sentence = f"torch {trainer.torch_version} can't be imported by {trainer.python}."
        remedy = f"{trainer.python} -c 'import torch' says why; reinstall it."
        return failed("torch", sentence, remedy, **facts)
    problem = torch_problem(gpu, trainer)
    if problem is not None:
        return failed("torch", problem.sentence, problem.remedy, **facts)
    return ok("torch", f"torch {trainer.torch_version} computes on {trainer.torch_device}.", **facts)
