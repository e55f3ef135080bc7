"""Model folders on the client, checked and packed before they're sent for predictions."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import attrs

from ...base.sentences import as_clause
from ...errors import InvalidModelError, InvalidTrainingConfigError
from ...protocol.limits import MIB
from ...protocol.messages import JSONObject
from ...transfer.checkpoints import unsafe_imports
from ...transfer.file_signatures import is_checkpoint_file
from ...transfer.model_archive import CHECKPOINT_NAME, CONFIG_NAME, MODEL_FILES, is_model_folder, pack_model
from ..results.delivery import INCOMING_PREFIX
from .dataset import read_config
from .model_descriptions import heads_of, model_type_of_configs

POSITIONS_ONLY: Final = (
    "A centroid model alone finds where animals are, not their nodes: the predictions are positions only. "
    "For the nodes, give the centered_instance model too (--model twice)."
)


@attrs.frozen
class Model:
    """A model folder that prediction can use; ``head`` is what it predicts, such as ``centroid``."""

    folder: Path
    head: str
    config: JSONObject

    @property
    def trained_at(self) -> float:
        """When its checkpoint was written, in Unix epoch seconds."""
        return (self.folder / CHECKPOINT_NAME).stat().st_mtime

    @property
    def size_mb(self) -> float:
        """The size of the files that are sent."""
        return sum((self.folder / name).stat().st_size for name in MODEL_FILES) / MIB


def read_models(paths: Sequence[Path]) -> tuple[Model, ...]:
    """Reads model folders.

    Args:
        paths: Each a model folder, a file in one, or a folder of model folders, as a training leaves it.

    Raises:
        InvalidModelError: One isn't a model folder, or its checkpoint isn't one or holds more than weights.
    """
    return tuple(_read_model(folder) for path in paths for folder in _folders(path))


def needed_models(models: Sequence[Model]) -> Sequence[Model]:
    """Returns the models if they can predict together.

    Raises:
        InvalidModelError: Two are of the same kind, or one lacks the other that it needs.
    """
    heads = [model.head for model in models]
    if not heads:
        raise InvalidModelError("There is no model to predict with: name a model folder.")
    if len(set(heads)) < len(heads):
        raise InvalidModelError(_choice(models))
    if heads == ["centered_instance"]:
        raise InvalidModelError(
            "A centered_instance model needs the centroid model beside it (--model twice)."
        )
    return models


def model_info(models: Sequence[Model]) -> JSONObject:
    """Describes the models for a request."""
    return {
        "model_type": model_type_of_configs([model.config for model in models]),
        "models": [model.head for model in models],
        "size_mb": round(sum(model.size_mb for model in models), 3),
    }


def pack_models(models: Iterable[Model], directory: Path) -> tuple[Path, ...]:
    """Packs each model into a file of its own.

    Raises:
        StorageError: A file can't be read or written.
    """
    archives = []
    for number, model in enumerate(models):
        archives.append(directory / f"{model.head}-{number}.model.zip")
        pack_model(model.folder, archives[-1])
    return tuple(archives)


def _choice(models: Sequence[Model]) -> str:
    """Lists the models of each kind, newest first, as options to paste."""
    kinds = []
    for head in dict.fromkeys(model.head for model in models):
        alike = sorted((model for model in models if model.head == head), key=lambda model: -model.trained_at)
        listed = []
        for number, model in enumerate(alike):
            trained = time.strftime("%Y-%m-%d %H:%M", time.localtime(model.trained_at))
            newest = "newest, " if number == 0 < len(alike) - 1 else ""
            listed.append(f"--model {shlex.quote(str(model.folder))} ({newest}{trained})")
        kinds.append(f"{head}: {', '.join(listed)}")
    return f"There is more than one model of the same kind; name one of each. {'; '.join(kinds)}"


def _folders(path: Path) -> list[Path]:
    folder = path.parent if path.is_file() else path
    if folder.name.startswith(INCOMING_PREFIX):
        raise InvalidModelError(f"{path} is left over from a job that didn't end here, and isn't a model.")
    if is_model_folder(folder):
        return [folder]
    shown = [entry for entry in folder.glob("*/") if not entry.name.startswith(".")]
    inner = sorted(entry for entry in shown if is_model_folder(entry))
    if not inner:
        missing = " and ".join(name for name in MODEL_FILES if not (folder / name).is_file())
        problem = f"it lacks {missing}" if folder.is_dir() else "there is no such folder"
        raise InvalidModelError(f"{path} isn't a model folder of sleap-nn: {as_clause(problem)}.")
    return inner


def _read_model(folder: Path) -> Model:
    try:
        config = read_config(folder / CONFIG_NAME) or {}
    except InvalidTrainingConfigError as error:
        raise InvalidModelError(str(error)) from error
    heads = heads_of(config)
    if len(heads) != 1:
        raise InvalidModelError(
            f"{folder / CONFIG_NAME} doesn't describe exactly one model that can be used."
        )
    _check_checkpoint(folder / CHECKPOINT_NAME)
    return Model(folder, heads[0], config)


def _check_checkpoint(path: Path) -> None:
    """Refuses, before it is sent, a checkpoint that every worker would refuse."""
    try:
        is_one = is_checkpoint_file(path)
    except OSError as error:
        raise InvalidModelError(f"{path} can't be read: {as_clause(error)}.") from error
    if not is_one:
        raise InvalidModelError(f"{path} isn't a checkpoint of PyTorch.")
    found = unsafe_imports(path)
    if found:
        shown = ", ".join(found[:3])
        raise InvalidModelError(f"{path} holds more than weights ({shown}): no worker loads that.")
