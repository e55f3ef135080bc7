"""Datasets as the client reads them, in the process of the test."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from sleaprtc.client.inputs.dataset import Dataset, labels_info, unpack_package, without_images
from sleaprtc.client.inputs.labels_reader import read_labels
from sleaprtc.client.inputs.labels_summary import LabelsSummary


def read_dataset(path: Path) -> Dataset:
    """Reads labels that hold their images, or a training job package with such labels."""
    if path.suffix != ".zip":
        labels = _read(path)
        return Dataset(path, labels_info(labels), labelled=labels.labelled)
    with tempfile.TemporaryDirectory() as folder:
        package = unpack_package(path, Path(folder))
        return package.dataset(_read(package.labels))


def _read(path: Path) -> LabelsSummary:
    labels = read_labels(path)
    if not isinstance(labels, LabelsSummary):
        raise without_images(path.name)
    return labels


def write_labels_of_videos(path: Path, videos: Sequence[str | list[str]], labelled: Sequence[int]) -> Path:
    """Writes labels that point to videos, or to lists of images, as far as the client reads them.

    Args:
        path: Where they go.
        videos: The files that they name.
        labelled: The numbers of those videos of which a person has labelled a frame.
    """
    described = []
    for names in videos:
        backend: dict[str, object] = {"filename": names}
        if isinstance(names, list):
            backend = {"filename": names[0], "filenames": names}
        described.append({"filename": names, "backend": backend})
    columns = [("frame_id", "u8"), ("video", "u4"), ("frame_idx", "u8")]
    columns += [("instance_id_start", "u8"), ("instance_id_end", "u8")]
    frames = [(number, video, 0, number, number + 1) for number, video in enumerate(labelled)]
    with h5py.File(path, "w") as file:
        file.create_group("metadata").attrs["json"] = json.dumps({"skeletons": [], "nodes": []})
        file["frames"] = np.array(frames, dtype=columns)
        file["instances"] = np.zeros(len(labelled), dtype=[("instance_type", "u1")])
        file["videos_json"] = np.array([json.dumps(video).encode() for video in described])
    return path
