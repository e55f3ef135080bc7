"""Configurations to train with, checked against the labels before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from ...base.sentences import as_clause
from ...errors import InvalidTrainingConfigError
from ...formats.documents import MAX_CONFIG_BYTES, read_document
from ...formats.head_fit import Labelled, check_head
from ...formats.reading import shown
from ...jobs.estimate import MODEL_HEADS
from ...protocol.messages import JSONObject

_KNOWN_HEADS = tuple(dict.fromkeys(head for heads in MODEL_HEADS.values() for head in heads))
_HEADS_OF_JSON = {"multi_instance": "bottomup"}
"""What SLEAP up to 1.4 calls a head that has another name now."""


@attrs.frozen
class TrainingConfig:
    """A configuration of one model.

    Attributes:
        head: What it trains.
        head_settings: Its section for that head; empty for SLEAP's older JSON, which only workers read.
        document: All of it; None for SLEAP's older JSON.
    """

    head: str
    head_settings: JSONObject
    document: JSONObject | None


def read_training_configs(paths: Iterable[Path]) -> tuple[TrainingConfig, ...]:
    """Reads configurations to train with.

    Raises:
        InvalidTrainingConfigError: One can't be read, or trains no single model that workers know.
    """
    return tuple(read_training_config(path.name, read_content(path)) for path in paths)


def read_training_config(name: str, content: bytes) -> TrainingConfig:
    """Reads one; ``name`` is how errors call it.

    Raises:
        InvalidTrainingConfigError: As with :func:`read_training_configs`.
    """
    document = read_document(content, name, InvalidTrainingConfigError)
    is_json = name.endswith(".json")
    is_old = is_json and "model_config" not in document
    heads = _at(document, "model", "heads") if is_old else _at(document, "model_config", "head_configs")
    wanted = {key: value for key, value in heads.items() if value is not None}
    unknown = [key for key in wanted if _HEADS_OF_JSON.get(key, key) not in _KNOWN_HEADS]
    if unknown:
        raise InvalidTrainingConfigError(
            f"{name} asks for a model that isn't supported: {', '.join(map(shown, unknown))}. "
            f"Workers train {', '.join(_KNOWN_HEADS)}."
        )
    if len(wanted) != 1:
        where = "model.heads" if is_old else "model_config.head_configs"
        raise InvalidTrainingConfigError(
            f"{name} must have exactly one model under {where}, and has {len(wanted)}."
        )
    ((head, settings),) = wanted.items()
    return TrainingConfig(
        _HEADS_OF_JSON.get(head, head),
        settings if isinstance(settings, Mapping) and not is_old else {},
        None if is_json else document,
    )


def read_content(path: Path) -> bytes:
    """Reads a configuration's file.

    Raises:
        InvalidTrainingConfigError: It can't be read, or is too large.
    """
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise InvalidTrainingConfigError(
                f"{path} is too large for a training configuration: it has more than "
                f"{MAX_CONFIG_BYTES // 1024} KiB."
            )
        with path.open("rb") as file:
            return file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise InvalidTrainingConfigError(f"{path} can't be read: {as_clause(error)}.") from error


def check_training(
    configs: Sequence[TrainingConfig], model_type: str | None, labelled: Labelled | None
) -> None:
    """Checks whether labels can train what is asked for.

    Args:
        configs: The configurations, if there are any.
        model_type: What the user asks for, in the protocol's words; None if that's left to others.
        labelled: What the labels offer; None if the client can't tell.

    Raises:
        InvalidTrainingConfigError: They can't.
    """
    if labelled is None:
        return
    heads = MODEL_HEADS.get(model_type or "")
    for config in configs:
        if heads is None or config.head in heads:
            check_head(config.head, config.head_settings, labelled)
    for head in () if configs else heads or ():
        check_head(head, {}, labelled)


def _at(document: object, *path: str) -> JSONObject:
    for key in path:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document if isinstance(document, Mapping) else {}
