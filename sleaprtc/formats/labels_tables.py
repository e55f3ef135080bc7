"""Reads the tables of SLEAP's labels: who labelled what, and with which skeleton.

The layout is SLEAP's (https://io.sleap.ai/latest/formats/#sleap): tables of frames, instances and points,
and the skeletons as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import h5py
import numpy as np

from ..errors import InvalidDatasetError
from .hdf5 import read_json_attribute

BLOCK_POINTS: Final = 1_000_000
"""Points that are processed together."""

MAX_COORDINATE_PX: Final = 1e7
MAX_NODES: Final = 10_000
"""A dataset that claims more is broken."""

USER_INSTANCE: Final = 0
"""SLEAP's ``instance_type`` of what a person labelled; 1 is a prediction."""

EDGE: Final = 1
"""SLEAP's ``EdgeType.BODY``; 2 is a symmetry."""


def bounding_box_sides(instances: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Returns the longer side of each instance's visible points, in pixels, as an array of (instances,).

    It is NaN for predictions and for instances without a visible point.

    Args:
        instances: The labels' table of instances.
        points: Their table of points.
    """
    sides = np.full(instances.shape, np.nan)
    numbers = np.flatnonzero(instances["instance_type"] == USER_INSTANCE)
    starts, ends = (instances[f"point_id_{end}"][numbers].astype(np.int64) for end in ("start", "end"))
    counts = ends - starts
    if counts.size and (starts.min() < 0 or counts.min() < 0 or ends.max() > points.size):
        raise ValueError("an instance has points that aren't there")
    if counts.sum(dtype=float) > points.size:
        raise ValueError("instances share their points")
    block, next_block = 0, 0
    blocks = np.cumsum(counts) // BLOCK_POINTS
    while block < numbers.size:
        next_block = int(np.searchsorted(blocks, blocks[block], side="right"))
        chosen = slice(block, next_block)
        sides[numbers[chosen]] = _sides_of_block(points, starts[chosen], counts[chosen])
        block = next_block
    return sides


def _sides_of_block(points: np.ndarray, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    owner = np.repeat(np.arange(counts.size), counts)
    offsets = np.arange(owner.size) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = points[np.repeat(starts, counts) + offsets]
    is_seen = rows["visible"].astype(bool) & np.isfinite(rows["x"]) & np.isfinite(rows["y"])
    longer = np.full(counts.size, np.nan)
    for axis in ("x", "y"):
        places = rows[axis][is_seen].astype(float)
        if places.size and np.abs(places).max() > MAX_COORDINATE_PX:
            raise ValueError("a point lies outside of every image")
        low, high = np.full(counts.size, np.inf), np.full(counts.size, -np.inf)
        np.minimum.at(low, owner[is_seen], places)
        np.maximum.at(high, owner[is_seen], places)
        is_known = high >= low
        longer[is_known] = np.fmax(longer[is_known], high[is_known] - low[is_known])
    return longer


def read_skeleton(file: h5py.File, name: str, number: int) -> tuple[tuple[str, ...], int]:
    """Reads one of the skeletons of labels.

    Returns:
        The names of its nodes, and its number of edges.

    Raises:
        InvalidDatasetError: There is no such skeleton, or none with nodes.
    """
    metadata = read_json_attribute(file, "metadata", "json")
    skeletons = metadata["skeletons"]
    if len(skeletons) <= number or not skeletons[number]["nodes"]:
        raise InvalidDatasetError(f"{name} has no skeleton with nodes: there's nothing to train on.")
    used = skeletons[number]
    if max(len(metadata["nodes"]), len(used["nodes"])) > MAX_NODES:
        raise InvalidDatasetError(f"{name} has more nodes than any skeleton.")
    all_names = [node["name"] for node in metadata["nodes"]]
    names = tuple(str(all_names[int(node["id"])]) for node in used["nodes"])
    return names, _count_edges(used["links"])


def _count_edges(links: Sequence[Mapping[str, Any]]) -> int:
    """Symmetries are kept among the edges, as type 2; a type is spelled out once, then referred to."""
    spelled_out: list[int] = []
    count = 0
    for link in links:
        kind = link.get("type", {})
        if "py/reduce" in kind:
            spelled_out.append(kind["py/reduce"][1]["py/tuple"][0])
            value = spelled_out[-1]
        else:
            position = int(kind.get("py/id", 1)) - 1
            value = spelled_out[position] if position < len(spelled_out) else EDGE
        count += value == EDGE
    return count
