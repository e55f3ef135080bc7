"""Predicting on a worker, as one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import trio

from ...access.place import PeerOptions
from ...base.sentences import as_clause
from ...errors import InvalidDatasetError, UsageError
from ...jobs.frames import parse_frames
from ...jobs.negotiation import SelectionRule
from ...jobs.properties import WORKER_TAGS
from ...protocol.jobs import DatasetInfo
from ...protocol.limits import JOB_RESPONSE_TIMEOUT_SEC, MIB
from ...protocol.messages import JSONObject
from ...protocol.vocabulary import DatasetFormat, JobType, Purpose
from ...transfer.file_signatures import VIDEO_SUFFIXES, begins_as_video
from ..events.job import Completed, Emit, Notice
from ..inputs.dataset import Dataset
from ..inputs.files import OutgoingFile
from ..inputs.models import POSITIONS_ONLY, model_info, needed_models, pack_models, read_models
from ..inputs.packing import read_with_images
from ..inputs.scratch import Scratch
from ..records.files import JobRecord
from ..results.predictions import PredictionsFile
from ..room import installed_sleap_version
from .filters import worker_filters
from .retry import ONE_ATTEMPT, Persistence, open_endeavour
from .submit import JobOrder

INFERENCE_TAG: Final = WORKER_TAGS[JobType.INFERENCE]


def default_out(recording: Path) -> Path:
    """What predictions are called where nobody says: ``video.predictions.slp``, where the command is run."""
    return Path(f"{recording.name.removesuffix(recording.suffix).removesuffix('.pkg')}.predictions.slp")


async def tracking_order(
    recording: Path,
    models: Sequence[Path],
    *,
    out: Path | None = None,
    replace: bool = False,
    settings: Mapping[str, Any] | None = None,
    filters: JSONObject | None = None,
    min_gpu_memory_mb: float = 0,
    worker: str | None = None,
    rule: SelectionRule = SelectionRule.FASTEST,
    response_timeout_sec: float = JOB_RESPONSE_TIMEOUT_SEC,
    emit: Emit = lambda _: None,
) -> JobOrder:
    """Reads what is to be predicted on with which models, and says how.

    Args:
        recording: A video, or labels, whose labelled frames are looked at.
        models: Model folders, or folders of model folders.
        out: Where the predictions go.
        replace: Whether they take the place of a file that exists; else they get a number.
        settings: ``peak_threshold batch_size frames tracking``, those that aren't to be the worker's.
        filters: Which workers fit, as in a discovery; all that predict by default.
        min_gpu_memory_mb: What a worker must have.
        worker: The only worker to ask.
        rule: Which of the workers that accept gets the job.
        response_timeout_sec: How long to wait for answers.
        emit: Takes what happens meanwhile.

    Raises:
        UsageError: A file can't be read as what it should be, or a setting can't be as it is.
    """
    target = _checked_out(out or default_out(recording), recording)
    chosen = dict(settings or {})
    frame_count = _count_frames(chosen.get("frames"))
    found = await trio.to_thread.run_sync(read_models, models)
    scratch = Scratch()
    try:
        dataset = await _read_recording(recording, scratch, frame_count, emit)
        archives = await trio.to_thread.run_sync(pack_models, needed_models(found), scratch.path)
    except BaseException:
        scratch.remove()
        raise
    if [model.head for model in found] == ["centroid"]:
        emit(Notice(POSITIONS_ONLY))
    return JobOrder(
        dataset=dataset,
        settings=chosen,
        destination=PredictionsFile(target, recording, replace),
        filters=_predicting(filters or worker_filters()),
        job_type=JobType.INFERENCE,
        models=archives,
        model_dirs=tuple(model.folder for model in found),
        model_info=model_info(found),
        min_gpu_memory_mb=min_gpu_memory_mb,
        worker=worker,
        rule=rule,
        response_timeout_sec=response_timeout_sec,
        sleap_version=installed_sleap_version(),
        scratch=scratch,
    )


async def track_on_a_worker(
    recording: Path,
    models: Sequence[Path],
    *,
    options: PeerOptions,
    persistence: Persistence = ONE_ATTEMPT,
    emit: Emit = lambda _: None,
    **how: Any,
) -> Completed:
    """Finds a worker in the room, has it predict, and lays the predictions down.

    Cancelling this call cancels the job on the worker.

    Args:
        recording: A video, or labels.
        models: Model folders.
        options: Server, room and connection.
        persistence: Whether to wait for a worker, and to begin again after a failure.
        emit: Takes what happens, see :mod:`sleaprtc.client.events.job`.
        how: All else, as :func:`tracking_order` has it.

    Raises:
        UsageError: A file or an option can't be as it is.
        NoWorkerError: No worker fits or accepts.
        JobFailedError: The job failed on the worker, or the worker was lost.
        TransferError: A file didn't get across.
        NetworkError: The server can't be reached.
        RefusedError: The server doesn't let the client in.
    """
    order = await tracking_order(recording, models, emit=emit, **how)
    async with open_endeavour(order, options, persistence, emit) as endeavour:
        return await endeavour.run()


async def tracking_inputs(record: JobRecord, scratch: Scratch, emit: Emit) -> tuple[OutgoingFile, ...]:
    """Makes the files of an inference again that another process began to send.

    Args:
        record: The job's.
        scratch: Where files are made.
        emit: Takes what happens meanwhile.

    Raises:
        UsageError: A file can't be read as what it was.
    """
    models = await trio.to_thread.run_sync(read_models, [Path(path) for path in record.models])
    archives = await trio.to_thread.run_sync(pack_models, models, scratch.path)
    dataset = await _read_recording(Path(record.dataset), scratch, None, emit)
    return (
        *(OutgoingFile(path, Purpose.MODEL) for path in archives),
        OutgoingFile(dataset.path, Purpose.DATASET),
    )


async def _read_recording(recording: Path, scratch: Scratch, frame_count: int | None, emit: Emit) -> Dataset:
    if recording.suffix.lower() in VIDEO_SUFFIXES:
        return await trio.to_thread.run_sync(_describe_video, recording, frame_count)
    if recording.suffix.lower() != ".slp":
        known = ", ".join(sorted(VIDEO_SUFFIXES))
        raise InvalidDatasetError(f"{recording} is neither labels (.slp) nor a video ({known}).")
    return await read_with_images(recording, scratch, embed="all", emit=emit)


def _describe_video(path: Path, frame_count: int | None) -> Dataset:
    try:
        is_video, size_mb = begins_as_video(path), round(path.stat().st_size / MIB, 3)
    except OSError as error:
        raise InvalidDatasetError(f"{path} can't be read: {as_clause(error)}.") from error
    if not is_video:
        raise InvalidDatasetError(f"{path} isn't a video file: it begins like none.")
    return Dataset(path, DatasetInfo(DatasetFormat.VIDEO, frame_count, None, size_mb))


def _checked_out(target: Path, recording: Path) -> Path:
    if target.exists() and target.samefile(recording):
        raise UsageError(f"{target} is what is predicted on: name another file for the predictions.")
    return target


def _count_frames(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return sum(map(len, parse_frames(text)))
    except ValueError as error:
        raise UsageError(str(error)) from error


def _predicting(filters: JSONObject) -> JSONObject:
    tags = [tag for tag in filters.get("tags", ()) if tag != INFERENCE_TAG]
    return {**filters, "tags": [*tags, INFERENCE_TAG]}
