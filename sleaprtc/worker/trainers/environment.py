"""The environment variables that a runner gets: what it needs, and nothing that it shouldn't know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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

OWN_PREFIX: Final = "SLEAP_RTC_"
"""The worker's own settings, tokens among them."""

INTERPRETER_NAMES: Final = frozenset({"PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"})
"""What ties a process to one interpreter's packages, and would mislead another interpreter."""


def runner_environment(
    inherited: Mapping[str, str], *, other_python: bool, thread_count: int, gpu_uuid: str | None
) -> dict[str, str]:
    """All environment variables for a runner.

    Args:
        inherited: The worker's own environment.
        other_python: True if the runner's interpreter isn't the worker's.
        thread_count: CPU threads that it may use.
        gpu_uuid: The only GPU it may see, or None to leave that as it is.
    """
    dropped = INTERPRETER_NAMES if other_python else frozenset()
    environment = {
        name: value
        for name, value in inherited.items()
        if not name.startswith(OWN_PREFIX) and name not in dropped
    }
    environment.update(OFFLINE)
    environment.update(dict.fromkeys(THREAD_COUNT_NAMES, str(max(1, thread_count))))
    if gpu_uuid is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpu_uuid
    return environment
