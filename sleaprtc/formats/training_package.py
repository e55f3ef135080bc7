"""Reads SLEAP's training job package.

"Export Training Job Package" writes a flat zip: labels with embedded images, one configuration for
each model, ``jobs.yaml`` which names them in training order, and two shell scripts. The scripts are
never unpacked, and so can't be run. A file manager that packs the files again puts them into a folder,
or adds files of its own, which don't matter.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from ..errors import InvalidDatasetError, InvalidTrainingConfigError
from .documents import MAX_CONFIG_BYTES, read_document
from .reading import shown, writing
from .staging import staged_folder
from .zip_files import ZipLimits, extract_member, fault_of_members, is_zip, open_zip, read_member

JOBS_FILE: Final = "jobs.yaml"
CONFIG_SUFFIXES: Final = (".yaml", ".yml", ".json")
LABELS_SUFFIX: Final = ".slp"

MAX_MEMBERS: Final = 64
"""SLEAP writes six for two models, and a file manager may add one for each."""

_ADDED_FOLDER: Final = "__MACOSX"
_ADDED_PREFIX: Final = "._"
_ADDED_NAMES: Final = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
"""What file managers add: macOS its attributes, and each system how it shows a folder."""

LIMITS: Final = ZipLimits(MAX_MEMBERS, max_unpacked_bytes=256 * 2**30, ratio_free_bytes=2**20)


@attrs.frozen
class PackagedModel:
    """One model to train.

    Attributes:
        config_name: How errors call the configuration.
        config: The configuration's bytes, not yet judged.
        labels: Name of the labels to train on, in the folder they were unpacked to.
        val_labels: Name of the labels to validate on, where the package has them.
    """

    config_name: str
    config: bytes
    labels: str
    val_labels: str | None = None


def is_package(path: Path) -> bool:
    """True if the file is a zip, whatever it is called."""
    return is_zip(path) and not path.name.endswith(LABELS_SUFFIX)


def unpack(path: Path, folder: Path) -> tuple[PackagedModel, ...]:
    """Unpacks the labels of a training job package and reads its configurations.

    Args:
        path: The package.
        folder: Where the labels go; they get the names they have in the package.

    Returns:
        The models in training order.

    Raises:
        InvalidDatasetError: It isn't such a package, or has members that may not be unpacked.
        InvalidTrainingConfigError: Its ``jobs.yaml`` isn't readable.
    """
    with open_zip(path, InvalidDatasetError) as archive:
        members = _check_members(archive, path.name)
        jobs = _read_jobs(archive, members)
        models = _read_models(archive, members, jobs)
        _extract_labels(archive, members, jobs, folder)
        return models


def unpack_labels(path: Path, target: Path) -> tuple[PackagedModel, ...]:
    """Does what :func:`unpack` does, and unpacks only the first model's labels, to the file ``target``.

    Raises:
        InvalidDatasetError: As there.
        InvalidTrainingConfigError: As there.
        StorageError: The labels can't be written.
    """
    with open_zip(path, InvalidDatasetError) as archive:
        members = _check_members(archive, path.name)
        models = _read_models(archive, members, _read_jobs(archive, members))
        extract_member(archive, members[models[0].labels], target)
        return models


@attrs.frozen
class _Job:
    config: str
    labels: str
    val_labels: str | None = None


def _check_members(archive: zipfile.ZipFile, name: str) -> dict[str, zipfile.ZipInfo]:
    """Returns the package's files by their names, without what a file manager has added."""
    own = [info for info in archive.infolist() if not _is_added(info.filename)]
    top = _top_folder(own)
    members = {info.filename.removeprefix(top): info for info in own if info.filename != top}
    for inner, info in members.items():
        if info.is_dir() or not is_plain_name(inner):
            raise InvalidDatasetError(
                f"{name} has a member that isn't a plain file in its top folder: {shown(info.filename)}."
            )
    if (fault := fault_of_members(archive, LIMITS)) is not None:
        raise InvalidDatasetError(f"{name} {fault}")
    return members


def _is_added(name: str) -> bool:
    folder, _, _ = name.partition("/")
    _, _, last = name.rpartition("/")
    return folder == _ADDED_FOLDER or last.startswith(_ADDED_PREFIX) or last.lower() in _ADDED_NAMES


