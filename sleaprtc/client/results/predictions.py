"""Checks received predictions, makes them refer to the user's videos, and puts them in their place."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs
import trio

from ...base.sentences import as_clause, as_sentence
from ...errors import BrokenResultError, StorageError
from ...formats.child import ask_child
from ...protocol.vocabulary import JobType
from ..events.job import Completed, Emit, Notice
from .delivery import TRY_ELSEWHERE, Destination, JobOutcome, free_path

PREDICTIONS_SUFFIX: Final = ".slp"
VIDEO_PLACES_MODULE: Final = "sleaprtc.client.results.video_places"


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
        received = next((file for file in outcome.files if file.suffix == PREDICTIONS_SUFFIX), None)
        if received is None:
            raise BrokenResultError(f"{worker_id} sent no predictions. {TRY_ELSEWHERE}")
        try:
            notice = await _prepare(received, self.recording)
        except BrokenResultError as error:
            raise BrokenResultError(
                f"What {worker_id} sent can't be used: {as_sentence(error)} {TRY_ELSEWHERE} "
                f"What came from the worker is kept as {received}."
            ) from error
        if notice is not None:
            emit(Notice(notice))
        target = await trio.to_thread.run_sync(self._move, received)
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

    def _move(self, received: Path) -> Path:
        target = self.path if self.replace else free_path(self.path, self.path.suffix)
        try:
            received.replace(target)
        except OSError as error:
            raise StorageError(
                f"{target} can't be written: {as_clause(error)}. The predictions are kept as {received}."
            ) from error
        return target


async def _prepare(received: Path, recording: Path) -> str | None:
    """Runs :func:`sleaprtc.client.results.video_places.prepare_predictions` in a process of its own."""
    arguments = [str(received), str(recording)]
    answer = await ask_child(
        VIDEO_PLACES_MODULE, arguments, received.name, BrokenResultError, as_what="predictions"
    )
    notice = answer.get("notice")
    return notice if isinstance(notice, str) else None
