"""How a worker describes itself: to its room (protocol reference, "Metadata") and to its owner."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from ..._version import __version__
from ...base.sentences import as_sentence
from ...jobs.capacity import Capability
from ...jobs.properties import COMMON_TAG, WORKER_TAGS, WorkerProperties, as_json
from ...protocol.features import (
    ATTACH_FEATURE,
    EPHEMERAL_FEATURE,
    FORMATS_FEATURE,
    PURGE_FEATURE,
    VALIDATION_FEATURE,
)
from ...protocol.limits import STATUS_INTERVAL_SEC
from ...protocol.messages import Metadata
from ...protocol.vocabulary import WorkerStatus
from ...transfer.sending import DEFAULT_DIGEST_ALGORITHM, FAST_DIGEST_ALGORITHM
from ..trainer import TrainerCapabilities
from .gpu import GpuInfo
from .problems import Problem


def capability(gpu: GpuInfo, trainer: TrainerCapabilities) -> Capability:
    """Combines what the machine has with what is installed on it."""
    return Capability(
        gpu_memory_mb=gpu.memory_mb,
        supported_models=trainer.supported_models,
        supported_job_types=trainer.supported_job_types,
        sleap_version=trainer.sleap_version,
    )


def worker_metadata(
    gpu: GpuInfo, trainer: TrainerCapabilities, max_jobs: int, problems: Sequence[Problem] = ()
) -> Metadata:
    """Returns the metadata that a worker registers with."""
    tags = (COMMON_TAG, *(WORKER_TAGS[kind] for kind in trainer.supported_job_types))
    properties = WorkerProperties(
        gpu_memory_mb=gpu.memory_mb,
        gpu_model=gpu.model,
        cuda_version=gpu.cuda_version,
        sleap_version=trainer.sleap_version,
        sleap_rtc_version=__version__,
        hostname=socket.gethostname(),
        status=WorkerStatus.AVAILABLE if trainer.problem is None else WorkerStatus.MAINTENANCE,
        max_concurrent_jobs=max_jobs,
        supported_models=trainer.supported_models,
        supported_job_types=trainer.supported_job_types,
        digest_algorithms=(DEFAULT_DIGEST_ALGORITHM, FAST_DIGEST_ALGORITHM),
        status_interval_sec=STATUS_INTERVAL_SEC,
        torch_device=trainer.torch_device,
        features=(ATTACH_FEATURE, PURGE_FEATURE, EPHEMERAL_FEATURE, FORMATS_FEATURE, VALIDATION_FEATURE),
        problems=sentences_of(problems),
    )
    return Metadata(tags, as_json(properties))


def sentences_of(problems: Sequence[Problem]) -> tuple[str, ...]:
    """What clients learn of a worker's problems; the remedies are for its owner."""
    return tuple(problem.sentence for problem in problems)


def introduction(
    name: str, gpu: GpuInfo, trainer: TrainerCapabilities, problems: Sequence[Problem] = ()
) -> list[str]:
    """Returns a few lines that tell the person who starts the worker what it has and what it lacks."""
    if gpu.memory_mb:
        cuda = f", CUDA {gpu.cuda_version}" if gpu.cuda_version else ""
        lines = [f"Worker {name} on {gpu.model} ({gpu.memory_mb} MiB{cuda})."]
    else:
        lines = [f"Worker {name} without a GPU: {as_sentence(gpu.problem or 'none found')}"]
    if trainer.problem:
        lines.append("It can't train, and refuses jobs until that is fixed and the worker is restarted.")
    else:
        models = ", ".join(trainer.supported_models)
        lines.append(f"Trains {models} with sleap-nn {trainer.sleap_version} on {trainer.torch_device}.")
    for problem in problems:
        lines.append(f"Warning: {problem.sentence}")
        lines.append(f"  {problem.remedy}")
    return lines
