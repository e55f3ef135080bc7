"""Finds what stands in the way of a good training, so that it can be reported before the first job."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final

import attrs

from ..trainer import TrainerCapabilities
from .gpu import GpuInfo
from .gpu_users import GpuUser

NOTICEABLE_MEMORY_MB: Final = 256
"""Less is what a desktop or an idle context holds, not a training."""

NOTICEABLE_UTILIZATION: Final = 0.25

CUDA_BUILDS: Final = ((11, 8), (12, 4), (12, 6), (12, 8), (13, 0))
"""For which CUDA versions PyTorch is or was built (https://pytorch.org/get-started/previous-versions/)."""


@attrs.frozen
class Problem:
    """Something to fix, or to wait for.

    Attributes:
        code: Stable identifier: ``no_trainer``, ``gpu_unused`` or ``gpu_in_use``.
        sentence: What is wrong, for a person.
        remedy: What to do about it.
    """

    code: str
    sentence: str
    remedy: str


def find_problems(
    gpu: GpuInfo, users: Sequence[GpuUser], trainer: TrainerCapabilities
) -> tuple[Problem, ...]:
    """Returns everything that is wrong with a worker, the worst first."""
    found = (trainer_problem(trainer), torch_problem(gpu, trainer), sharing_problem(gpu, users))
    return tuple(problem for problem in found if problem is not None)


def trainer_problem(trainer: TrainerCapabilities) -> Problem | None:
    """Returns why nothing can be trained, if so."""
    if trainer.problem is None:
        return None
    return Problem("no_trainer", trainer.problem, _remedy_for(trainer))


def _remedy_for(trainer: TrainerCapabilities) -> str:
    python = shlex.quote(trainer.python or "python")
    if trainer.torch_version is not None and trainer.sleap_version is not None:
        return f"{python} -c 'import torch' says more; reinstall sleap-nn or torch there."
    option = "--trainer-python (SLEAP_RTC_TRAINER_PYTHON)"
    if trainer.problem is not None and "can't be started" in trainer.problem:
        return f"Name the Python that has sleap-nn with {option}."
    return f"{python} -m pip install --upgrade sleap-nn, or name the Python that has it with {option}."


def torch_problem(gpu: GpuInfo, trainer: TrainerCapabilities) -> Problem | None:
    """Returns why trainings would run on the CPU although there is a GPU, if so."""
    if not gpu.memory_mb or trainer.torch_device != "cpu":
        return None
    version = trainer.torch_version or "the installed torch"
    remedy = cuda_torch_command(gpu.cuda_version, trainer.python)
    if trainer.torch_cuda is None:
        sentence = f"torch {version} is a build for the CPU: trainings don't use the {gpu.model}."
    else:
        driver = f" supports up to CUDA {gpu.cuda_version}" if gpu.cuda_version else " doesn't work with it"
        sentence = (
            f"torch {version} is built for CUDA {trainer.torch_cuda} and can't use the {gpu.model}, whose "
            f"driver{driver}: trainings run on the CPU."
        )
    return Problem("gpu_unused", sentence, remedy)


def cuda_torch_command(cuda_version: str | None, python: str | None) -> str:
    """Returns the command that installs a build of torch that the driver supports.

    Args:
        cuda_version: The newest CUDA that the driver supports, such as ``"12.4"``; None where it isn't known.
        python: The interpreter to install it for.
    """
    wanted = tuple(int(part) for part in re.findall(r"\d+", cuda_version or ""))[:2]
    fitting = [build for build in CUDA_BUILDS if not wanted or build <= wanted]
    major, minor = fitting[-1] if fitting else CUDA_BUILDS[0]
    index = f"https://download.pytorch.org/whl/cu{major}{minor}"
    interpreter = shlex.quote(python or "python")
    return f"{interpreter} -m pip install --force-reinstall torch torchvision --index-url {index}"


def sharing_problem(gpu: GpuInfo, users: Sequence[GpuUser]) -> Problem | None:
    """Returns who else uses the GPU, if somebody does."""
    if not gpu.memory_mb:
        return None
    others = [user for user in users if not user.is_own and _is_noticeable(user, gpu)]
    unseen = not users and _used_mb(gpu) > gpu.memory_mb // 8 and _is_busy(gpu)
    if not others and not unseen:
        return None
    who = "; ".join(_in_words(user) for user in others) or "by processes that can't be seen from here"
    load = "" if gpu.utilization is None else f", and it is {gpu.utilization:.0%} busy"
    sentence = (
        f"The {gpu.model} is used by somebody else ({who}); {gpu.available_memory_mb:,} of "
        f"{gpu.memory_mb:,} MiB are free{load}."
    )
    return Problem("gpu_in_use", sentence, "Wait until it is free, or choose another GPU with --gpu.")


def _is_busy(gpu: GpuInfo) -> bool:
    return gpu.utilization is not None and gpu.utilization >= NOTICEABLE_UTILIZATION


def _used_mb(gpu: GpuInfo) -> int:
    return gpu.memory_mb - gpu.available_memory_mb


def _is_noticeable(user: GpuUser, gpu: GpuInfo) -> bool:
    return user.memory_mb is None or user.memory_mb >= NOTICEABLE_MEMORY_MB or _is_busy(gpu)


def _in_words(user: GpuUser) -> str:
    name = f"{user.name}, process {user.pid}" if user.name else f"process {user.pid}"
    return name if user.memory_mb is None else f"{name}, {user.memory_mb:,} MiB"
