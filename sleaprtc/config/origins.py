"""Where each setting's value comes from: an environment variable, a line of a file, or nobody."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from .files import FileValue, SettingsFile, merged
from .schema import MANY, Kind, Setting, allowed_in

_PASSWORD: Final = re.compile(r"((?://|turns?:)[^/:@\s]+:)[^@/\s]+@")
_YES: Final = ("1", "true", "t", "yes", "y", "on")


class Source(enum.Enum):
    """What kind of place a value comes from."""

    ENVIRONMENT = "environment"
    FILE = "file"
    INVITE = "invite"
    REMEMBERED = "remembered"
    DEFAULT = "default"


@attrs.frozen
class Origin:
    """Where a value comes from.

    Attributes:
        variable: Of the environment.
        file: A settings file, and ``line`` in it.
    """

    source: Source
    variable: str | None = None
    file: str | None = None
    line: int | None = None

    def phrase(self) -> str:
        """The same for a person."""
        if self.variable is not None:
            return self.variable
        if self.file is not None:
            return self.file if self.line is None else f"{self.file}:{self.line}"
        return {
            Source.INVITE: "the invite",
            Source.REMEMBERED: "the room that was joined (`sleap-rtc join`)",
        }.get(self.source, "default")


@attrs.frozen
class Resolved:
    """A setting with its value; None where it has none."""

    program: str
    setting: Setting
    value: Any
    origin: Origin


def resolve(program: str, environ: Mapping[str, str], files: Sequence[SettingsFile]) -> dict[str, Resolved]:
    """Says for each setting of a program what it is where the command line says nothing, and why."""
    in_files = merged(list(files), program)
    return {
        name: _resolve(program, setting, environ, in_files.get(name))
        for name, setting in allowed_in(program).items()
    }


def _resolve(
    program: str, setting: Setting, environ: Mapping[str, str], in_file: FileValue | None
) -> Resolved:
    text = environ.get(setting.variable, "") if setting.variable is not None else ""
    if text:
        origin = Origin(Source.ENVIRONMENT, variable=setting.variable)
        return Resolved(program, setting, from_variable(setting, text), origin)
    if in_file is not None:
        return Resolved(
            program, setting, in_file.value, Origin(Source.FILE, file=in_file.label, line=in_file.line)
        )
    return Resolved(program, setting, setting.default, Origin(Source.DEFAULT))


def from_variable(setting: Setting, text: str) -> Any:
    """Reads an environment variable as the option does; what can't be read stays text."""
    if setting.kind in MANY:
        return tuple(text.split())
    if setting.kind is Kind.SWITCH:
        return text.strip().lower() in _YES
    try:
        if setting.kind is Kind.WHOLE:
            return int(text)
        if setting.kind is Kind.NUMBER:
            return float(text)
    except ValueError:
        return text
    return text


def shown(resolved: Resolved) -> Any:
    """The value as it may be shown; None where it has none, or is a secret as a whole."""
    value = resolved.value
    if isinstance(value, tuple):
        return [_PASSWORD.sub(r"\1***@", text) for text in value]
    if resolved.setting.secret:
        return None
    return _PASSWORD.sub(r"\1***@", value) if isinstance(value, str) else value
