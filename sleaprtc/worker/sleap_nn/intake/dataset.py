"""Asks a separate process what a received ``.slp`` holds.

The file comes from a stranger and is parsed by a C library, so :mod:`.dataset_reader` reads it in a process
that may crash, hang or run out of memory without harm. Nothing here imports that library.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

from ....errors import InvalidDatasetError
from ....formats.child import ask_child
from .dataset_summary import DatasetSummary

READER_MODULE: Final = f"{__package__}.dataset_reader"

_ask = functools.partial(ask_child, READER_MODULE, error=InvalidDatasetError, as_what="a SLEAP dataset")


async def inspect_dataset(path: Path) -> DatasetSummary:
    """Reads a dataset's summary in a separate process.

    Raises:
        InvalidDatasetError: The file isn't a readable SLEAP dataset, has nothing labelled, or refers
            to images outside itself.
    """
    answer = await _ask(["summary", str(path)], path.name)
    return DatasetSummary(**{**answer, "node_names": tuple(answer["node_names"])})


async def inspect_images(path: Path) -> int:
    """Checks in a separate process that a dataset has its images; returns its number of frames.

    Raises:
        InvalidDatasetError: The file isn't a readable SLEAP dataset, has no frames, or refers to images
            outside itself.
    """
    return int((await _ask(["images", str(path)], path.name))["frame_count"])


async def count_predicted_frames(path: Path) -> int:
    """Counts the frames in a file of predictions, in a separate process.

    Raises:
        InvalidDatasetError: It can't be read.
    """
    return int((await _ask(["predictions", str(path)], path.name))["frame_count"])