def _top_folder(members: Sequence[zipfile.ZipInfo]) -> str:
    """The one folder that all members are in, with its slash; empty if there is none."""
    tops = {member.filename.partition("/")[:2] for member in members}
    if len(tops) != 1:
        return ""
    ((folder, slash),) = tops
    return f"{folder}/" if slash and is_plain_name(folder) else ""


def is_plain_name(name: str) -> bool:
    """True for a single, printable path component that means the same on every system."""
    return (
        0 < len(name) <= 200
        and name.isprintable()
        and not any(character in name for character in '/\\:*?"<>|')
        and not name.startswith(".")
    )


def _read_jobs(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> tuple[_Job, ...]:
    if JOBS_FILE in members:
        jobs = _parse_jobs(_read_config(archive, members[JOBS_FILE]))
    else:
        jobs = _guess_jobs(members)
    for job in jobs:
        for name in (job.config, job.labels, job.val_labels):
            if name is not None and name not in members:
                raise InvalidDatasetError(f"The package's {JOBS_FILE} names a missing file: {shown(name)}.")
    return jobs


def _parse_jobs(text: bytes) -> tuple[_Job, ...]:
    entries = read_document(text, JOBS_FILE, InvalidTrainingConfigError).get("training")
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_MEMBERS:
        raise InvalidTrainingConfigError(f"The package's {JOBS_FILE} lists no model to train.")
    return tuple(_parse_job(entry) for entry in entries)


def _parse_job(entry: Any) -> _Job:
    try:
        job = _Job(entry["cfg"], entry["train_labels"], entry.get("val_labels"))
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidTrainingConfigError(
            f"The package's {JOBS_FILE} has an entry without configuration or labels."
        ) from error
    named = [name for name in (job.config, job.labels, job.val_labels) if name is not None]
    if not all(isinstance(name, str) and is_plain_name(name) for name in named):
        raise InvalidTrainingConfigError(f"The package's {JOBS_FILE} names a file outside of the package.")
    if not job.config.endswith(CONFIG_SUFFIXES) or not job.labels.endswith(LABELS_SUFFIX):
        raise InvalidTrainingConfigError(f"The package's {JOBS_FILE} names files of the wrong kind.")
    if job.val_labels is not None and not job.val_labels.endswith(LABELS_SUFFIX):
        raise InvalidTrainingConfigError(f"The package's {JOBS_FILE} names files of the wrong kind.")
    return job


def _guess_jobs(members: Mapping[str, zipfile.ZipInfo]) -> tuple[_Job, ...]:
    """Guesses the models of a package made by hand: one labels file with its configurations."""
    labels = [name for name in members if name.endswith(LABELS_SUFFIX)]
    configs = [name for name in members if name.endswith(CONFIG_SUFFIXES)]
    if not labels:
        raise InvalidDatasetError(f"The package has no labels ({LABELS_SUFFIX}), and no {JOBS_FILE}.")
    if len(labels) != 1 or not configs:
        raise InvalidDatasetError(
            f"The package has no {JOBS_FILE}, and isn't one labels file with its configurations either."
        )
    # where centroids are found first, as "top-down" has it
    return tuple(_Job(name, labels[0]) for name in sorted(configs, key=lambda n: ("centroid" not in n, n)))


def _read_config(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > MAX_CONFIG_BYTES:
        raise InvalidTrainingConfigError(f"{shown(info.filename)} is too large for a configuration.")
    return read_member(archive, info, MAX_CONFIG_BYTES)


def _read_models(
    archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], jobs: Sequence[_Job]
) -> tuple[PackagedModel, ...]:
    return tuple(
        PackagedModel(
            config_name=job.config,
            config=_read_config(archive, members[job.config]),
            labels=job.labels,
            val_labels=job.val_labels,
        )
        for job in jobs
    )


def _extract_labels(
    archive: zipfile.ZipFile,
    members: Mapping[str, zipfile.ZipInfo],
    jobs: Sequence[_Job],
    folder: Path,
) -> None:
    """Extracts all labels into the folder, or none."""
    wanted = {job.labels for job in jobs} | {job.val_labels for job in jobs if job.val_labels}
    with staged_folder(folder) as staging:
        for name in sorted(wanted):
            extract_member(archive, members[name], staging / name)
        for name in sorted(wanted):
            with writing(name):
                (staging / name).rename(folder / name)
