"""Discovery filters (protocol reference, section 2): parsed once, then applied to each peer."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

import attrs

from ..errors import InvalidFilterError
from ..protocol.messages import JSONObject, Metadata

Condition: TypeAlias = Callable[[Any], bool]
"""Gets a property's value, or :data:`MISSING`."""

MISSING: Final = object()


@attrs.frozen
class PeerFilter:
    """The conditions that a peer must meet to be found.

    Attributes:
        text: The filters in a normal form, so that equal filters have equal texts.
        role: The role that the peer must have; None for any.
        tags: Tags that the peer must have, all of them.
        properties: Pairs of a property's name and a condition that must hold; a name may occur repeatedly.
    """

    text: str
    role: str | None = None
    tags: frozenset[str] = frozenset()
    properties: tuple[tuple[str, Condition], ...] = ()

    def matches(self, role: str, metadata: Metadata) -> bool:
        """Returns whether a peer with this role and metadata meets the conditions."""
        if self.role is not None and role != self.role:
            return False
        if self.tags and not self.tags.issubset(metadata.tags or ()):
            return False
        values = metadata.properties or {}
        return all(holds(values.get(name, MISSING)) for name, holds in self.properties)


def parse_filters(raw: JSONObject) -> PeerFilter:
    """Parses the ``filters`` of a discovery; keys that the protocol doesn't name are ignored.

    Raises:
        InvalidFilterError: An operator is unknown, or an operand has the wrong type.
    """
    return PeerFilter(
        text=json.dumps(raw, sort_keys=True),
        role=_parse_role(raw),
        tags=_parse_tags(raw),
        properties=_parse_properties(raw.get("properties", {})),
    )


def _parse_role(raw: JSONObject) -> str | None:
    role = raw.get("role", MISSING)
    if role is MISSING:
        return None
    if not isinstance(role, str):
        raise InvalidFilterError("The filter `role` must be a string.")
    return role


def _parse_tags(raw: JSONObject) -> frozenset[str]:
    tags = raw.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise InvalidFilterError("The filter `tags` must be a list of strings.")
    return frozenset(tags)


def _parse_properties(raw: Any) -> tuple[tuple[str, Condition], ...]:
    if not isinstance(raw, dict):
        raise InvalidFilterError("The filter `properties` must be an object.")
    return tuple((name, condition) for name, value in raw.items() for condition in _conditions(value))


def _conditions(value: Any) -> list[Condition]:
    """An object with a key that starts with ``$`` holds operators; anything else is a bare value."""
    if not isinstance(value, dict) or not any(key.startswith("$") for key in value):
        return [_equals(value)]
    conditions = []
    for name, operand in value.items():
        make_condition = _OPERATORS.get(name)
        if make_condition is None:
            raise InvalidFilterError(f"Unknown filter operator {name[:64]!r}.")
        conditions.append(make_condition(operand))
    return conditions


# --- comparing JSON values ------------------------------------------------------------------


def _is_number(value: Any) -> bool:
    """True and false aren't numbers in JSON, although they are in Python."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same(left: Any, right: Any) -> bool:
    """Compares as JSON does: 1 and 1.0 are equal, 1 and true are not."""
    if isinstance(left, list) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if _is_number(left) and _is_number(right):
        return bool(left == right)
    return type(left) is type(right) and bool(left == right)


def _holds_for(value: Any, condition: Condition) -> bool:
    """A condition on a list holds if it holds for the list itself or for any of its items."""
    if isinstance(value, list):
        return condition(value) or any(map(condition, value))
    return condition(value)


# --- operators ------------------------------------------------------------------------------


def _is_any_of(operands: Iterable[Any]) -> Condition:
    conditions = [_is(operand) for operand in operands]
    return lambda value: (
        value is not MISSING and any(_holds_for(value, condition) for condition in conditions)
    )


def _is(operand: Any) -> Condition:
    if isinstance(operand, str):
        return partial(operator.eq, operand)  # no other type of JSON value equals a string
    return partial(_same, operand)


def _negated(condition: Condition) -> Condition:
    """Negates a condition on a property that the peer has; a missing property matches nothing."""
    return lambda value: value is not MISSING and not condition(value)


def _equals(operand: Any) -> Condition:
    condition = _is(operand)
    return lambda value: value is not MISSING and _holds_for(value, condition)


def _differs(operand: Any) -> Condition:
    return _negated(_equals(operand))


def _operand_list(operand: Any, name: str) -> list[Any]:
    if not isinstance(operand, list):
        raise InvalidFilterError(f"The operand of `{name}` must be a list.")
    return operand


def _in(operand: Any) -> Condition:
    return _is_any_of(_operand_list(operand, "$in"))


def _not_in(operand: Any) -> Condition:
    return _negated(_is_any_of(_operand_list(operand, "$nin")))


def _exists(operand: Any) -> Condition:
    if not isinstance(operand, bool):
        raise InvalidFilterError("The operand of `$exists` must be true or false.")
    return lambda value: (value is not MISSING) is operand


def _ordered(name: str, compare: Callable[[Any, Any], bool]) -> Callable[[Any], Condition]:
    """Numbers compare with numbers and strings with strings; a value of another type doesn't match."""

    def make_condition(operand: Any) -> Condition:
        if _is_number(operand):
            comparable: Callable[[Any], bool] = _is_number
        elif isinstance(operand, str):
            comparable = _is_string
        else:
            raise InvalidFilterError(f"The operand of `{name}` must be a number or a string.")

        def condition(value: Any) -> bool:
            return comparable(value) and compare(value, operand)

        return lambda value: _holds_for(value, condition)

    return make_condition


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


_OPERATORS: Final[dict[str, Callable[[Any], Condition]]] = {
    "$eq": _equals,
    "$ne": _differs,
    "$gt": _ordered("$gt", operator.gt),
    "$gte": _ordered("$gte", operator.ge),
    "$lt": _ordered("$lt", operator.lt),
    "$lte": _ordered("$lte", operator.le),
    "$in": _in,
    "$nin": _not_in,
    "$exists": _exists,
}
