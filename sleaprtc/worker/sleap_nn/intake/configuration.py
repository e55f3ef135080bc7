"""Reads training configurations that came from a stranger.

A configuration is data. It's parsed safely, bounded in size and depth, and reduced to an allow-list
of sleap-nn's keys (https://nn.sleap.ai/latest/configuration/) with values of the right kind. What
isn't on the list is left out, and the worker sets its own value: paths, devices, names, logging.
What is left out but would have changed the model, such as pretrained weights, is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....errors import InvalidTrainingConfigError
from ....formats.documents import read_document, texts_in
from .allow_list import (
    ALLOWED_KEYS,
    MODEL_KEYS,
    NULLABLE_SECTIONS,
    REQUESTED_VALUES,
    SUPPORTED_HEADS,
    UNGRANTABLE,
    Allowed,
    Check,
)


def parse_config(text: bytes, name: str) -> dict[str, Any]:
    """Parses YAML or JSON into plain values.

    Args:
        text: The received file.
        name: How errors call it.

    Raises:
        InvalidTrainingConfigError: It isn't YAML, isn't a mapping, is too large or too deep, or has
            an interpolation such as ``${oc.env:HOME}`` in it.
    """
    document = read_document(text, name, InvalidTrainingConfigError)
    for place, value in texts_in(document):
        if "${" in value or value.strip() == "???":
            raise InvalidTrainingConfigError(f"{name} has an interpolation at {place}, which isn't allowed.")
    return document


def is_legacy(document: Mapping[str, Any]) -> bool:
    """True for the JSON profiles of SLEAP up to 1.4."""
    return "model" in document and "optimization" in document


def legacy_core(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns what a SLEAP JSON profile says about the model, without paths, skeletons and outputs.

    Args:
        document: As returned by :func:`parse_config`.
        name: How errors call it.

    Raises:
        InvalidTrainingConfigError: Its backbone is one that sleap-nn doesn't have.
    """
    backbones = subsection(document, "model", "backbone")
    used = [kind for kind, settings in backbones.items() if settings is not None]
    if used != ["unet"]:
        raise InvalidTrainingConfigError(
            f"{name} has the backbone {' and '.join(map(str, used)) or 'none'}; of SLEAP's old profiles only "
            "those with unet can be trained."
        )
    return {
        "data": {
            "preprocessing": subsection(document, "data", "preprocessing"),
            "instance_cropping": subsection(document, "data", "instance_cropping"),
            "labels": {"validation_fraction": section(document, "data", "labels", "validation_fraction")},
        },
        "model": {key: subsection(document, "model", key) for key in ("backbone", "heads")},
        "optimization": subsection(document, "optimization"),
        "outputs": {},
    }


def filter_config(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns the part of a received sleap-nn configuration that may decide something.

    Args:
        document: As returned by :func:`parse_config`.
        name: How errors call it.

    Raises:
        InvalidTrainingConfigError: A value is of the wrong kind or out of range, or the configuration
            asks for something that can't be granted and can't be left out without changing the model.
    """
    _refuse_ungrantable(document, name)
    _refuse_unsupported_heads(document, name)
    return _keep_allowed(document, ALLOWED_KEYS, name, ())


def filter_model_config(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns what the configuration of a received model says about prediction.

    How it was trained, pretrained weights among it, has gone into its own weights and is left out.

    Args:
        document: As returned by :func:`parse_config`.
        name: How errors call it.

    Raises:
        InvalidTrainingConfigError: A value is of the wrong kind or out of range, or it isn't supported.
    """
    _refuse_unsupported_heads(document, name)
    return _keep_allowed(document, MODEL_KEYS, name, ())


def head_of(config: Mapping[str, Any], name: str) -> str:
    """Returns the one head that a filtered configuration trains.

    Raises:
        InvalidTrainingConfigError: There is none, or more than one.
    """
    wanted = subsection(config, "model_config", "head_configs")
    heads = [head for head, settings in wanted.items() if settings is not None]
    if len(heads) != 1:
        raise InvalidTrainingConfigError(
            f"{name} must have exactly one model under model_config.head_configs, and has {len(heads)}."
        )
    return heads[0]


def section(config: Mapping[str, Any], *path: str) -> Any:
    """Returns the value at a path of keys, or None if a part of the path is missing."""
    value: Any = config
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def subsection(config: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """Returns the section at a path of keys; empty if there is none."""
    value = section(config, *path)
    return value if isinstance(value, Mapping) else {}


def check_requested(requested: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the usable part of a training request's ``config``, without nulls.

    Raises:
        InvalidTrainingConfigError: A value is of the wrong kind or out of range.
    """
    return check_values(requested, REQUESTED_VALUES)


def check_values(requested: Mapping[str, Any], allowed: Mapping[str, Check]) -> dict[str, Any]:
    """Returns the part of ``requested`` that is allowed, without nulls.

    Raises:
        InvalidTrainingConfigError: A value is of the wrong kind or out of range.
    """
    checked: dict[str, Any] = {}
    for key, is_valid in allowed.items():
        value = requested.get(key)
        if isinstance(value, float) and value.is_integer() and key != "learning_rate":
            value = int(value)  # JSON has one kind of number
        if value is None:
            continue
        if not is_valid(value):
            raise InvalidTrainingConfigError(f"{key} can't be {_shown(value)}.")
        checked[key] = value
    return checked


def _refuse_ungrantable(document: Mapping[str, Any], name: str) -> None:
    for path, wish in UNGRANTABLE.items():
        if section(document, *path):
            raise InvalidTrainingConfigError(
                f"{name} asks for {wish} ({'.'.join(path)}), which a worker doesn't load from others."
            )


def _refuse_unsupported_heads(document: Mapping[str, Any], name: str) -> None:
    for head, settings in subsection(document, "model_config", "head_configs").items():
        if settings is not None and head not in SUPPORTED_HEADS:
            raise InvalidTrainingConfigError(f"{name} asks for a model that isn't supported: {head}.")


def _keep_allowed(
    value: Mapping[str, Any], allowed: Allowed, name: str, path: tuple[str, ...]
) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, rule in allowed.items():
        if key not in value:
            continue
        inner, inner_path = value[key], (*path, key)
        if isinstance(rule, Mapping):
            if inner is None:
                if key in NULLABLE_SECTIONS:
                    kept[key] = None
                continue
            if not isinstance(inner, Mapping):
                raise InvalidTrainingConfigError(f"{name}: {'.'.join(inner_path)} must be a section.")
            kept[key] = _keep_allowed(inner, rule, name, inner_path)
        elif rule(inner):
            kept[key] = inner
        elif inner is not None:
            raise InvalidTrainingConfigError(f"{name}: {'.'.join(inner_path)} can't be {_shown(inner)!r}.")
    return kept


def _shown(value: Any) -> str:
    """Returns the beginning of a value. Integers can have too many digits to be written out."""
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number so large"
    return str(value)[:40]
