"""What is in a dataset, read on the client before anything is sent."""

from __future__ import annotations

from pathlib import Path

import attrs

from ...errors import InvalidDatasetError
from ...formats.head_fit import Labelled
from ...formats.sleap_nn.configuration import parse_config
from ...formats.training_package import unpack_labels
from ...protocol.jobs import DatasetInfo
from ...protocol.messages import JSONObject
from ...protocol.vocabulary import DatasetFormat
from ...transfer.names import plain_name
from .labels_summary import LabelsSummary, size_mb
from .training_configs import TrainingConfig, read_content, read_training_config


@attrs.frozen
class Dataset:
    """A dataset that can be sent.

    Attributes:
        path: The file.
        info: Its description in a request.
        packed_from: The file that the user named, if ``path`` is a temporary package made from it.
        trains: What its own configurations train, in order.
        labelled: What its labels offer a model, if the client can tell.
        video_count: How many videos its frames are from; 1 where the client can't tell.
    """

    path: Path
    info: DatasetInfo
    packed_from: Path | None = None
    trains: tuple[TrainingConfig, ...] = ()
    labelled: Labelled | None = None
    video_count: int = 1

    @property
    def named(self) -> Path:
        """The file that the user named."""
        return self.packed_from or self.path


def read_config(path: Path) -> JSONObject:
    """Reads a configuration: sleap-nn's, or a profile of SLEAP up to 1.4.

    Raises:
        InvalidTrainingConfigError: It can't be read, or isn't a configuration.
    """
    return parse_config(read_content(path), path.name)


@attrs.frozen
class UnpackedPackage:
    """A training job package.

    Attributes:
        path: The package itself.
        labels: Its labels, unpacked.
        configs: Its configurations, in training order.
    """

    path: Path
    labels: Path
    configs: tuple[TrainingConfig, ...]

    def dataset(self, labels: LabelsSummary) -> Dataset:
        """Makes the dataset of it, from what its labels are."""
        info = labels_info(labels)
        info = attrs.evolve(info, format=DatasetFormat.ZIP, estimated_size_mb=size_mb(self.path))
        return Dataset(
            self.path, info, trains=self.configs, labelled=labels.labelled, video_count=labels.video_count
        )


def labels_info(labels: LabelsSummary) -> DatasetInfo:
    """Returns what workers are told of labels."""
    return DatasetInfo(
        DatasetFormat.SLP,
        labels.frame_count,
        labels.skeleton_name,
        labels.size_mb,
        labels.frame_megapixels,
    )


def without_images(name: str) -> InvalidDatasetError:
    """Makes the error for labels whose images are elsewhere."""
    return InvalidDatasetError(
        f"{name} points to videos on this machine, which a worker can't see. "
        "Save it with its images first: in SLEAP, File > Export Labels Package; "
        'in Python, labels.save("labels.pkg.slp", embed="user").'
    )


def unpack_package(path: Path, folder: Path) -> UnpackedPackage:
    """Reads a training job package and unpacks its labels into a folder, which may take long.

    Raises:
        InvalidDatasetError: It can't be read, or has no labels.
        InvalidTrainingConfigError: A configuration in it can't be read, or trains no single known model.
        StorageError: The labels can't be written.
    """
    unpacked = folder / plain_name(f"{path.stem}.slp")
    models = unpack_labels(path, unpacked)
    configs = tuple(read_training_config(model.config_name, model.config) for model in models)
    return UnpackedPackage(path, unpacked, configs)
