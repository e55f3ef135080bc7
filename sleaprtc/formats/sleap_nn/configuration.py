"""Reads training configurations that came from a stranger, and judges them.

A configuration is data. It's parsed safely, bounded in size and depth, and reduced to sleap-nn's keys that it
may set (:mod:`.allow_list`), with values of the right kind. The worker sets its own paths, devices, names and
logging, and reports where they differ. Everything else is refused by name: keys that sleap-nn doesn't have,
which it refuses itself, and what would have changed the model, such as pretrained weights.

Clients ask :func:`check_config` before they send anything, and workers rely on their own answer.
"""

from __future__ import annotations

import difflib
import functools
import operator
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from ...errors import InvalidTrainingConfigError
from ..documents import read_document, texts_in
from .allow_list import (
    ALLOWED_KEYS,
    MODEL_KEYS,
    NULLABLE_SECTIONS,
    OTHER_HEADS,
    REQUESTED_VALUES,
    SUPPORTED_HEADS,
    UNGRANTABLE,
    VAL_LABELS_PATH,
    WORKER_KEYS,
    Allowed,
    Check,
)

Known: TypeAlias = "dict[str, Known | None]"
"""Keys and what is below them: None if that isn't looked at."""

HEADS: Final = ("model_config", "head_configs")
BACKBONES: Final = ("model_config", "backbone_config")


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


def check_config(document: Mapping[str, Any], name: str) -> None:
    """Checks what can be known of a configuration without the labels and without sleap-nn.

    Args:
        document: As returned by :func:`parse_config`.
        name: How errors call it.

    Raises:
        InvalidTrainingConfigError: A worker would refuse it.
    """
    if not is_legacy(document):
        head_of(filter_config(document, name), name)


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
        InvalidTrainingConfigError: A value is of the wrong kind or out of range, a key isn't one of
            sleap-nn's, or the configuration asks for something that can't be granted.
    """
    _refuse_ungrantable(document, name)
    _refuse_unsupported_heads(document, name)
    _refuse_unknown(document, _known_keys(), name, ())
    received = _keep_allowed(document, ALLOWED_KEYS, name, (), is_strict=True)
    _check_backbone(received, name)
    return received


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
    return _keep_allowed(document, MODEL_KEYS, name, (), is_strict=False)


def named_val_labels(document: Mapping[str, Any], name: str) -> str | None:
    """Returns the path of the validation labels that a configuration or an old profile names, if any.

    Raises:
        InvalidTrainingConfigError: It names several files, or something else than a path.
    """
    if is_legacy(document):
        old = section(document, "data", "labels", "validation_labels")
        return old if isinstance(old, str) and old else None
    named = section(document, *VAL_LABELS_PATH)
    if named is None or named == []:
        return None
    if isinstance(named, list) and len(named) == 1 and isinstance(named[0], str) and named[0]:
        return str(named[0])
    raise InvalidTrainingConfigError(f"{name}: {'.'.join(VAL_LABELS_PATH)} must be a list of one path.")


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
    for head, settings in subsection(document, *HEADS).items():
        if settings is not None and head not in SUPPORTED_HEADS:
            hint = _suggestion(head, SUPPORTED_HEADS, "") if head not in OTHER_HEADS else None
            raise InvalidTrainingConfigError(
                f"{name} asks for a model that isn't supported: {_shown(head)}."
                + (f" Did you mean {hint}?" if hint else f" There are: {', '.join(SUPPORTED_HEADS)}.")
            )


def _check_backbone(received: Mapping[str, Any], name: str) -> None:
    kinds = [kind for kind, settings in subsection(received, *BACKBONES).items() if settings is not None]
    if len(kinds) > 1:
        raise InvalidTrainingConfigError(f"{name}: a model has one backbone, not {' and '.join(kinds)}.")
    if not kinds:
        raise InvalidTrainingConfigError(
            f"{name} must have a backbone under {'.'.join(BACKBONES)}: unet, convnext or swint."
        )


@functools.cache
def _known_keys() -> Known:
    known: Known = {}
    for path in (
        *_paths(ALLOWED_KEYS),
        *_paths(WORKER_KEYS),
        *UNGRANTABLE,
        *((*HEADS, head) for head in OTHER_HEADS),
    ):
        below = known
        for key in path[:-1]:
            inner = below.setdefault(key, {})
            assert inner is not None, path
            below = inner
        below[path[-1]] = None
    return known


def _paths(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, inner in table.items():
        if isinstance(inner, Mapping):
            yield from _paths(inner, (*path, key))
        else:
            yield (*path, key)


def _refuse_unknown(value: Mapping[Any, Any], known: Known, name: str, path: tuple[str, ...]) -> None:
    for key, inner in value.items():
        if key not in known:
            raise InvalidTrainingConfigError(_unknown(key, known, name, path))
        below = known[key]
        if below is not None and isinstance(inner, Mapping):
            _refuse_unknown(inner, below, name, (*path, key))


def _unknown(key: object, known: Known, name: str, path: tuple[str, ...]) -> str:
    where = ".".join((*path, _shown(key)))
    sentence = f"{name}: {where} isn't a setting of sleap-nn."
    hint = _suggestion(key, known, "".join(f"{part}." for part in path))
    return sentence if hint is None else f"{sentence} Did you mean {hint}?"


def _suggestion(key: object, known: Mapping[str, Any], prefix: str) -> str | None:
    """Returns the most similar key beside an unknown one, or else where a key of that name belongs."""
    similar: list[str] = difflib.get_close_matches(str(key)[:128], list(known), n=1)
    if similar:
        return prefix + similar[0]
    places = [path for path in _all_keys(_known_keys()) if path[-1] == key]
    if not places:
        return None
    # the one that has most in common with where the key is, such as another part of the same head
    sections = prefix.split(".")
    return ".".join(max(places, key=lambda place: sum(map(operator.eq, place, sections))))


def _all_keys(known: Known, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, below in known.items():
        yield (*path, key)
        if below is not None:
            yield from _all_keys(below, (*path, key))


def _keep_allowed(
    value: Mapping[str, Any], allowed: Allowed, name: str, path: tuple[str, ...], *, is_strict: bool
) -> dict[str, Any]:
    """Returns the allowed part of a section. Unless it ``is_strict``, null anywhere drops its key."""
    kept: dict[str, Any] = {}
    for key, rule in allowed.items():
        if key not in value:
            continue
        inner, inner_path = value[key], (*path, key)
        if isinstance(rule, Mapping):
            if inner is None and key in NULLABLE_SECTIONS:
                kept[key] = None
            elif isinstance(inner, Mapping):
                kept[key] = _keep_allowed(inner, rule, name, inner_path, is_strict=is_strict)
            elif inner is not None or is_strict:
                raise InvalidTrainingConfigError(f"{name}: {'.'.join(inner_path)} must be a section.")
        elif rule(inner):
            kept[key] = inner
        elif inner is not None or is_strict:
            raise InvalidTrainingConfigError(f"{name}: {'.'.join(inner_path)} can't be {_as_yaml(inner)}.")
    return kept


def _as_yaml(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(_shown(value)) if isinstance(value, str) else _shown(value)


def _shown(value: Any) -> str:
    """Returns the beginning of a value. Integers can have too many digits to be written out."""
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number so large"
    return str(value)[:40]
