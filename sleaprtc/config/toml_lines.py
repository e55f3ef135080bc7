"""Finds the lines of settings in TOML: ``tomllib`` returns values without their positions."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Keys: TypeAlias = tuple[str, ...]


def lines_of(text: str) -> dict[Keys, int]:
    """Finds the line, counted from 1, on which each key of a valid TOML document begins.

    Every statement of TOML (a table's header, or a key and its value) is a valid document by itself, and a
    value of several lines isn't valid before its last one. So lines are collected until they are a valid
    document.
    """
    found: dict[Keys, int] = {}
    table: Keys = ()
    for line_number, statement in _statements(text):
        content = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _innermost(content)
            found.setdefault(table, line_number)
        else:
            for keys in _paths(content):
                found.setdefault(table + keys, line_number)
    return found


def last_line(text: str) -> int:
    """Finds the line of the last statement in a document whose error was only noticed at its end.

    That statement is incomplete, or it is complete but conflicts with those before it.
    """
    begin, end = 1, 1
    for line_number, statement in _statements(text):
        end = line_number + statement.count("\n")
        if tomllib.loads(statement):
            begin = line_number
    is_open = bool("\n".join(text.split("\n")[end - 1 :]).strip())
    return end if is_open else begin


def _statements(text: str) -> Iterator[tuple[int, str]]:
    gathered, begin = "", 1
    for line_number, line in enumerate(text.split("\n"), start=1):
        if not gathered:
            begin = line_number
        gathered += f"{line}\n"
        try:
            tomllib.loads(gathered)
        except tomllib.TOMLDecodeError:
            continue
        yield begin, gathered
        gathered = ""


def _innermost(content: Mapping[str, Any]) -> Keys:
    """Returns the keys of the table that a header opens: ``[a.b]`` is ``("a", "b")``."""
    keys: Keys = ()
    inner: Any = content
    while inner:
        if isinstance(inner, list):
            inner = inner[0]
        else:
            ((key, inner),) = inner.items()
            keys += (key,)
    return keys


def _paths(content: Mapping[str, Any]) -> Iterator[Keys]:
    for key, value in content.items():
        yield (key,)
        if isinstance(value, Mapping):
            yield from ((key, *rest) for rest in _paths(value))
