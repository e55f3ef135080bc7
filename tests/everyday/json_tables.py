"""The tables of ``docs/reference/json.md`` as schemas, and the check of an object against them."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "json.md"
VERSION = 1

_HEADING = re.compile(r"### `([\w -]+)`")
_ROW = re.compile(r"\| `(\w+)` \| ([^|]+) \| ([^|]+) \|")
_IS = {
    "string": lambda value: type(value) is str,
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float),
    "boolean": lambda value: type(value) is bool,
    "object": lambda value: type(value) is dict,
    "null": lambda value: value is None,
}


@attrs.frozen
class Field:
    types: tuple[str, ...]
    is_optional: bool


def read_tables(text=None):
    """The page's tables, by heading: the fields by their names."""
    tables, heading = {}, None
    for line in (REFERENCE.read_text() if text is None else text).splitlines():
        if line.startswith("#"):
            found = _HEADING.fullmatch(line)
            heading = found[1] if found else None
            assert heading not in tables, f"{heading} is there twice"
            if heading is not None:
                tables[heading] = {}
        elif heading is not None and (row := _ROW.fullmatch(line)):
            types = row[2].strip()
            is_optional = types.startswith("optional ")
            tables[heading][row[1]] = Field(tuple(types.removeprefix("optional ").split(" or ")), is_optional)
        elif heading is not None and line.startswith("|"):
            assert line in ("| field | type | meaning |", "|---|---|---|"), f"{heading}: {line}"
    return tables


TABLES = read_tables()


def check(printed, command=None):
    """Raises AssertionError where an object that was printed isn't as its table says."""
    printed = dict(printed)
    assert printed.pop("version", None) == VERSION, printed
    _check_fields(printed, printed.get("event", command))


def _check_fields(value, name):
    assert name in TABLES, f"{name} isn't documented: {value}"
    table = TABLES[name]
    undocumented = value.keys() - table.keys()
    assert not undocumented, f"{name}: {undocumented} aren't documented"
    for field, wanted in table.items():
        if field not in value:
            assert wanted.is_optional, f"{name}.{field} is missing in {value}"
        else:
            assert any(_fits(value[field], kind) for kind in wanted.types), (name, field, value[field])


def _fits(value, kind):
    if kind in _IS:
        return _IS[kind](value)
    if kind.startswith("list of "):
        inner = kind.removeprefix("list of ")
        return type(value) is list and all(_fits(item, inner) for item in value)
    assert kind.startswith("`"), f"{kind} is no type"
    _check_fields(value, kind.strip("`"))
    return True
