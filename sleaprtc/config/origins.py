"""Where each setting's value comes from: an environment variable, a line of a file, or the default."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from .files import FileValue, SettingsFile, merged
from .schema import Setting, allowed_in
from .variables import from_variable, text_of

_PASSWORD: Final = re.compile(r"((?://|turns?:)[^/:@\s]+:)[^@/\s]+@")


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
        source: The kind of place.
        variable: The environment variable, if it is one.
        file: The settings file, if it is one, as sentences call it.
        line: The line in that file, counted from 1, if it is known.
    """

    source: Source
    variable: str | None = None
    file: str | None = None
    line: int | None = None

    def phrase(self) -> str:
        """Returns a short phrase for a person."""
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
    """A setting with its value, which is None if nothing sets it."""

    program: str
    setting: Setting
    value: Any
    origin: Origin


def resolve(program: str, environ: Mapping[str, str], files: Sequence[SettingsFile]) -> dict[str, Resolved]:
    """Returns the value of each setting of a program, and its origin, without the command line.

    Args:
        program: One of :data:`~.schema.PROGRAMS`.
        environ: The environment's variables.
        files: The settings files, highest precedence first.
    """
    in_files = merged(list(files), program)
    return {
        name: _resolve(program, setting, environ, in_files.get(name))
        for name, setting in allowed_in(program).items()
    }


def _resolve(
    program: str, setting: Setting, environ: Mapping[str, str], in_file: FileValue | None
) -> Resolved:
    text = text_of(setting, environ)
    if text is not None:
        origin = Origin(Source.ENVIRONMENT, variable=setting.variable)
        return Resolved(program, setting, from_variable(setting, text), origin)
    if in_file is not None:
        return Resolved(
            program, setting, in_file.value, Origin(Source.FILE, file=in_file.label, line=in_file.line)
        )
    return Resolved(program, setting, setting.default, Origin(Source.DEFAULT))


def shown(resolved: Resolved) -> Any:
    """Returns the value without passwords; None if there is no value, or all of it is secret."""
    value = resolved.value
    if isinstance(value, tuple):
        return [_PASSWORD.sub(r"\1***@", text) for text in value]
    if resolved.setting.secret:
        return None
    return _PASSWORD.sub(r"\1***@", value) if isinstance(value, str) else value
