"""Received HDF5 files, which ``.slp`` files are: whether they would make a reader open other files."""

from __future__ import annotations

from typing import Final

import h5py

MAX_HDF5_OBJECTS: Final = 200_000
"""An embedded video is four objects."""


def outside_reference(file: h5py.File) -> str | None:
    """Says, as the end of a sentence, what of a file lies in other files: links and data can be told to."""
    pending: list[h5py.Group] = [file]
    seen = 0
    while pending:
        group = pending.pop()
        for key in group:
            seen += 1
            if seen > MAX_HDF5_OBJECTS:
                return "has more parts than any SLEAP dataset."
            link = group.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                return f"links to another file ({key}), which isn't allowed."
            if not isinstance(link, h5py.HardLink):
                continue  # a link inside the file: its target is visited where it lies
            item = group[key]
            if isinstance(item, h5py.Group):
                pending.append(item)
            elif item.external or item.is_virtual:
                return f"keeps {key} in another file, which isn't allowed."
    return None
