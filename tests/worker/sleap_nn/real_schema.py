"""Asks sleap-nn for its own schema; run by the Python that has it, with a JSON object on standard input.

``{"leaves": true}`` prints each key with its type and default, ``{"configs": [...]}`` what sleap-nn makes of
each: ``{"config": ...}`` or ``{"error": ...}``.
"""

import contextlib
import json
import sys
import typing
from collections.abc import Iterator
from typing import Any

import attrs
from omegaconf import OmegaConf
from sleap_nn.config.training_job_config import TrainingJobConfig, verify_training_cfg


def leaves_of(section: type, path: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    hints = typing.get_type_hints(section)
    for field in attrs.fields(section):
        hint, below = hints[field.name], (*path, field.name)
        inner = [kind for kind in (hint, *typing.get_args(hint)) if isinstance(kind, type)]
        sections = [kind for kind in inner if attrs.has(kind)]
        if sections:
            yield from leaves_of(sections[0], below)
            continue
        default = field.default.factory() if isinstance(field.default, attrs.Factory) else field.default  # type: ignore[arg-type]
        yield {
            "path": below,
            "kind": inner[0].__name__ if inner else "Any",
            "default": default if isinstance(default, bool | int | float | str) else None,
        }


def completed(config: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"config": OmegaConf.to_container(verify_training_cfg(OmegaConf.create(config)))}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    task = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        if task.get("leaves"):
            answer: Any = list(leaves_of(TrainingJobConfig))
        else:
            answer = [completed(config) for config in task["configs"]]
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
