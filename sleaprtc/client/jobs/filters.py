"""What a person asks of a worker, as the filters of a discovery."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from ...base.json_text import parse_json
from ...errors import UsageError
from ...jobs.properties import COMMON_TAG, TEXT_PROPERTIES, WORKER_ROLE

_CONDITION: Final = re.compile(r"\s*([\w.-]+)\s*(>=|<=|!=|==|=|>|<)\s*([^<>=!\s].*?)\s*", re.DOTALL)
_OPERATORS: Final = {
    ">=": "$gte",
    "<=": "$lte",
    "!=": "$ne",
    "==": "$eq",
    "=": "$eq",
    ">": "$gt",
    "<": "$lt",
}


def parse_condition(text: str) -> tuple[str, str, Any]:
    """Reads ``key>=value`` and the like into name, operator and operand.

    The value is read as JSON where it is JSON (``8192``, ``true``, ``"11.8"``), else as a string.

    Raises:
        UsageError: There is no comparison in it.
    """
    match = _CONDITION.fullmatch(text)
    if match is None or not match[3]:
        raise UsageError(f"{text!r} is no condition; write key=value, or >=, <=, >, <, != in place of =.")
    return match[1], _OPERATORS[match[2]], _operand(match[1], match[3])


def _operand(name: str, text: str) -> Any:
    try:
        value = parse_json(text)
    except ValueError:
        return text
    return text if name in TEXT_PROPERTIES and not isinstance(value, str) else value


def worker_filters(
    *,
    min_gpu_memory_mb: float | None = None,
    conditions: Iterable[str] = (),
    tags: Iterable[str] = (),
) -> dict[str, Any]:
    """Makes the filters for workers that fit; all conditions must hold.

    Raises:
        UsageError: A condition can't be read, or two of them compare the same property in the same way.
    """
    properties: dict[str, dict[str, Any]] = {}
    if min_gpu_memory_mb:
        properties["gpu_memory_mb"] = {"$gte": min_gpu_memory_mb}
    for text in conditions:
        name, operator, operand = parse_condition(text)
        if operator in properties.setdefault(name, {}):
            raise UsageError(f"There are two conditions of the same kind on {name}.")
        properties[name][operator] = operand
    filters: dict[str, Any] = {"role": WORKER_ROLE, "tags": [COMMON_TAG, *tags]}
    if properties:
        filters["properties"] = properties
    return filters
