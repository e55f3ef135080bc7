"""Predictions that came back: looked at, made to point to the videos they are about, and laid down."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

import attrs
import trio

from ..documents import parse_json
from ..errors import StorageError, TransferError
from ..sentences import as_clause, as_sentence
from .events import Completed, Emit, Notice
from .job_files import JobOutcome
from .outcome import Destination, free_path

PREDICTIONS_SUFFIX: Final = ".slp"


@attrs.frozen
class PredictionsFile(Destination):
    """One file of predictions.

    Attributes:
        path: What it's to be called; where that exists already, the new one gets a number.
        recording: What was predicted on, as the person named it.
        replace: Whether it takes the place of a file that exists already.
    """

    path: Path
    recording: Path
    replace: bool = False

    @property
    def folder(self) -> Path:
        """See :class:`~sleaprtc.client.outcome.Destination`."""
        return self.path.parent

    @property
    def file_name(self) -> str:
        """See :class:`~sleaprtc.client.outcome.Destination`."""
        return self.path.name

    @property
    def replaces(self) -> bool:
        """See :class:`~sleaprtc.client.outcome.Destination`."""
        return self.replace

    async def lay_down(self, job_id: str, worker_id: str, outcome: JobOutcome, emit: Emit) -> Completed:
        """Puts the predictions in their place.

        Raises:
            TransferError: What came back isn't readable as predictions; it's kept where it arrived.
            StorageError: They can't be written.
        """
        received = next((file for file in outcome.files if file.suffix == PREDICTIONS_SUFFIX), None)
        if received is None:
            raise TransferError(f"{worker_id} sent no predictions.")
        try:
            notice = await trio.to_thread.run_sync(prepare_predictions, received, self.recording)
        except TransferError as error:
            raise TransferError(
                f"{as_sentence(error)} What came from the worker is kept as {received}."
            ) from error
        if notice is not None:
            emit(Notice(notice))
        target = await trio.to_thread.run_sync(self._move, received)
        result = outcome.complete.result if outcome.complete else None
        return Completed(
            job_id=job_id,
            worker=worker_id,
            job_type="inference",
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


def prepare_predictions(path: Path, recording: Path) -> str | None:
    """Checks that predictions can be read, and writes into them where their videos are on this machine.

    Returns:
        What a person should know where the videos' places couldn't be told, else None.

    Raises:
        TransferError: They can't be read, or would make a reader open other files.
        StorageError: The disk doesn't take it; they stay as they were.
    """
    import h5py  # 0.1 s that only predictions should cost

    from ..transfer.hdf5_links import outside_reference

    try:
        with h5py.File(path, "r") as file:
            fault = outside_reference(file)
            if fault is not None:
                raise TransferError(f"What came back isn't taken: {path.name} {fault.rstrip('.')}.")
            len(file["frames"])
            parse_json(file["metadata"].attrs["json"])
            videos = [parse_json(video) for video in file["videos_json"][:]]
            placed = place_videos(videos, recording)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise TransferError(f"What came back isn't readable as predictions: {as_clause(error)}.") from error
    if placed is None:
        return f"The predictions don't say where the videos of {recording.name} are."
    _write_videos(path, placed)
    return None


def _write_videos(path: Path, videos: Sequence[dict[str, Any]]) -> None:
    """Writes them into a copy that takes the file's place: a full disk spoils no predictions."""
    import h5py

    copy = path.with_name(f".{path.name}.placed")
    texts = [json.dumps(video, separators=(",", ":")) for video in videos]
    try:
        shutil.copyfile(path, copy)
        with h5py.File(copy, "r+") as file:
            del file["videos_json"]
            file.create_dataset("videos_json", data=texts, dtype=h5py.string_dtype(), maxshape=(None,))
        copy.replace(path)
    except (OSError, RuntimeError) as error:
        raise StorageError(
            f"{path.name} can't be given its videos' places: {as_clause(error)}. "
            f"The predictions are kept as {path}."
        ) from error
    finally:
        copy.unlink(missing_ok=True)


def place_videos(videos: Sequence[dict[str, Any]], recording: Path) -> list[dict[str, Any]] | None:
    """Says of a file's videos where they are on this machine.

    Args:
        videos: As the predictions describe them.
        recording: A video, or labels in whose order the predictions' videos are.

    Returns:
        The descriptions anew, or None where the recording has other videos, or can't be read any more.
    """
    if recording.suffix.lower() != PREDICTIONS_SUFFIX:
        return [_at(video, str(recording.absolute())) for video in videos] if len(videos) == 1 else None
    try:
        own = _videos_of(recording)
        return _placed(videos, own, recording) if len(own) == len(videos) else None
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError):
        return None  # the recording was moved or changed meanwhile, which is no fault of the predictions


def _placed(
    videos: Sequence[dict[str, Any]], own: Sequence[dict[str, Any]], recording: Path
) -> list[dict[str, Any]]:
    placed = []
    for video, original in zip(videos, own, strict=True):
        name = original["backend"].get("filename", original.get("filename"))
        if name == ".":  # embedded: the package has the images
            placed.append(_at(video, str(recording.absolute())))
        else:
            placed.append(_at(original, _found(str(name), recording.absolute().parent)))
    return placed


def _videos_of(labels: Path) -> list[dict[str, Any]]:
    import h5py

    with h5py.File(labels, "r") as file:
        return [parse_json(video) for video in file["videos_json"][:]]


def _at(video: dict[str, Any], filename: str) -> dict[str, Any]:
    return {**video, "filename": filename, "backend": {**video.get("backend", {}), "filename": filename}}


def _found(name: str, folder: Path) -> str:
    """Where a video is that labels in ``folder`` point to: where they say, or beside them."""
    beside = folder / PureWindowsPath(name).name  # either system's separators
    is_absolute = PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute() or "://" in name
    said = [name] if is_absolute else [str(folder / name), str(Path(name).absolute())]
    return next((place for place in (*said, str(beside)) if Path(place).is_file()), said[0])
