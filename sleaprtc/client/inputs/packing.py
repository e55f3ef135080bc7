"""Packs labels that point to videos with their images, before they're sent.

Reading videos takes sleap-io, which many clients have only in SLEAP's own environment: packing is done by
another process, with whichever Python has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
import trio

from ...base.json_text import format_json
from ...base.sentences import as_clause
from ...errors import InvalidDatasetError
from ...formats.child import ask_child
from ...formats.with_sleap_io import TRAINER_PYTHON_VARIABLE, python_with_sleap_io, run_script
from ...transfer.names import plain_name
from ..events.job import Emit, Notice
from .dataset import Dataset, labels_info, unpack_package, without_images
from .labels_summary import AS_LABELS, LabelsSummary, VideoPlace
from .scratch import Scratch

SCRIPT: Final = Path(__file__).with_name("pack_labels.py")
READER_MODULE: Final = f"{__package__}.labels_reader"
LABELS_SUFFIX: Final = ".slp"

HOW_TO_PACK: Final = (
    "Packing needs sleap-io: run pip install sleap-io, or name the Python that has it with "
    f"{TRAINER_PYTHON_VARIABLE} (trainer_python in a settings file is for workers alone). "
    "Or save the labels with their images yourself: in SLEAP, File > Export "
    'Labels Package; in Python, labels.save("labels.pkg.slp", embed="user").'
)


async def read_with_images(path: Path, scratch: Scratch, *, embed: str, emit: Emit) -> Dataset:
    """Reads a dataset that can be sent; labels that point to videos are packed first.

    Args:
        path: Labels, or a training job package.
        scratch: Where a package goes, if one is made.
        embed: Which frames get their images: ``user`` for those that a person labelled, or ``all``.
        emit: Called when packing begins.

    Raises:
        InvalidDatasetError: It can't be read, or its images can't be found.
        InvalidTrainingConfigError: A configuration in a training job package can't be read.
    """
    found = await _read(path, scratch)
    if isinstance(found, Dataset):
        return found
    package = scratch.path / plain_name(f"{path.name.removesuffix('.slp')}.pkg.slp")
    await _pack(path, package, found, embed, emit)
    packed = await _read(package, scratch)
    if not isinstance(packed, Dataset):
        raise InvalidDatasetError(f"{path.name} still points to videos after it was packed.")
    return attrs.evolve(packed, packed_from=path)


async def _read(path: Path, scratch: Scratch) -> Dataset | Sequence[VideoPlace]:
    """Reads a dataset; returns where its videos are if it points to some.

    HDF5, in which labels are, can crash over a broken file, or never come to an end: a process of its own
    reads them. Unpacking them ends by itself, and takes as long as they are large.
    """
    if path.suffix != ".zip" or not await trio.Path(path).is_file():
        found = await _read_labels(path, path.name)
        if not isinstance(found, LabelsSummary):
            if path.suffix != LABELS_SUFFIX:
                raise without_images(path.name)
            return found
        return Dataset(path, labels_info(found), labelled=found.labelled, video_count=found.video_count)
    package = await trio.to_thread.run_sync(unpack_package, path, scratch.path)
    try:
        labels = await _read_labels(package.labels, path.name)
    finally:
        package.labels.unlink(missing_ok=True)
    if not isinstance(labels, LabelsSummary):
        raise without_images(path.name)
    return package.dataset(labels)


async def _read_labels(labels: Path, name: str) -> LabelsSummary | Sequence[VideoPlace]:
    answer = await ask_child(READER_MODULE, [str(labels)], name, InvalidDatasetError, as_what=AS_LABELS)
    if "labels" in answer:
        return LabelsSummary.from_json(answer["labels"])
    return [VideoPlace(**place) for place in answer["videos"]]


async def _pack(path: Path, package: Path, places: Sequence[VideoPlace], embed: str, emit: Emit) -> None:
    for place in places:
        is_needed = place.has_user_frames if embed == "user" else place.has_frames
        if is_needed and place.fault is not None:
            raise InvalidDatasetError(place.fault)
    python = python_with_sleap_io()
    if python is None:
        raise InvalidDatasetError(
            f"{path.name} points to videos on this machine, which a worker can't see. {HOW_TO_PACK}"
        )
    emit(Notice(f"{path.name} points to videos: packing its frames with their images."))
    stdin = format_json([attrs.asdict(place) for place in places]).encode()
    try:
        done = await run_script(python, SCRIPT, [str(path), str(package), embed], stdin)
    except OSError as error:
        raise InvalidDatasetError(
            f"{path.name} points to videos, and {python}, which should pack them, can't be run: "
            f"{as_clause(error)}."
        ) from error
    answer = done.found
    if "error" in answer:
        raise InvalidDatasetError(str(answer["error"]))
    if "frames" not in answer or not await trio.Path(package).is_file():
        raise InvalidDatasetError(
            f"{path.name} points to videos, which {python} can't pack: it ended with {done.exit_status}. "
            f"{HOW_TO_PACK}"
        )
    for sentence in answer.get("unused", ()):
        emit(Notice(f"{sentence} It has no labels, so the job doesn't need it."))
