"""Checks received predictions, makes them refer to the user's videos, and puts them in their place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
import trio

from ...base.sentences import as_clause, as_sentence
from ...errors import BrokenResultError, StorageError, UsageError
from ...formats import convert_predictions
from ...formats.child import ask_child
from ...formats.with_sleap_io import TRAINER_PYTHON_VARIABLE, python_with_sleap_io, run_script
from ...protocol.vocabulary import JobType, PredictionFormat
from ..events.job import Completed, Emit, Notice
from .delivery import TRY_ELSEWHERE, Destination, JobOutcome, free_path

VIDEO_PLACES_MODULE: Final = "sleaprtc.client.results.video_places"
CONVERTER: Final = Path(convert_predictions.__file__)


@attrs.frozen
class PredictionsFile(Destination):
    """One file of predictions.

    Attributes:
        path: Its path. If that exists, the new file gets a number.
        recording: The recording that was predicted on, as the user named it.
        replace: Whether to replace an existing file instead.
    """

    path: Path
    recording: Path
    replace: bool = False

    @property
    def folder(self) -> Path:
        """See :class:`~sleaprtc.client.results.delivery.Destination`."""
        return self.path.parent

    @property
    def file_name(self) -> str:
        """See :class:`~sleaprtc.client.results.delivery.Destination`."""
        return self.path.name

    @property
    def replaces(self) -> bool:
        """See :class:`~sleaprtc.client.results.delivery.Destination`."""
        return self.replace

    async def lay_down(self, job_id: str, worker_id: str, outcome: JobOutcome, emit: Emit) -> Completed:
        """Puts the predictions in their place.

        Raises:
            BrokenResultError: The result can't be read as predictions; it's kept where it arrived.
            StorageError: They can't be written.
        """
        received = _received(outcome.files)
        if received is None:
            raise BrokenResultError(f"{worker_id} sent no predictions. {TRY_ELSEWHERE}")
        try:
            prepared = await self._prepare(received, worker_id, emit)
        except BrokenResultError as error:
            raise BrokenResultError(
                f"What {worker_id} sent can't be used: {as_sentence(error)} {TRY_ELSEWHERE} "
                f"What came from the worker is kept as {received}."
            ) from error
        target = await trio.to_thread.run_sync(self._move, prepared)
        if prepared != received:
            received.unlink(missing_ok=True)
        result = outcome.complete.result if outcome.complete else None
        return Completed(
            job_id=job_id,
            worker=worker_id,
            job_type=JobType.INFERENCE,
            predictions=str(target),
            predictions_size_mb=result.predictions_size_mb if result else None,
            frame_count=result.frame_count if result else None,
            inference_duration_seconds=result.inference_duration_seconds if result else None,
            device=result.device if result else None,
        )

    @property
    def format(self) -> PredictionFormat:
        """The format that the file's name asks for."""
        try:
            return format_of(self.path)
        except UsageError:  # a job of a version that didn't know formats
            return PredictionFormat.SLP

    async def _prepare(self, received: Path, worker_id: str, emit: Emit) -> Path:
        """Checks what was received; returns the file to put in its place, in the wanted format if possible.

        Raises:
            BrokenResultError: It can't be used.
            StorageError: The disk doesn't take it.
        """
        if not received.name.endswith(PredictionFormat.SLP.suffix):
            await _check_converted(received)
            return received
        notice = await _prepare(received, self.recording)
        if notice is not None:
            emit(Notice(notice))
        if self.format == PredictionFormat.SLP:
            return received
        converted = received.with_name(f"converted{self.format.suffix}")
        reason = await _convert(received, converted, self.format)
        if reason is None:
            return converted
        converted.unlink(missing_ok=True)
        emit(Notice(f"The predictions are written as .slp, not as {self.format.suffix}: {reason}."))
        return received

    def _move(self, prepared: Path) -> Path:
        wanted = self.format.suffix
        suffix = next(
            (kind.suffix for kind in PredictionFormat if prepared.name.endswith(kind.suffix)), wanted
        )
        path = self.path
        if suffix != wanted:
            path = path.with_name(path.name.removesuffix(wanted) + suffix)
        elif not path.name.endswith(suffix):
            suffix = path.suffix
        target = path if self.replace and path == self.path else free_path(path, suffix)
        try:
            prepared.replace(target)
        except OSError as error:
            raise StorageError(
                f"{target} can't be written: {as_clause(error)}. The predictions are kept as {prepared}."
            ) from error
        return target


def format_of(path: Path) -> PredictionFormat:
    """Returns the format that a file for predictions has by its name.

    Raises:
        UsageError: It has none of those that there are.
    """
    for kind in PredictionFormat:
        if path.name.lower().endswith(kind.suffix) and len(path.name) > len(kind.suffix):
            return kind
    known = ", ".join(kind.suffix for kind in PredictionFormat)
    raise UsageError(f"{path} can't be written: its name must end with a format for predictions, {known}.")


def _received(files: Sequence[Path]) -> Path | None:
    suffixes = tuple(kind.suffix for kind in PredictionFormat)
    return next((file for file in files if file.name.endswith(suffixes)), None)


async def _convert(received: Path, target: Path, kind: PredictionFormat) -> str | None:
    """Writes predictions in another format; returns a clause on why that isn't possible, or None."""
    python = python_with_sleap_io()
    if python is None:
        return (
            "the worker doesn't write it, and converting them here needs sleap-io "
            f"(pip install sleap-io, or {TRAINER_PYTHON_VARIABLE})"
        )
    try:
        done = await run_script(python, CONVERTER, [str(received), str(target), kind.value])
    except OSError as error:
        return f"{python} can't be run ({as_clause(error)})"
    if "error" in done.found:
        return str(done.found["error"])
    is_there = await trio.Path(target).is_file()
    return None if is_there else f"{python} can't convert them, and ended with {done.exit_status}"


async def _check_converted(received: Path) -> None:
    """Checks a file of another format, in a process of its own where a library reads it."""
    await ask_child(
        VIDEO_PLACES_MODULE, [str(received)], received.name, BrokenResultError, as_what="predictions"
    )


async def _prepare(received: Path, recording: Path) -> str | None:
    """Runs :func:`sleaprtc.client.results.video_places.prepare_predictions` in a process of its own."""
    arguments = [str(received), str(recording)]
    answer = await ask_child(
        VIDEO_PLACES_MODULE, arguments, received.name, BrokenResultError, as_what="predictions"
    )
    notice = answer.get("notice")
    return notice if isinstance(notice, str) else None
