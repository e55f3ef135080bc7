"""The environment variables of a runner: what it needs, and nothing that it shouldn't know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ....base.child_environment import without_secrets

THREAD_COUNT_NAMES: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""With more threads than free cores an epoch takes twenty times as long."""

OFFLINE: Final = {
    "WANDB_MODE": "disabled",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "MPLBACKEND": "Agg",
}
"""Training needs no network and no display."""


def runner_environment(
    inherited: Mapping[str, str], *, other_python: bool, thread_count: int, gpu_uuid: str | None
) -> dict[str, str]:
    """Returns all environment variables for a runner.

    Args:
        inherited: The worker's own environment.
        other_python: True if the runner's interpreter isn't the worker's.
        thread_count: CPU threads that it may use.
        gpu_uuid: The only GPU it may see, or None to leave that as it is.
    """
    environment = without_secrets(inherited, other_python=other_python)
    environment.update(OFFLINE)
    environment.update(dict.fromkeys(THREAD_COUNT_NAMES, str(max(1, thread_count))))
    if gpu_uuid is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpu_uuid
    return environment
