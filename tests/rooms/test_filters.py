"""Discovery filters, operator by operator."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.errors import InvalidFilterError
from sleaprtc.protocol.messages import Metadata
from sleaprtc.rooms.filters import parse_filters


def finds(condition: Any, **properties: Any) -> bool:
    """Returns whether a condition on `x` matches a peer with these properties."""
    return parse_filters({"properties": {"x": condition}}).matches("peer", Metadata(properties=properties))


# condition, then a value of the property that it finds, or doesn't
HOLDS = [
    ("a", "a"),
    (5, 5),
    (5, 5.0),
    (True, True),
    (None, None),
    ({"a": [1]}, {"a": [1.0]}),
    ([1, 2], [1, 2]),
    ("a", ["b", "a"]),
    ([1], [[1], 2]),
    ({}, {}),
    ({"$eq": 5}, 5),
    ({"$eq": "a"}, ["a", "b"]),
    ({"$eq": None}, None),
    ({"$eq": {"$gt": 1}}, {"$gt": 1}),
    ({"$ne": 5}, 6),
    ({"$ne": 5}, "5"),
    ({"$ne": 1}, True),
    ({"$ne": "a"}, ["b", "c"]),
    ({"$ne": "a"}, []),
    ({"$ne": None}, 0),
    ({"$gt": 5}, 6),
    ({"$gt": 5}, 5.5),
    ({"$gt": "a"}, "b"),
    ({"$gt": 5}, [1, 9]),
    ({"$gt": 5}, ["x", 9]),
    ({"$gte": 5}, 5),
    ({"$gte": "a"}, "a"),
    ({"$lt": 5}, -1),
    ({"$lt": "b"}, "a"),
    ({"$lte": 5}, 5),
    ({"$lte": 5}, [9, 5]),
    ({"$in": [1, "a"]}, "a"),
    ({"$in": [1, "a"]}, ["z", 1]),
    ({"$in": [[1, 2]]}, [1, 2]),
    ({"$in": [None]}, None),
    ({"$nin": [1, "a"]}, "b"),
    ({"$nin": []}, "b"),
    ({"$nin": ["a"]}, ["b", "c"]),
    ({"$exists": True}, None),
    ({"$exists": True}, 0),
    ({"$gte": 5, "$lt": 10}, 5),
    ({"$gt": 5, "$lt": 3}, [1, 9]),  # each for any item
]
HOLDS_NOT = [
    ("a", "b"),
    (5, "5"),
    ("5", 5),
    (1, True),
    (True, 1),
    (0, False),
    (None, 0),
    ([1, 2], [2, 1]),
    ([1, 2], 1),
    ({"a": 1}, {"a": True}),
    ({"a": 1}, {"a": 1, "b": 2}),
    ("a", [["a"]]),
    ({"$eq": 5}, 6),
    ({"$ne": 5}, 5.0),
    ({"$ne": "a"}, ["a", "b"]),
    ({"$gt": 5}, 5),
    ({"$gt": 5}, "6"),
    ({"$gt": 0}, True),
    ({"$gt": 5}, None),
    ({"$gt": 5}, {"a": 6}),
    ({"$gt": 5}, []),
    ({"$gt": 5}, ["6", True, None, [6]]),
    ({"$gte": 5}, 4.999),
    ({"$lt": 5}, 5),
    ({"$lt": "5"}, 4),
    ({"$lte": 5}, 6),
    ({"$in": [1, "a"]}, "1"),
    ({"$in": [1]}, True),
    ({"$in": []}, 1),
    ({"$nin": [1, "a"]}, 1.0),
    ({"$nin": ["a"]}, ["b", "a"]),
    ({"$exists": False}, None),
    ({"$gte": 5, "$lt": 10}, 10),
]


@pytest.mark.parametrize(("condition", "value"), HOLDS, ids=str)
def test_a_condition_that_holds(condition: Any, value: Any) -> None:
    assert finds(condition, x=value)


@pytest.mark.parametrize(("condition", "value"), HOLDS_NOT, ids=str)
def test_a_condition_that_does_not_hold(condition: Any, value: Any) -> None:
    assert not finds(condition, x=value)


@pytest.mark.parametrize(
    "condition",
    [
        "a",
        None,
        {"$eq": None},
        {"$ne": 5},
        {"$gt": 5},
        {"$gte": 5},
        {"$lt": 5},
        {"$lte": ""},
        {"$in": [None]},
        {"$nin": [5]},
        {"$exists": True},
        {"$exists": False, "$ne": 5},
    ],
    ids=str,
)
def test_a_missing_property_matches_nothing(condition: Any) -> None:
    assert not finds(condition, y=5)
    assert not parse_filters({"properties": {"x": condition}}).matches("peer", Metadata())


def test_a_missing_property_matches_that_it_does_not_exist() -> None:
    assert finds({"$exists": False}, y=5)
    assert parse_filters({"properties": {"x": {"$exists": False}}}).matches("peer", Metadata())


def test_role_tags_and_properties_must_all_hold() -> None:
    wanted = parse_filters({"role": "worker", "tags": ["a", "b"], "properties": {"x": 1, "y": {"$gt": 1}}})
    good = Metadata(tags=("b", "c", "a"), properties={"x": 1, "y": 2, "z": 3})
    assert wanted.matches("worker", good)
    assert not wanted.matches("client", good)
    assert not wanted.matches("worker", Metadata(tags=("a",), properties=good.properties))
    assert not wanted.matches("worker", Metadata(tags=good.tags, properties={"x": 1, "y": 1}))
    assert not wanted.matches("worker", Metadata(tags=good.tags))
    assert not wanted.matches("worker", Metadata())


@pytest.mark.parametrize("filters", [{}, {"tags": []}, {"properties": {}}, {"unknown": {"$what": 1}}])
def test_filters_that_ask_for_nothing_find_everybody(filters: dict[str, Any]) -> None:
    assert parse_filters(filters).matches("peer", Metadata())
    assert parse_filters(filters).matches("worker", Metadata(tags=("a",), properties={"x": 1}))


@pytest.mark.parametrize(
    "filters",
    [
        {"role": None},
        {"role": ["worker"]},
        {"tags": "worker"},
        {"tags": None},
        {"tags": ["a", 1]},
        {"properties": None},
        {"properties": ["x"]},
        *(
            {"properties": {"x": condition}}
            for condition in [
                {"$regex": "a"},
                {"$GT": 1},
                {"$": 1},
                {"$gt": 1, "lt": 2},
                {"lt": 2, "$gt": 1},
                {"$in": "ab"},
                {"$in": {"a": 1}},
                {"$nin": None},
                {"$exists": 1},
                {"$exists": None},
                {"$exists": "true"},
                *(
                    {name: operand}
                    for name in ("$gt", "$gte", "$lt", "$lte")
                    for operand in (True, None, [], {})
                ),
            ]
        ),
    ],
    ids=str,
)
def test_filters_that_cannot_be_read(filters: dict[str, Any]) -> None:
    with pytest.raises(InvalidFilterError):
        parse_filters(filters)


# --- for any JSON ---------------------------------------------------------------------------

names = st.sampled_from(["x", "y", "$eq", "$gt", "$in", "$exists", "$nin", "$what", ""])
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
properties = st.dictionaries(st.sampled_from(["x", "y"]), values, max_size=2)


@given(filters=st.dictionaries(st.sampled_from(["role", "tags", "properties", "z"]), values), have=properties)
def test_any_filters_are_read_or_refused_and_never_raise_later(
    filters: dict[str, Any], have: dict[str, Any]
) -> None:
    try:
        wanted = parse_filters(filters)
    except InvalidFilterError:
        return
    assert wanted.matches("peer", Metadata(tags=("x",), properties=have)) in (True, False)


@given(operand=values, have=properties)
def test_negations(operand: Any, have: dict[str, Any]) -> None:
    for plain, negation, argument in (("$eq", "$ne", operand), ("$in", "$nin", [operand])):
        there = "x" in have
        assert finds({negation: argument}, **have) is (there and not finds({plain: argument}, **have))
    assert finds({"$in": [operand]}, **have) is finds({"$eq": operand}, **have)


@given(have=properties)
def test_existence(have: dict[str, Any]) -> None:
    assert finds({"$exists": True}, **have) is ("x" in have)
    assert finds({"$exists": False}, **have) is ("x" not in have)


@given(value=values)
def test_every_value_equals_itself(value: Any) -> None:
    assert finds({"$eq": value}, x=value)
    assert finds({"$eq": value}, x=["other", value])


@given(left=st.integers() | st.floats(allow_nan=False), right=st.integers() | st.floats(allow_nan=False))
def test_order_is_that_of_numbers(left: float, right: float) -> None:
    assert finds({"$gt": right}, x=left) is (left > right)
    assert finds({"$gte": right}, x=left) is (left >= right)
    assert finds({"$lt": right}, x=left) is (left < right)
    assert finds({"$lte": right}, x=left) is (left <= right)
    assert finds({"$eq": right}, x=left) is (left == right)
