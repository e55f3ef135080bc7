"""Models that came with a job, judged before any part of them is loaded.

A model is data from a stranger twice over. Its checkpoint is a pickle, which can run code when it's loaded:
what it would import is read off it here, without running it, and the runner then takes nothing but weights
out of it (``runner/prediction.py``). Its configuration is reduced to a list of allowed keys, as for training.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from ....base.sentences import as_sentence
from ....errors import InvalidModelError, InvalidTrainingConfigError
from ....formats.documents import MAX_CONFIG_BYTES
from ....formats.sleap_nn.configuration import filter_model_config, head_of, is_legacy, parse_config
from ....transfer.checkpoints import unsafe_imports
from ....transfer.file_signatures import is_checkpoint_file
from ....transfer.model_archive import CHECKPOINT_NAME, CONFIG_NAME, unpack_models

MODELS_FOLDER: Final = "received-models"
"""Inside a job's folder. sleap-nn never gets its contents as they are."""

MODEL_SETS: Final = (
    {"single_instance"},
    {"centroid"},
    {"bottomup"},
    {"centroid", "centered_instance"},
)
"""Heads that predict together. A centered instance model needs centroids."""


@attrs.frozen
class ReceivedModel:
    """A model that may be used.

    Attributes:
        head: What it predicts.
        checkpoint: Its weights, still to be taken out; a path from the job's folder.
        config: Its configuration, as far as it's allowed.
    """

    head: str
    checkpoint: Path
    config: dict[str, Any]


def read_models(archives: Sequence[Path], work_dir: Path) -> tuple[ReceivedModel, ...]:
    """Unpacks and judges the models of a job.

    Raises:
        InvalidModelError: One of them can't be unpacked or used, or they don't belong together.
        StorageError: The disk is full.
    """
    folders: list[Path] = []
    for number, archive in enumerate(archives):
        folders += unpack_models(archive, work_dir / MODELS_FOLDER / str(number), InvalidModelError)
    models = tuple(_read_model(folder, work_dir) for folder in folders)
    heads = [model.head for model in models]
    if len(set(heads)) != len(heads) or set(heads) not in MODEL_SETS:
        raise InvalidModelError(
            f"These models don't make a prediction together: {', '.join(heads) or 'none'}. It takes one of "
            "single_instance, centroid or bottomup, or centroid and centered_instance."
        )
    return models


def _read_model(folder: Path, work_dir: Path) -> ReceivedModel:
    document = _read_config(folder / CONFIG_NAME)
    try:
        config = filter_model_config(document, CONFIG_NAME)
        head = head_of(config, CONFIG_NAME)
    except InvalidTrainingConfigError as error:
        raise InvalidModelError(str(error)) from error
    check_checkpoint(folder / CHECKPOINT_NAME, head)
    return ReceivedModel(head, (folder / CHECKPOINT_NAME).relative_to(work_dir), config)


def _read_config(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise InvalidModelError(f"The model's {path.name} is too large for a configuration.")
    try:
        document = parse_config(path.read_bytes(), path.name)
    except InvalidTrainingConfigError as error:
        raise InvalidModelError(f"The model's configuration isn't accepted: {as_sentence(error)}") from error
    if is_legacy(document):
        raise InvalidModelError(f"The model's {path.name} is from SLEAP 1.4 or earlier, not from sleap-nn.")
    return document


def check_checkpoint(path: Path, head: str) -> None:
    """Checks what loading a checkpoint would import.

    Raises:
        InvalidModelError: It holds anything but weights.
    """
    if not is_checkpoint_file(path):
        raise InvalidModelError(f"The {head} model's {path.name} isn't a checkpoint of PyTorch.")
    found = unsafe_imports(path)
    if found:
        shown = ", ".join(found[:3])[:200]
        raise InvalidModelError(
            f"The {head} model's {path.name} holds more than weights ({shown}), which would run when it is "
            "loaded: it isn't loaded."
        )
