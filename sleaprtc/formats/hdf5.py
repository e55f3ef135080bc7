"""Reads untrusted HDF5 files, such as ``.slp`` files, within limits of time and memory.

A file can claim far more than it contains: tables that were never written or that compress to a thousandth,
chunks so large that one fills the memory, and groups that contain themselves. What an object claims is
checked before any of its data is read. The C library can crash on a broken file, so untrusted files must be
read in a process of their own (:mod:`sleaprtc.formats.child`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from ..base.json_text import parse_json
from ..errors import SleapRTCError
from .reading import HDF5, FileLimitError, reading, shown

MAX_OBJECTS: Final = 200_000
"""An embedded video has four objects. Checking this many takes two seconds."""

MAX_TABLE_BYTES: Final = 512 * 2**20
"""For one table in memory: 29 million points."""

MAX_BLOCK_BYTES: Final = 64 * 2**20
"""For a chunk, which is decompressed whole even if only a part is read. Writers choose 1 MiB or less."""

MAX_TEXT_BYTES: Final = 32 * 2**20
MAX_TEXTS: Final = 100_000
"""Limits for descriptions. A video's has about 500 bytes; one of ten thousand images has about a MiB."""

MAX_RATIO: Final = 200
"""A table's size in memory over its size in the file. Points compress to a twentieth at best."""

RATIO_FREE_BYTES: Final = 16 * 2**20
"""Smaller tables can't do any harm, however well they compress."""


@contextmanager
def open_hdf5(
    path: Path, error: type[SleapRTCError], *, as_what: str, self_contained: bool = True
) -> Iterator[h5py.File]:
    """Opens an HDF5 file; whatever its content makes the block raise becomes ``error``.

    Args:
        path: The file.
        error: The class to raise for a broken file.
        as_what: What it's read as, for messages.
        self_contained: Whether to refuse links to, and data in, other files.

    Raises:
        SleapRTCError: Of the class ``error``: it can't be read, or isn't self-contained.
        StorageError: The disk failed.
    """
    with reading(HDF5, path.name, error, as_what=as_what), h5py.File(path, "r") as file:
        if self_contained and (fault := outside_reference(file)) is not None:
            raise error(f"{path.name} {fault}")
        yield file


def outside_reference(file: h5py.File) -> str | None:
    """Returns, as the end of a sentence, which part of a file is in another file; None if all is inside.

    HDF5 links, and the data of datasets, may refer to other files. Each object is checked once, however many
    links there are to it.
    """
    pending = [h5py.h5g.open(file.id, b"/")]
    seen: set[int] = set()
    link_count = 0
    while pending:
        group = pending.pop()
        links: list[tuple[bytes, Any]] = []
        room = MAX_OBJECTS - link_count

        def note(name: bytes, info: Any, links: list[tuple[bytes, Any]] = links, room: int = room) -> Any:
            links.append((name, (info.type, info.u)))
            return None if len(links) <= room else "enough"

        group.links.iterate(note, info=True)
        if len(links) > room:
            return "has more parts than any SLEAP dataset."
        link_count += len(links)
        for name, (kind, address) in links:
            if kind == h5py.h5l.TYPE_SOFT:
                continue  # a link within the file: its target is checked in its own group
            if kind != h5py.h5l.TYPE_HARD:
                return f"links to another file ({shown(name)}), which isn't allowed."
            if address in seen:
                continue
            seen.add(address)
            item = h5py.h5o.open(group, name)
            if isinstance(item, h5py.h5g.GroupID):
                pending.append(item)
            elif isinstance(item, h5py.h5d.DatasetID) and _lies_elsewhere(item):
                return f"keeps {shown(name)} in another file, which isn't allowed."
    return None


def _lies_elsewhere(dataset: h5py.h5d.DatasetID) -> bool:
    made = dataset.get_create_plist()
    return bool(made.get_external_count()) or made.get_layout() == h5py.h5d.VIRTUAL


def read_table(file: h5py.File, name: str) -> np.ndarray:
    """Reads a whole table of numbers.

    Raises:
        FileLimitError: It exceeds the limits. :func:`open_hdf5` translates other exceptions.
    """
    table = _dataset(file, name)
    if table.dtype.hasobject or table.ndim != 1:
        raise ValueError(f"the table {name} has unexpected columns")
    _check_size(table, name, MAX_TABLE_BYTES)
    rows: np.ndarray = table[:]
    return rows


def row_count(file: h5py.File, name: str) -> int:
    """Returns how many rows a table claims to have, without reading any."""
    return len(_dataset(file, name))


def read_texts(file: h5py.File, name: str) -> list[Any]:
    """Reads a list of texts, each as bytes or as a string.

    Raises:
        FileLimitError: They exceed the limits. :func:`open_hdf5` translates other exceptions.
    """
    texts = _dataset(file, name)
    if texts.ndim != 1 or texts.shape[0] > MAX_TEXTS:
        raise FileLimitError(f"{name} isn't a list, or is too long")
    _check_size(texts, name, MAX_TEXT_BYTES)
    if not texts.dtype.hasobject:
        return list(texts[:])
    found, left_bytes = [], MAX_TEXT_BYTES
    for number in range(texts.shape[0]):  # one at a time, since many entries can refer to the same long text
        found.append(texts[number])
        left_bytes -= len(found[-1])
        if left_bytes < 0:
            raise FileLimitError(f"{name} is too large")
    return found


def read_json_list(file: h5py.File, name: str) -> list[Any]:
    """Reads a list of JSON texts, such as ``videos_json``, and parses them."""
    return [parse_json(text) for text in read_texts(file, name)]


def read_json_attribute(file: h5py.File, name: str, attribute: str) -> Any:
    """Reads and parses a JSON text that is an object's attribute, such as ``json`` of ``metadata``.

    Raises:
        FileLimitError: It's too large. :func:`open_hdf5` translates other exceptions.
    """
    attributes = file[name].attrs
    described = attributes.get_id(attribute)
    if math.prod(described.shape or ()) != 1 or described.dtype.itemsize > MAX_TEXT_BYTES:
        raise FileLimitError(f"{name} has a description that is too large")
    text = attributes[attribute]
    if isinstance(text, np.ndarray):
        text = text.item()
    if len(text) > MAX_TEXT_BYTES:
        raise FileLimitError(f"{name} has a description that is too large")
    return parse_json(text)


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    item = file[name]
    if not isinstance(item, h5py.Dataset) or item.shape is None:
        raise ValueError(f"{name} isn't a table")
    return item


def _check_size(dataset: h5py.Dataset, name: str, max_bytes: int) -> None:
    claimed_bytes = math.prod(dataset.shape) * dataset.dtype.itemsize
    if claimed_bytes > max_bytes:
        raise FileLimitError(f"{name} has {claimed_bytes // 2**20} MiB, which is too large")
    block_bytes = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if block_bytes > MAX_BLOCK_BYTES:
        raise FileLimitError(f"{name} has blocks of {block_bytes // 2**20} MiB, which is too large")
    held_bytes = min(dataset.id.get_storage_size(), Path(dataset.file.filename).stat().st_size)
    if claimed_bytes > max(RATIO_FREE_BYTES, MAX_RATIO * held_bytes):
        raise FileLimitError(f"{name} is packed too densely to be true")
