"""Predicting on a worker, as one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
import trio

from ...access.place import PeerOptions
from ...base.sentences import as_clause
from ...errors import InvalidDatasetError, UsageError
from ...formats.video_containers import fault_of_container, stated_frame_count
from ...formats.with_sleap_io import python_with_sleap_io
from ...jobs.frames import count_inside, outside, parse_frames
from ...protocol.jobs import DatasetInfo
from ...protocol.limits import MIB
from ...protocol.vocabulary import DatasetFormat, JobType, PredictionFormat, Purpose
from ...transfer.file_signatures import VIDEO_SUFFIXES, begins_as_video
from ...transfer.names import MAX_NAME_BYTES, shortened
from ..events.job import Completed, Detached, Emit, Notice
from ..inputs.dataset import Dataset
from ..inputs.files import OutgoingFile
from ..inputs.models import POSITIONS_ONLY, model_info, needed_models, pack_models, read_models
from ..inputs.packing import read_with_images
from ..inputs.scratch import Scratch
from ..records.files import JobRecord
from ..results.predictions import PredictionsFile, format_of
from ..room import installed_sleap_version
from .order.control import JobControl
from .order.filters import WhichWorker
from .order.job_order import JobOrder
from .order.persistence import ONE_ATTEMPT, Persistence
from .order.settings import PredictionSettings
from .submission.retry import carry_out

NUMBER_BYTES: Final = 8
"""What is kept free in a name for a number, which it gets if there is such a file."""


def default_out(recording: Path) -> Path:
    """The default file for predictions: ``NAME.predictions.slp`` in the working directory."""
    name = recording.name.removesuffix(recording.suffix).removesuffix(".pkg")
    return Path(shortened(f"{name}.predictions.slp", MAX_NAME_BYTES - NUMBER_BYTES))


async def tracking_order(
    recording: Path,
    models: Sequence[Path],
    *,
    out: Path | None = None,
    replace: bool = False,
    settings: PredictionSettings | None = None,
    which: WhichWorker | None = None,
    emit: Emit = lambda _: None,
) -> JobOrder:
    """Reads what to predict on and the models to use, and makes the order for it.

    Args:
        recording: A video, or labels: then their labelled frames are predicted.
        models: Model folders, or folders of model folders.
        out: Where the predictions go; its name's end is their format, ``.slp``, ``.csv``, ``.analysis.h5`` or
            ``.nwb``.
        replace: Whether to replace a file that exists; otherwise the new one gets a number.
        settings: What not to leave to the worker.
        which: Which of the workers that predict gets the job; any by default.
        emit: Called with what happens meanwhile.

    Raises:
        UsageError: A file can't be read as what it should be, or a setting isn't valid.
    """
    settings, which = settings or PredictionSettings(), which or WhichWorker()
    target = _checked_out(out or default_out(recording), recording)
    kind = format_of(target)
    if kind != PredictionFormat.SLP and python_with_sleap_io() is None:
        settings = attrs.evolve(settings, format=kind)  # else it's written here, with the videos' paths
    ranges = _ranges(settings.frames)
    found = await trio.to_thread.run_sync(read_models, models)
    scratch = Scratch()
    try:
        dataset = await _read_recording(recording, scratch, ranges, emit)
        _check_format(kind, dataset, target)
        archives = await trio.to_thread.run_sync(pack_models, needed_models(found), scratch.path)
    except BaseException:
        scratch.remove()
        raise
    if [model.head for model in found] == ["centroid"]:
        emit(Notice(POSITIONS_ONLY))
    return JobOrder(
        dataset=dataset,
        settings=settings,
        destination=PredictionsFile(target, recording, replace),
        which=which.that_predict(),
        job_type=JobType.INFERENCE,
        models=archives,
        model_dirs=tuple(model.folder for model in found),
        model_info=model_info(found),
        sleap_version=installed_sleap_version(),
        scratch=scratch,
    )


async def track_on_a_worker(
    recording: Path,
    models: Sequence[Path],
    *,
    options: PeerOptions,
    out: Path | None = None,
    replace: bool = False,
    settings: PredictionSettings | None = None,
    which: WhichWorker | None = None,
    persistence: Persistence = ONE_ATTEMPT,
    emit: Emit = lambda _: None,
    control: JobControl | None = None,
) -> Completed | Detached:
    """Finds a worker in the room, predicts on it, and saves the predictions, or leaves the job there.

    Cancelling this call leaves a job whose work has begun to its worker, unless ``control`` says otherwise.

    Args:
        recording: As for :func:`tracking_order`, as are ``models``, ``out``, ``replace``, ``settings`` and
            ``which``.
        models: Model folders.
        options: Server, room and connection.
        out: Where the predictions go.
        replace: Whether to replace a file that exists.
        settings: What not to leave to the worker.
        which: Which worker gets the job.
        persistence: How long to wait for a worker, how often to retry, and how far to follow the job.
        emit: Called with what happens, see :mod:`sleaprtc.client.events.job`.
        control: What a person wants of the job.

    Raises:
        UsageError: A file or an option isn't valid.
        NoWorkerError: No worker fits or accepts.
        JobFailedError: The job failed on the worker, or the worker was lost.
        TransferError: A file couldn't be sent or received.
        NetworkError: The server can't be reached.
        RefusedError: The server refuses the client.
    """
    order = await tracking_order(
        recording, models, out=out, replace=replace, settings=settings, which=which, emit=emit
    )
    return await carry_out(order, options, persistence, emit, control)


async def tracking_inputs(record: JobRecord, scratch: Scratch, emit: Emit) -> tuple[OutgoingFile, ...]:
    """Makes the input files of an inference again, which another process began to send.

    Args:
        record: The job's record.
        scratch: Where to make files.
        emit: Called with what happens meanwhile.

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


