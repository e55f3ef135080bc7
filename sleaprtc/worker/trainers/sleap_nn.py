"""Training with sleap-nn, in a process of its own and with the Python of the user's choice."""

from __future__ import annotations

import math
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from ...errors import InvalidDatasetError, InvalidTrainingConfigError, SleapRTCError, StorageError, TrainerError
from .base import (
    EpochEnded,
    StageStarted,
    Trainer,
    TrainerCapabilities,
    TrainingEvent,
    TrainingJob,
    TrainingOutcome,
)
from .configuration import is_legacy, legacy_core, parse_config
from .dataset import inspect_dataset
from .package import PackagedModel, is_package, unpack
from .plan import ModelPlan, ModelSource, ReceivedConfig, plan_models
from .process import EXIT_AFTER_LAST_EVENT_SEC, RUNNER_FILE, Runner, open_runner
from .settings import MODEL_HEADS

PROBE_TIMEOUT_SEC: Final = 90.0
"""Importing torch takes 2 seconds from a warm disk, and half a minute from a cold network disk."""

CONVERSION_TIMEOUT_SEC: Final = 180.0

OLDEST_SLEAP_NN: Final = (0, 3)

FULL_DISK_BYTES: Final = 16 * 2**20
"""A training that ends without a word on a disk with less free space has most likely filled it."""


class SleapNNTrainer(Trainer):
    """Trains with sleap-nn.

    Args:
        python: The interpreter in which sleap-nn is installed; this one's own by default.
        gpu_uuid: The only GPU that training may use, as ``CUDA_VISIBLE_DEVICES`` takes it; by
            default the environment decides.
        script: The runner; another one stands in for it in tests of what can go wrong.
    """

    def __init__(
        self, python: Path | None = None, *, gpu_uuid: str | None = None, script: Path = RUNNER_FILE
    ) -> None:
        self._python = Path(sys.executable) if python is None else python
        self._gpu_uuid = gpu_uuid
        self._script = script
        self._device: str | None = None

    async def probe(self) -> TrainerCapabilities:
        """Asks the trainer's Python what is installed, which takes a few seconds."""
        raise NotImplementedError
