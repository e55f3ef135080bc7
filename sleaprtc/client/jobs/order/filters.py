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
from ....rooms.filters import parse_filters

INFERENCE_TAG: Final = WORKER_TAGS[JobType.INFERENCE]
FEATURES: Final = "features"
"""The property in which a worker announces its features."""

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
        raise UsageError(f"{text!r} isn't a condition; write key=value, or >=, <=, >, <, != in place of =.")
    return Condition(match[1], _OPERATORS[match[2]], _operand(match[1], match[3]))


def _operand(name: str, text: str) -> object:
    try:
        value: object = parse_json(text)
    except ValueError:
        return text
    return text if name in TEXT_PROPERTIES and not isinstance(value, str) else value


@attrs.frozen
class WorkerFilters:
    """What a worker must have to be asked (protocol reference, "Filters").

    Attributes:
        role: The role that it must have; None for any.
        tags: The tags that it must have, all of them.
        conditions: What must hold of its properties, all of it.
    """

    role: str | None = WORKER_ROLE
    tags: tuple[str, ...] = (COMMON_TAG,)
    conditions: tuple[Condition, ...] = ()

    @classmethod
    def parse(cls, filters: JSONObject) -> WorkerFilters:
        """Parses filters in the form in which a discovery sends them; what it wouldn't use is left out.

        Raises:
            InvalidFilterError: They don't have that form.
        """
        parse_filters(filters)
        conditions = [
            condition
            for name, wanted in filters.get("properties", {}).items()
            for condition in _conditions_on(name, wanted)
        ]
        return cls(filters.get("role"), tuple(filters.get("tags", ())), tuple(conditions))

    def with_tag(self, tag: str) -> WorkerFilters:
        """Returns the filters for those of the workers that have a tag, too."""
        tags = tuple(other for other in self.tags if other != tag)
        return attrs.evolve(self, tags=(*tags, tag))

    def with_feature(self, feature: str) -> WorkerFilters:
        """Returns the filters for those of the workers that announce a feature, too.

        Raises:
            UsageError: The conditions on features can't have one more.
        """
        # Either holds if one of the worker's features is it. A filter has each operator once.
        ways = Condition(FEATURES, "$eq", feature), Condition(FEATURES, "$in", [feature])
        if any(way in self.conditions for way in ways):
            return self
        taken = {other.operator for other in self.conditions if other.name == FEATURES}
        free = [way for way in ways if way.operator not in taken]
        if not free:
            raise UsageError(f"There are too many conditions on {FEATURES} to also require {feature}.")
        return attrs.evolve(self, conditions=(*self.conditions, free[0]))

    def as_json(self) -> JSONObject:
        """Returns the filters as a discovery sends them."""
        properties: dict[str, dict[str, object]] = {}
        for name, operator, operand in self.conditions:
            properties.setdefault(name, {})[operator] = operand
        return {
            **({} if self.role is None else {"role": self.role}),
            **({"tags": list(self.tags)} if self.tags else {}),
            **({"properties": properties} if properties else {}),
        }


def _conditions_on(name: str, wanted: object) -> list[Condition]:
    """Returns the conditions that a discovery has on one property: a plain value must be equal."""
    if isinstance(wanted, dict) and any(key.startswith("$") for key in wanted):
        return [Condition(name, operator, operand) for operator, operand in wanted.items()]
    return [Condition(name, "$eq", wanted)]


def worker_filters(
    *,
    min_gpu_memory_mb: float | None = None,
    conditions: Iterable[str] = (),
    tags: Iterable[str] = (),
) -> WorkerFilters:
    """Returns the filters for workers for which all conditions hold; all workers by default.

    Raises:
        UsageError: A condition can't be parsed, or two compare the same property in the same way.
    """
    found = [Condition("gpu_memory_mb", "$gte", min_gpu_memory_mb)] if min_gpu_memory_mb else []
    for text in conditions:
        condition = parse_condition(text)
        if any(other[:2] == condition[:2] for other in found):
            raise UsageError(f"There are two conditions of the same kind on {condition.name}.")
        found.append(condition)
    return WorkerFilters(tags=(COMMON_TAG, *tags), conditions=tuple(found))


@attrs.frozen
class WhichWorker:
    """Which worker gets a job.

    Attributes:
        filters: What a worker must have to be asked.
        min_gpu_memory_mb: The GPU memory that the request requires.
        worker: The only worker to ask; None for all that are found.
        rule: Which of the workers that accept gets the job.
        response_timeout_sec: How long to wait for answers.
        keeps_nothing: Whether the worker is asked to keep nothing of the job once its result is fetched; see
            :meth:`that_keep_nothing`.
    """

    filters: WorkerFilters = WorkerFilters()
    min_gpu_memory_mb: float = 0
    worker: str | None = None
    rule: SelectionRule = SelectionRule.FASTEST
    response_timeout_sec: float = JOB_RESPONSE_TIMEOUT_SEC
    keeps_nothing: bool = False

    def that_keep_nothing(self) -> WhichWorker:
        """Returns the same workers, except for those that can't keep nothing of a job.

        Raises:
            UsageError: The filters can't have one more condition on features.
        """
        return attrs.evolve(self, filters=self.filters.with_feature(EPHEMERAL_FEATURE), keeps_nothing=True)

    def that_predict(self) -> WhichWorker:
        """Returns the same workers, except for those that don't predict."""
        return attrs.evolve(self, filters=self.filters.with_tag(INFERENCE_TAG))
