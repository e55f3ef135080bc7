"""Which worker gets a job: what a person requires of it, as values and as the filters of a discovery."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

import attrs

from ....base.json_text import parse_json
from ....errors import UsageError
from ....jobs.negotiation import SelectionRule
from ....jobs.properties import COMMON_TAG, TEXT_PROPERTIES, WORKER_ROLE, WORKER_TAGS
from ....protocol.features import EPHEMERAL_FEATURE
from ....protocol.limits import JOB_RESPONSE_TIMEOUT_SEC
from ....protocol.messages import JSONObject
from ....protocol.vocabulary import JobType

INFERENCE_TAG: Final = WORKER_TAGS[JobType.INFERENCE]

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


class Condition(NamedTuple):
    """A comparison with a worker's property; ``operator`` is a discovery's, such as ``$gte``."""

    name: str
    operator: str
    operand: object


def parse_condition(text: str) -> Condition:
    """Parses ``key>=value`` and the like.

    The value is JSON if it can be parsed as JSON (``8192``, ``true``, ``"11.8"``), and a string otherwise.

    Raises:
        UsageError: It has no comparison.
    """
    match = _CONDITION.fullmatch(text)
    if match is None or not match[3]:
        raise UsageError(f"{text!r} is no condition; write key=value, or >=, <=, >, <, != in place of =.")
    return Condition(match[1], _OPERATORS[match[2]], _operand(match[1], match[3]))


def _operand(name: str, text: str) -> object:
    try:
        value: object = parse_json(text)
    except ValueError:
        return text
    return text if name in TEXT_PROPERTIES and not isinstance(value, str) else value


def worker_filters(
    *,
    min_gpu_memory_mb: float | None = None,
    conditions: Iterable[str] = (),
    tags: Iterable[str] = (),
) -> JSONObject:
    """Returns the filters that find workers for which all conditions hold; all workers by default.

    Raises:
        UsageError: A condition can't be parsed, or two compare the same property in the same way.
    """
    properties: dict[str, dict[str, object]] = {}
    if min_gpu_memory_mb:
        properties["gpu_memory_mb"] = {"$gte": min_gpu_memory_mb}
    for text in conditions:
        name, operator, operand = parse_condition(text)
        if operator in properties.setdefault(name, {}):
            raise UsageError(f"There are two conditions of the same kind on {name}.")
        properties[name][operator] = operand
    filters: dict[str, object] = {"role": WORKER_ROLE, "tags": [COMMON_TAG, *tags]}
    if properties:
        filters["properties"] = properties
    return filters


def predicting(filters: JSONObject) -> JSONObject:
    """Returns the filters for those of the workers that can predict."""
    tags = [tag for tag in filters.get("tags", ()) if tag != INFERENCE_TAG]
    return {**filters, "tags": [*tags, INFERENCE_TAG]}


@attrs.frozen
class WhichWorker:
    """Which worker gets a job.

    Attributes:
        filters: The filters of the discovery that finds workers to ask.
        min_gpu_memory_mb: The GPU memory that the request requires.
        worker: The only worker to ask; None for all that are found.
        rule: Which of the workers that accept gets the job.
        response_timeout_sec: How long to wait for answers.
        keeps_nothing: Whether the worker is asked to keep nothing of the job once its result is fetched; see
            :meth:`that_keep_nothing`.
    """

    filters: JSONObject = attrs.field(factory=worker_filters)
    min_gpu_memory_mb: float = 0
    worker: str | None = None
    rule: SelectionRule = SelectionRule.FASTEST
    response_timeout_sec: float = JOB_RESPONSE_TIMEOUT_SEC
    keeps_nothing: bool = False

    def that_keep_nothing(self) -> WhichWorker:
        """Returns the same workers, except for those that can't keep nothing of a job."""
        properties = dict(self.filters.get("properties", {}))
        properties["features"] = {"$eq": EPHEMERAL_FEATURE}  # which holds if one of them is it
        return attrs.evolve(self, filters={**self.filters, "properties": properties}, keeps_nothing=True)
