"""Training on a worker, as one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trio

from ...access.place import PeerOptions
from ...jobs.negotiation import SelectionRule
from ...protocol.limits import JOB_RESPONSE_TIMEOUT_SEC
from ...protocol.messages import JSONObject
from ..events.job import Completed, Emit
from ..inputs.dataset import Dataset, model_type_of_configs, read_config
from ..inputs.model_descriptions import described_models
from ..inputs.packing import read_with_images
from ..inputs.scratch import Scratch
from ..results.delivery import ModelFolders
from ..room import installed_sleap_version
from .filters import worker_filters
from .retry import ONE_ATTEMPT, Persistence, open_endeavour
from .submit import JobOrder


def _with_models(dataset: Dataset, configs: Sequence[Path], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Adds to the settings what dataset and configurations train, where that isn't said otherwise."""
    parsed = [config for path in configs if (config := read_config(path)) is not None]
    model_type = settings.get("model_type") or model_type_of_configs(parsed) or dataset.model_type
    # what is described in part only would be taken for all that is trained
    is_whole = len(parsed) == len(configs)
    models = described_models(parsed if configs else dataset.configs) if is_whole else []
    return {
        **settings,
        **({"model_type": model_type} if model_type else {}),
        **({"models": models} if models else {}),
    }


async def training_order(
    dataset: Path,
    *,
    out_dir: Path,
    configs: Sequence[Path] = (),
    settings: Mapping[str, Any] | None = None,
    filters: JSONObject | None = None,
    min_gpu_memory_mb: float = 0,
    worker: str | None = None,
    rule: SelectionRule = SelectionRule.FASTEST,
    response_timeout_sec: float = JOB_RESPONSE_TIMEOUT_SEC,
    emit: Emit = lambda _: None,
) -> JobOrder:
    """Reads what is to be trained, and says how.

    Args:
        dataset: Labels, or a training job package. Labels that point to videos are packed first.
        out_dir: Where the models go: made where needed; models that are there already are kept.
        configs: Model configurations, in training order.
        settings: ``model_type epochs batch_size learning_rate``, those that aren't to be derived.
        filters: Which workers fit, as in a discovery; all of them by default.
        min_gpu_memory_mb: What a worker must have.
        worker: The only worker to ask.
        rule: Which of the workers that accept gets the job.
        response_timeout_sec: How long to wait for answers.
        emit: Takes what happens meanwhile.

    Raises:
        UsageError: A file can't be read as what it should be.
    """
    scratch = Scratch()
    try:
        described = await read_with_images(dataset, scratch, embed="user", emit=emit)
        chosen = await trio.to_thread.run_sync(_with_models, described, configs, settings or {})
    except BaseException:
        scratch.remove()
        raise
    return JobOrder(
        dataset=described,
        settings=chosen,
        destination=ModelFolders(out_dir),
        configs=tuple(configs),
        filters=filters or worker_filters(),
        min_gpu_memory_mb=min_gpu_memory_mb,
        worker=worker,
        rule=rule,
        response_timeout_sec=response_timeout_sec,
        sleap_version=installed_sleap_version(),
        scratch=scratch,
    )


async def train_on_a_worker(
    dataset: Path,
    *,
    options: PeerOptions,
    persistence: Persistence = ONE_ATTEMPT,
    emit: Emit = lambda _: None,
    **how: Any,
) -> Completed:
    """Finds a worker in the room, has it train, and lays the models down.

    Cancelling this call cancels the job on the worker.

    Args:
        dataset: Labels, or a training job package.
        options: Server, room and connection.
        persistence: Whether to wait for a worker, and to begin again after a failure.
        emit: Takes what happens, see :mod:`sleaprtc.client.events.job`.
        how: All else, as :func:`training_order` has it.

    Raises:
        UsageError: A file or an option can't be as it is.
        NoWorkerError: No worker fits or accepts.
        JobFailedError: The job failed on the worker, or the worker was lost.
        TransferError: A file didn't get across.
        NetworkError: The server can't be reached.
        RefusedError: The server doesn't let the client in.
    """
    order = await training_order(dataset, emit=emit, **how)
    async with open_endeavour(order, options, persistence, emit) as endeavour:
        return await endeavour.run()
