"""Configurations to train with, checked against the labels before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from ...base.sentences import as_clause
from ...errors import InvalidTrainingConfigError
from ...formats.documents import MAX_CONFIG_BYTES
from ...formats.head_fit import Labelled, check_head, check_validation_labels
from ...formats.reading import shown
from ...formats.sleap_nn.allow_list import SUPPORTED_HEADS
from ...formats.sleap_nn.configuration import (
    HEADS,
    filter_config,
    head_of,
    is_legacy,
    parse_config,
    subsection,
)
from ...jobs.estimate import MODEL_HEADS
from ...protocol.messages import JSONObject
from .model_descriptions import HEAD_OF_LEGACY


@attrs.frozen
class TrainingConfig:
    """A configuration of one model.

    Attributes:
        head: What it trains.
        head_settings: Its section for that head; empty for a profile of SLEAP up to 1.4, which only workers
            convert.
        document: All of it.
    """

    head: str
    head_settings: JSONObject
    document: JSONObject


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
    document = parse_config(content, name)
    if not is_legacy(document):
        head = head_of(filter_config(document, name), name)
        return TrainingConfig(head, subsection(document, *HEADS, head), document)
    heads = [key for key, value in subsection(document, "model", "heads").items() if value is not None]
    unknown = [head for head in heads if head not in HEAD_OF_LEGACY]
    if unknown:
        raise InvalidTrainingConfigError(
            f"{name} asks for a model that isn't supported: {', '.join(map(shown, unknown))}. "
            f"Workers train {', '.join(SUPPORTED_HEADS)}."
        )
    if len(heads) != 1:
        raise InvalidTrainingConfigError(
            f"{name} must have exactly one model under model.heads, and has {len(heads)}."
        )
    return TrainingConfig(HEAD_OF_LEGACY[heads[0]], {}, document)


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
    configs: Sequence[TrainingConfig],
    model_type: str | None,
    labelled: Labelled | None,
    validation: Labelled | None = None,
) -> None:
    """Checks whether labels can train what is asked for.

    Args:
        configs: The configurations, if there are any.
        model_type: What the user asks for, in the protocol's words; None if that's left to others.
        labelled: What the labels offer; None if the client can't tell.
        validation: What validation labels of their own offer; None if there are none, or that isn't known.

    Raises:
        InvalidTrainingConfigError: They can't.
    """
    if labelled is None:
        return
    heads = MODEL_HEADS.get(model_type or "")
    trained = [config for config in configs if heads is None or config.head in heads]
    for config in trained:
        check_head(config.head, config.head_settings, labelled)
    for head in () if configs else heads or ():
        check_head(head, {}, labelled)
    if validation is not None:
        names = [config.head for config in trained] if configs else heads or ()
        check_validation_labels(names, validation, labelled)
