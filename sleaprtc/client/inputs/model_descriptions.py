"""What training configurations say about their models; workers estimate the duration from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from ...formats.sleap_nn.configuration import is_legacy
from ...protocol.messages import JSONObject

_MODEL_TYPE_OF_HEAD: Final = {
    "single_instance": "base",
    "centroid": "centroid",
    "centered_instance": "topdown",
    "bottomup": "bottomup",
}

HEAD_OF_LEGACY: Final = {
    "single_instance": "single_instance",
    "centroid": "centroid",
    "centered_instance": "centered_instance",
    "multi_instance": "bottomup",
}
"""What the heads of a profile of SLEAP up to 1.4 are called in sleap-nn."""

MOST_SENT: Final = 10**6
"""Numbers from here on are a mistake, and JSON may not be able to carry them."""

_PREPROCESSING: Final = ("data_config", "preprocessing")
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "epochs": ("trainer_config", "max_epochs"),
    "batch_size": ("trainer_config", "train_data_loader", "batch_size"),
    "scale": (*_PREPROCESSING, "scale"),
    "crop_size": (*_PREPROCESSING, "crop_size"),
}
"""Where configurations have the fields of a :class:`ModelDescription`."""

_DEFAULTS: Final[Mapping[str, float]] = {"epochs": 100, "batch_size": 4, "scale": 1.0}
"""sleap-nn's own, for what a configuration leaves out."""


@attrs.frozen
class ModelDescription:
    """One model of a training, as a request describes it (protocol reference, section 3).

    Attributes:
        model: Its head, such as ``centroid``.
        numbers: Those of ``epochs batch_size scale crop_size filters`` that its configuration has.
    """

    model: str
    numbers: Mapping[str, float] = attrs.field(factory=dict)

    def as_json(self) -> JSONObject:
        """Returns the object that a request has for it."""
        return {"model": self.model, **self.numbers}


def heads_of(config: JSONObject) -> list[str]:
    """Returns those heads of a configuration that workers know."""
    if is_legacy(config):
        return [HEAD_OF_LEGACY[name] for name in _used(config, ("model", "heads")) if name in HEAD_OF_LEGACY]
    return [name for name in _used(config, ("model_config", "head_configs")) if name in _MODEL_TYPE_OF_HEAD]


def _used(config: JSONObject, path: Iterable[str]) -> list[str]:
    heads = _at(config, path)
    return [name for name, head in heads.items() if head is not None] if isinstance(heads, Mapping) else []


def model_type_of_configs(configs: Iterable[JSONObject]) -> str | None:
    """Returns what the configurations train together, in the protocol's words; None if that isn't clear."""
    heads = {head for config in configs for head in heads_of(config)}
    if "centered_instance" in heads:
        return "topdown"
    return _MODEL_TYPE_OF_HEAD[min(heads)] if len(heads) == 1 else None


def described_models(configs: Iterable[JSONObject]) -> tuple[ModelDescription, ...]:
    """Describes the models of configurations, in order.

    Returns none if one of them has no single known head, or is a profile of SLEAP up to 1.4.
    """
    described = []
    for config in configs:
        heads = heads_of(config)
        if len(heads) != 1 or is_legacy(config):
            return ()
        found = {name: _at(config, path) for name, path in _FIELDS.items()}
        found |= {name: value for name, value in _DEFAULTS.items() if found[name] is None}
        found["filters"] = _filters(config)
        numbers = {
            name: value
            for name, value in found.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < MOST_SENT
        }
        described.append(ModelDescription(heads[0], numbers))
    return tuple(described)


def _at(config: object, path: Iterable[str]) -> object:
    for key in path:
        config = config.get(key) if isinstance(config, Mapping) else None
    return config


def _filters(config: JSONObject) -> object:
    backbones = _at(config, ("model_config", "backbone_config"))
    for backbone in backbones.values() if isinstance(backbones, Mapping) else ():
        if isinstance(backbone, Mapping):
            return _at(backbone, ("filters",))
    return None
