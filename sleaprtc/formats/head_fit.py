"""Whether labels can train a model: decided by the client before it sends them, and by the worker again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import attrs

from ..errors import InvalidTrainingConfigError


@attrs.frozen
class Labelled:
    """What labels offer a model.

    Attributes:
        max_instances: Most labelled animals in one frame.
        node_names: Of the skeleton, in its order.
        edge_count: Of the skeleton.
    """

    max_instances: int
    node_names: tuple[str, ...]
    edge_count: int


def check_head(head: str, settings: Mapping[str, Any], labelled: Labelled) -> None:
    """Checks a model against the labels that it is to be trained on.

    Args:
        head: Such as ``centroid``.
        settings: Its configuration's section for that head.
        labelled: What the labels offer.

    Raises:
        InvalidTrainingConfigError: These labels can't train it.
    """
    if head == "single_instance" and labelled.max_instances > 1:
        raise InvalidTrainingConfigError(
            f"The labels have frames with {labelled.max_instances} animals, and the model type base finds "
            "a single one: use topdown or bottomup."
        )
    if head == "bottomup" and labelled.edge_count == 0:
        raise InvalidTrainingConfigError(
            "The skeleton has no edges, and the model type bottomup needs them to tell animals apart: "
            "use topdown."
        )
    for part, of_part in settings.items():
        if of_part is None or isinstance(of_part, Mapping):
            _check_nodes(f"{head}.{part}", of_part or {}, labelled.node_names)


def check_validation_labels(heads: Collection[str], validation: Labelled, trained: Labelled) -> None:
    """Checks validation labels of their own against the labels that are trained on.

    Args:
        heads: The models' heads, as far as they are known.
        validation: What the validation labels offer.
        trained: What the others offer.

    Raises:
        InvalidTrainingConfigError: The models can't be validated on them.
    """
    if validation.node_names != trained.node_names:
        raise InvalidTrainingConfigError(
            f"The validation labels have the nodes {', '.join(validation.node_names)}, and the others "
            f"{', '.join(trained.node_names)}: they must be the same, in the same order."
        )
    if "single_instance" in heads and validation.max_instances > 1:
        raise InvalidTrainingConfigError(
            f"The validation labels have frames with {validation.max_instances} animals, and the model type "
            "base finds a single one: use topdown or bottomup."
        )


def _check_nodes(where: str, settings: Mapping[str, Any], known: Sequence[str]) -> None:
    anchor = settings.get("anchor_part")
    if anchor is not None and anchor not in known:
        raise InvalidTrainingConfigError(
            f"{where}.anchor_part is {anchor!r}, which isn't a node of the skeleton: {', '.join(known)}."
        )
    parts = settings.get("part_names")
    if isinstance(parts, list) and parts != list(known):
        raise InvalidTrainingConfigError(
            f"{where}.part_names must be the skeleton's nodes in their order, or null: {', '.join(known)}."
        )
    edges = settings.get("edges")
    pairs = [edge for edge in edges if isinstance(edge, list)] if isinstance(edges, list) else []
    strangers = {str(name) for edge in pairs for name in edge if name not in known}
    if strangers:
        raise InvalidTrainingConfigError(
            f"{where}.edges has names that aren't nodes of the skeleton: {', '.join(sorted(strangers))}."
        )
