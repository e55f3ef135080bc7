"""What environment variables set, parsed as click parses them for the options of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..errors import UsageError
from .checking import fault_of
from .schema import MANY, Kind, Setting

_SWITCHES: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off", ""), False),
}
"""The words for true and false, in lower case and without the spaces around them."""


def from_variable(setting: Setting, text: str) -> Any:
    """Parses a variable's text as the option does; returns the text itself if it can't be parsed."""
    if setting.kind in MANY:
        return tuple(text.split())
    if setting.kind is Kind.SWITCH:
        return _SWITCHES.get(text.strip().lower(), text)
    try:
        if setting.kind is Kind.WHOLE:
            return int(text)
        if setting.kind is Kind.NUMBER:
            return float(text)
    except ValueError:
        return text
    return text


def text_of(setting: Setting, environ: Mapping[str, str]) -> str | None:
    """Returns the text of a setting's variable; None if there is none, or if it is empty."""
    return None if setting.variable is None else environ.get(setting.variable) or None


def value_of(setting: Setting, environ: Mapping[str, str]) -> Any:
    """Returns what a setting's variable sets, or else its default.

    Raises:
        UsageError: The variable's text is no valid value.
    """
    text = text_of(setting, environ)
    if text is None:
        return setting.default
    value = from_variable(setting, text)
    fault = fault_of(setting, list(value) if isinstance(value, tuple) else value)
    if fault is not None:
        raise UsageError(f"{setting.variable} {fault}.")
    return value
