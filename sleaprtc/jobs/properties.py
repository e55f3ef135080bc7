"""What workers and clients publish of themselves in a room (protocol reference, "Metadata").

A peer's properties travel as a JSON object. Both sides handle them as the values below, in which None means
that the peer doesn't say. What another peer sends may be newer, older or wrong, so reading never fails: a
value of the wrong type reads as None, and unknown keys are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from ..protocol.limits import MAX_COUNT, MAX_DURATION_SEC
from ..protocol.vocabulary import JobType

WORKER_ROLE: Final = "worker"
CLIENT_ROLE: Final = "client"

COMMON_TAG: Final = "sleap-rtc"
"""Of every worker and client."""

CLIENT_TAG: Final = "training-client"

WORKER_TAGS: Final[Mapping[str, str]] = {
    JobType.TRAINING: "training-worker",
    JobType.INFERENCE: "inference-worker",
}
"""By the job type that a worker supports."""

NO_GPU_MODEL: Final = "CPU"
"""``gpu_model`` of a machine without a GPU."""

MAX_GPU_MEMORY_MB: Final = 2**30
"""A PiB. No GPU has more, and no display has room for the number."""

MAX_SHOWN_PROBLEMS: Final = 8
MAX_PROBLEM_CHARS: Final = 300


UNREADABLE: Final = "unreadable"
"""The status of a worker that sends something else than a text: it may be anything but known to be free."""


@attrs.frozen
class WorkerProperties:
    """A worker's properties, or those of them that an update changes.

    Attributes:
        gpu_memory_mb: The GPU's whole memory in MiB; 0 without a GPU.
        gpu_model: The GPU's name, or :data:`NO_GPU_MODEL`.
        cuda_version: The newest CUDA that the driver supports, such as ``"12.4"``.
        sleap_version: The version of sleap-nn.
        sleap_rtc_version: The worker's own version, for people: what it can do is in ``features``.
        hostname: The machine's name.
        status: ``available``, ``reserved``, ``busy`` or ``maintenance``.
        max_concurrent_jobs: How many jobs may run at once.
        supported_models: Of ``base``, ``centroid``, ``topdown`` and ``bottomup``.
        supported_job_types: Of ``training`` and ``inference``.
        digest_algorithms: By which the worker can check files, such as ``blake3``.
        status_interval_sec: The worker sends a status of a running job at least this often.
        torch_device: What trainings compute on: ``cuda``, ``mps`` or ``cpu``.
        features: What the worker can do beyond the contract, such as ``attach/1``.
        problems: One sentence for each thing that is wrong with the worker.
    """

    gpu_memory_mb: float | None = None
    gpu_model: str | None = None
    cuda_version: str | None = None
    sleap_version: str | None = None
    sleap_rtc_version: str | None = None
    hostname: str | None = None
    status: str | None = None
    max_concurrent_jobs: int | None = None
    supported_models: tuple[str, ...] | None = None
    supported_job_types: tuple[str, ...] | None = None
    digest_algorithms: tuple[str, ...] | None = None
    status_interval_sec: float | None = None
    torch_device: str | None = None
    features: tuple[str, ...] | None = None
    problems: tuple[str, ...] | None = None


@attrs.frozen
class ClientProperties:
    """A client's properties.

    Attributes:
        sleap_version: The version of SLEAP, where it is installed.
        sleap_rtc_version: The client's own version.
        platform: The operating system, such as ``linux``.
        user_id: The person's name on that system.
    """

    sleap_version: str | None = None
    sleap_rtc_version: str | None = None
    platform: str | None = None
    user_id: str | None = None


TEXT_PROPERTIES: Final = frozenset(
    {
        *("gpu_model", "cuda_version", "sleap_version", "hostname", "status", "torch_device"),
        *("sleap_rtc_version", "platform", "user_id"),
    }
)
"""The names of those that are strings, even if they look like numbers, as 11.8 does."""


def as_json(properties: WorkerProperties | ClientProperties) -> dict[str, object]:
    """Returns the JSON object that goes over the wire; what is None is left out."""
    said = attrs.asdict(properties, filter=lambda _, value: value is not None)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}


def read_worker(said: Mapping[str, object] | None) -> WorkerProperties:
    """Reads a worker's properties from whatever a peer sent. Never raises."""
    said = said or {}
    return WorkerProperties(
        gpu_memory_mb=_number(said, "gpu_memory_mb", MAX_GPU_MEMORY_MB),
        gpu_model=_text(said, "gpu_model"),
        cuda_version=_text(said, "cuda_version"),
        sleap_version=_text(said, "sleap_version"),
        sleap_rtc_version=_text(said, "sleap_rtc_version"),
        hostname=_text(said, "hostname"),
        status=_status(said),
        max_concurrent_jobs=_count(said, "max_concurrent_jobs"),
        supported_models=_texts(said, "supported_models"),
        supported_job_types=_texts(said, "supported_job_types"),
        digest_algorithms=_texts(said, "digest_algorithms"),
        status_interval_sec=_number(said, "status_interval_sec", MAX_DURATION_SEC),
        torch_device=_text(said, "torch_device"),
        features=_texts(said, "features"),
        problems=_texts(said, "problems"),
    )


def problem_sentences(problems: Sequence[str]) -> tuple[str, ...]:
    """Returns as many of a worker's problems, and as much of each, as is shown to a person.

    They are a stranger's words and may be long.
    """
    return tuple(sentence[:MAX_PROBLEM_CHARS] for sentence in problems[:MAX_SHOWN_PROBLEMS])


def read_client(said: Mapping[str, object] | None) -> ClientProperties:
    """Reads a client's properties from whatever a peer sent. Never raises."""
    said = said or {}
    return ClientProperties(
        sleap_version=_text(said, "sleap_version"),
        sleap_rtc_version=_text(said, "sleap_rtc_version"),
        platform=_text(said, "platform"),
        user_id=_text(said, "user_id"),
    )


def _text(said: Mapping[str, object], name: str) -> str | None:
    value = said.get(name)
    return value if isinstance(value, str) else None


def _status(said: Mapping[str, object]) -> str | None:
    return _text(said, "status") if isinstance(said.get("status", ""), str) else UNREADABLE


def _texts(said: Mapping[str, object], name: str) -> tuple[str, ...] | None:
    """A list of strings. Items of another type are left out: the rest still counts."""
    value = said.get(name)
    if not isinstance(value, list | tuple):
        return None
    return tuple(item for item in value if isinstance(item, str))


def _number(said: Mapping[str, object], name: str, most: float) -> float | None:
    value = said.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value <= most and math.isfinite(value) else None


def _count(said: Mapping[str, object], name: str) -> int | None:
    value = _number(said, name, MAX_COUNT)
    return int(value) if value is not None and value == int(value) else None
