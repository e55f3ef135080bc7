"""Checks a settings file against the schema. An error's sentence suggests what the user may have meant."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ..base.byte_rates import parse_rate
from ..base.sentences import as_clause
from ..errors import UsageError
from .schema import MANY, PROGRAMS, SETTINGS, SHARED, Kind, Setting, allowed_in, name_of
from .toml_lines import Keys

_TYPES: Final[Mapping[Kind, tuple[type, ...]]] = {
    Kind.TEXT: (str,),
    Kind.PATH: (str,),
    Kind.WHOLE: (int,),
    Kind.NUMBER: (int, float),
    Kind.RATE: (str,),
    Kind.SWITCH: (bool,),
    Kind.TEXTS: (str, list),
    Kind.PATHS: (str, list),
}


def problem_in(content: Mapping[str, Any]) -> tuple[Keys, str] | None:
    """Finds the first entry that doesn't conform to the schema.

    Returns:
        The entry's key, preceded by its section's if it is in one, and a sentence without its full stop; None
        if the content is valid.
    """
    seen: set[str] = set()
    for key, value in content.items():
        if key in PROGRAMS:
            problem = _problem_in_section(key, value)
        elif isinstance(value, dict) and name_of(key) not in SETTINGS[SHARED]:
            problem = (key,), f"there is no section [{key}]{_meant(key, PROGRAMS, '[{}]')}"
        else:
            problem = _problem(SHARED, key, value, seen)
        if problem is not None:
            return problem
    return None


def _problem_in_section(section: str, content: Any) -> tuple[Keys, str] | None:
    if not isinstance(content, dict):
        return (section,), f"{section} is a section: write [{section}] on a line of its own"
    seen: set[str] = set()
    for key, value in content.items():
        problem = _problem(section, key, value, seen)
        if problem is not None:
            return problem
    return None


def _problem(section: str, key: str, value: Any, seen: set[str]) -> tuple[Keys, str] | None:
    keys = (key,) if section == SHARED else (section, key)
    name = name_of(key)
    setting = allowed_in(section).get(name)
    if setting is None:
        return keys, _unknown(section, key)
    if name in seen:
        return (
            keys,
            f'"{key}" is set twice: "{name}" and "{name.replace("_", "-")}" are the same setting',
        )
    seen.add(name)
    fault = fault_of(setting, value)
    return None if fault is None else (keys, f"{_place(section)}{key} {fault}")


def _place(section: str) -> str:
    return "" if section == SHARED else f"[{section}] "


def _unknown(section: str, key: str) -> str:
    start = f'there is no setting "{key}"' if section == SHARED else f'[{section}] has no setting "{key}"'
    if section == SHARED:
        start += " above the sections"
    for other in PROGRAMS:
        if name_of(key) in SETTINGS[other]:
            return f"{start}; it belongs below [{other}]"
    if name_of(key) in SETTINGS[SHARED]:
        return f"{start}; that one is for workers and clients"
    return start + _meant(name_of(key), allowed_in(section), '"{}"')


def _meant(word: str, known: Iterable[str], form: str) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    if near:
        return f"; did you mean {form.format(near[0])}?"
    return f"; there are {', '.join(form.format(name) for name in sorted(known))}"


def fault_of(setting: Setting, value: Any) -> str | None:
    """Returns what is wrong with a value, to follow the setting's name in a sentence; None if it is valid."""
    items = value if setting.kind in MANY and isinstance(value, list) else [value]
    if type(value) not in _TYPES[setting.kind] or (
        setting.kind in MANY and not all(isinstance(item, str) for item in items)
    ):
        return f"must be {setting.kind.value}{_instead(setting, value)}"
    if isinstance(value, int | float) and not isinstance(value, bool) and not _is_in_range(setting, value):
        return f"must be {_range(setting)}{_instead(setting, value)}"
    if setting.kind is Kind.RATE:
        return _fault_of_rate(value)
    if setting.choices and value not in setting.choices:
        near = difflib.get_close_matches(value, setting.choices, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        return f"must be one of {', '.join(setting.choices)}{_instead(setting, value)}{hint}"
    return None


def _fault_of_rate(text: str) -> str | None:
    try:
        parse_rate(text)
    except UsageError as error:
        return f"can't be used: {as_clause(error)}"
    return None


def _instead(setting: Setting, value: Any) -> str:
    """Returns ", not VALUE" for a sentence; empty for secrets, lists and tables."""
    if setting.secret or isinstance(value, dict | list):
        return ""
    if isinstance(value, bool):
        return f", not {str(value).lower()}"
    return f', not "{value}"' if isinstance(value, str) else f", not {value}"


def _is_in_range(setting: Setting, value: float) -> bool:
    if not math.isfinite(value):
        return False
    if setting.minimum is not None and (
        value < setting.minimum or (setting.above and value == setting.minimum)
    ):
        return False
    return setting.maximum is None or value <= setting.maximum


def _range(setting: Setting) -> str:
    least, most = setting.minimum, setting.maximum
    if least is None:
        return "a finite number"
    if most is None:
        return f"more than {least:g}" if setting.above else f"{least:g} or more"
    return (
        f"more than {least:g} and at most {most:.10g}" if setting.above else f"from {least:g} to {most:.10g}"
    )
