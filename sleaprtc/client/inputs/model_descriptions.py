"""What configurations say of the time that their models take to train; workers estimate from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from .dataset import heads_of

MOST_TOLD: Final = 10**6
"""Numbers from here on are a mistake, and may be none that JSON can carry."""

_PREPROCESSING: Final = ("data_config", "preprocessing")
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "epochs": ("trainer_config", "max_epochs"),
    "batch_size": ("trainer_config", "train_data_loader", "batch_size"),
    "scale": (*_PREPROCESSING, "scale"),
    "crop_size": (*_PREPROCESSING, "crop_size"),
}
"""What a request tells of each model, and where configurations have it."""


def described_models(configs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The models of configurations, in order; none where one of them has no single known head."""
    described = []
    for config in configs:
        heads = heads_of(dict(config))
        if len(heads) != 1:
            return []
        found = {name: _at(config, path) for name, path in _FIELDS.items()}
        found["filters"] = _filters(config)
        numbers = {
            name: value
            for name, value in found.items()
            if type(value) in (int, float) and 0 < value < MOST_TOLD
        }
        described.append({"model": heads[0], **numbers})
    return described


def _at(config: Any, path: Iterable[str]) -> Any:
    for key in path:
        config = config.get(key) if isinstance(config, Mapping) else None
    return config


def _filters(config: Mapping[str, Any]) -> Any:
    backbones = _at(config, ("model_config", "backbone_config"))
    for backbone in backbones.values() if isinstance(backbones, Mapping) else ():
        if isinstance(backbone, Mapping):
            return backbone.get("filters")
    return None