async def _read_recording(
    recording: Path, scratch: Scratch, ranges: Sequence[range] | None, emit: Emit
) -> Dataset:
    if recording.suffix.lower() in VIDEO_SUFFIXES:
        return await trio.to_thread.run_sync(_describe_video, recording, ranges, emit)
    if recording.suffix.lower() != ".slp":
        known = ", ".join(sorted(VIDEO_SUFFIXES))
        raise InvalidDatasetError(f"{recording} is neither labels (.slp) nor a video ({known}).")
    dataset = await read_with_images(recording, scratch, embed="all", emit=emit)
    _check_frames(recording, ranges, dataset.info.frame_count, emit)
    return dataset


def _describe_video(path: Path, ranges: Sequence[range] | None, emit: Emit) -> Dataset:
    try:
        is_video, size_mb = begins_as_video(path), round(path.stat().st_size / MIB, 3)
        frame_count = stated_frame_count(path)
    except OSError as error:
        raise InvalidDatasetError(f"{path} can't be read: {as_clause(error)}.") from error
    if not is_video:
        raise InvalidDatasetError(f"{path} isn't a video file: it doesn't begin like one.")
    if (fault := fault_of_container(path)) is not None:
        raise InvalidDatasetError(f"{path} {fault}")
    _check_frames(path, ranges, frame_count, emit)
    wanted = None if ranges is None else sum(map(len, ranges))
    return Dataset(path, DatasetInfo(DatasetFormat.VIDEO, wanted, None, size_mb))


def _check_frames(
    recording: Path, ranges: Sequence[range] | None, frame_count: int | None, emit: Emit
) -> None:
    """Says if frames are wanted that a recording doesn't have; the worker does if that isn't known here."""
    sentence = None if ranges is None or not frame_count else outside(ranges, frame_count, recording.name)
    if sentence is None or ranges is None or frame_count is None:
        return
    if not count_inside(ranges, frame_count):
        raise UsageError(sentence)
    emit(Notice(f"{sentence} The others are predicted."))


def _check_format(kind: PredictionFormat, dataset: Dataset, target: Path) -> None:
    if kind == PredictionFormat.ANALYSIS and dataset.video_count > 1:
        raise UsageError(
            f"{target.name} can hold the predictions of one video only, and {dataset.named.name} has frames "
            f"of {dataset.video_count}. Choose .slp, .csv or .nwb."
        )


def _checked_out(target: Path, recording: Path) -> Path:
    try:
        is_recording = target.exists() and target.samefile(recording)
    except OSError as error:
        raise UsageError(f"The predictions can't be written to {target}: {as_clause(error)}.") from error
    if is_recording:
        raise UsageError(f"{target} is what to predict on: name another file for the predictions.")
    return target


def _ranges(text: str | None) -> Sequence[range] | None:
    if text is None:
        return None
    try:
        return parse_frames(text)
    except ValueError as error:
        raise UsageError(str(error)) from error
