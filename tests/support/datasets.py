"""Datasets as the client reads them, in the process of the test."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sleaprtc.client.inputs.dataset import Dataset, labels_info, unpack_package, without_images
from sleaprtc.client.inputs.labels_reader import read_labels
from sleaprtc.protocol.jobs import DatasetInfo


def read_dataset(path: Path) -> Dataset:
    """Reads labels that hold their images, or a training job package with such labels."""
    if path.suffix != ".zip":
        return Dataset(path, _info(path))
    with tempfile.TemporaryDirectory() as folder:
        package = unpack_package(path, Path(folder))
        return package.dataset(_info(package.labels))


def _info(path: Path) -> DatasetInfo:
    labels = read_labels(path)
    if labels is None:
        raise without_images(path.name)
    return labels_info(labels)
