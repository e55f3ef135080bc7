"""What is in a dataset, read on the client before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from ...base.sentences import as_clause
from ...errors import InvalidDatasetError, InvalidTrainingConfigError
from ...formats.documents import MAX_CONFIG_BYTES, read_document
from ...formats.zip_files import ZipLimits, extract_member, fault_of_members, open_zip, read_member
from ...protocol.jobs import DatasetInfo
from ...protocol.limits import MIB
from ...protocol.messages import JSONObject
from ...protocol.vocabulary import DatasetFormat
from .labels_summary import LabelsSummary, size_mb
from .model_descriptions import model_type_of_configs

PACKAGE_LIMITS: Final = ZipLimits(max_members=2000, max_unpacked_bytes=256 * 2**30, ratio_free_bytes=MIB)
"""The limits of a training job package; workers accept fewer members."""


@attrs.frozen
class Dataset:
    """A dataset that can be sent.

    Attributes:
        path: The file.
        info: Its description in a request.
        model_type: What its own configurations train, in the protocol's words, if it has any.
        configs: Those of its configurations that the client can read.
        packed_from: The file that the user named, if ``path`` is a temporary package made from it.
    """

    path: Path
    info: DatasetInfo
    model_type: str | None = None
    packed_from: Path | None = None
    configs: tuple[JSONObject, ...] = ()

    @property
    def named(self) -> Path:
        """The file that the user named."""
        return self.packed_from or self.path


def read_config(path: Path) -> JSONObject | None:
    """Reads a sleap-nn configuration; returns None for SLEAP's older JSON, which only workers read.

    Raises:
        InvalidTrainingConfigError: It can't be read, or isn't a configuration.
    """
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise InvalidTrainingConfigError(
                f"{path} is too large for a training configuration: it has more than "
                f"{MAX_CONFIG_BYTES // 1024} KiB."
            )
        with path.open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise InvalidTrainingConfigError(f"{path} can't be read: {as_clause(error)}.") from error
    return _parse_config(path.name, content)


def _parse_config(name: str, content: bytes) -> JSONObject | None:
    config = read_document(content, name, InvalidTrainingConfigError)
    return None if name.endswith(".json") else config


@attrs.frozen
class UnpackedPackage:
    """A training job package.

    Attributes:
        path: The package itself.
        labels: Its labels, unpacked.
        configs: Its configurations, as far as the client reads them.
    """

    path: Path
    labels: Path
    configs: tuple[JSONObject, ...]

    def dataset(self, labels_info: DatasetInfo) -> Dataset:
        """Makes the dataset of it, from what its labels are."""
        info = attrs.evolve(labels_info, format=DatasetFormat.ZIP, estimated_size_mb=size_mb(self.path))
        return Dataset(self.path, info, model_type_of_configs(list(self.configs)), configs=self.configs)


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
        InvalidTrainingConfigError: A configuration in it can't be read.
        StorageError: The labels can't be written.
    """
    with open_zip(path, InvalidDatasetError) as package:
        if (fault := fault_of_members(package, PACKAGE_LIMITS)) is not None:
            raise InvalidDatasetError(f"{path.name} {fault}")
        members = {member.filename: member for member in package.infolist()}
        labels = [name for name in members if name.endswith(".slp")]
        if not labels:
            raise InvalidDatasetError(f"{path.name} is no training job package: it has no labels (.slp).")
        configs = [
            config
            for name, member in members.items()
            if name.endswith((".yaml", ".yml")) and name != "jobs.yaml"
            if (config := _parse_config(name, read_member(package, member, MAX_CONFIG_BYTES))) is not None
        ]
        unpacked = folder / f"{path.stem}.slp"
        extract_member(package, members[labels[0]], unpacked)
    return UnpackedPackage(path, unpacked, tuple(configs))
