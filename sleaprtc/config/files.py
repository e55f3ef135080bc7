"""Finds and reads the settings files; a project's file takes precedence over the user's own."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import platformdirs

from ..base.sentences import as_clause
from ..errors import UsageError
from .checking import problem_in
from .schema import FILES, MANY, SETTINGS, SHARED, Setting, allowed_in, name_of
from .toml_lines import last_line, lines_of

PROJECT_FILE_NAME: Final = "sleap-rtc.toml"
USER_FILE_NAME: Final = "config.toml"
FILE_VARIABLE: Final = "SLEAP_RTC_CONFIG_FILE"

_PLACE: Final = re.compile(r" \(at (?:line (?P<line>\d+), column \d+|end of document)\)$")


@attrs.frozen
class FileValue:
    """The value that a file has for one setting, and where.

    Attributes:
        value: The value.
        label: What sentences call the file.
        line: The line, counted from 1; None if it isn't known.
    """

    value: Any
    label: str
    line: int | None

    @property
    def place(self) -> str:
        """The file and line, for the beginning of a sentence."""
        return self.label if self.line is None else f"{self.label}, line {self.line},"


@attrs.frozen
class SettingsFile:
    """A settings file that conforms to the schema.

    Attributes:
        path: Where the file is.
        label: What sentences call the file.
        text: The file's text.
        content: The same, parsed.
    """

    path: Path
    label: str
    text: str
    content: Mapping[str, Any]

    def values(self, program: str) -> dict[str, FileValue]:
        """Returns the file's values for a program (worker, client or server), by the settings' names."""
        lines = lines_of(self.text)
        found: dict[str, FileValue] = {}
        for section in (SHARED, program):
            content = self.content if section == SHARED else self.content.get(program, {})
            allowed = allowed_in(section)
            if section == SHARED and program == "server":
                continue
            for key, value in content.items():
                setting = allowed.get(name_of(key))
                if setting is not None:
                    keys = (key,) if section == SHARED else (section, key)
                    found[setting.name] = FileValue(
                        self._resolved(setting, value), self.label, lines.get(keys)
                    )
        return found

    def _resolved(self, setting: Setting, value: Any) -> Any:
        """Makes a single item a list if the setting is one, and resolves paths against the file's folder."""
        values = value if isinstance(value, list) else [value]
        if setting.kind in FILES:
            values = [self._path(text) for text in values]
        return tuple(values) if setting.kind in MANY else values[0]

    def _path(self, text: str) -> str:
        """Resolves a path against the file's folder; unchanged if that is the working directory."""
        path = Path(os.path.expanduser(text))  # noqa: PTH111  # Path.expanduser raises if there is no home
        here = working_dir()
        folder = self.path.absolute().parent if here is not None else self.path.parent
        return text if folder == here and not text.startswith("~") else str(folder / path)


def working_dir() -> Path | None:
    """Returns the working directory; None if it has been removed."""
    try:
        return Path.cwd()
    except OSError:
        return None


def is_there(path: Path) -> bool:
    """Returns whether a file exists; false if this user may not know."""
    try:
        return path.is_file()
    except OSError:
        return False


def user_file() -> Path:
    """Returns the path of the user's own file, which needn't exist."""
    return platformdirs.user_config_path("sleap-rtc") / USER_FILE_NAME


def project_file(folder: Path) -> Path | None:
    """Returns the nearest ``sleap-rtc.toml`` in a folder or above it; None if there is none."""
    for candidate in (folder, *folder.parents):
        path = candidate / PROJECT_FILE_NAME
        if is_there(path):
            return path
    return None


def belongs_to_somebody_else(path: Path) -> bool:
    """Returns whether a file that was found, not named, is neither this user's own nor root's.

    Such a file could name a Python to run, or a server to send labels to. On a shared machine, everybody can
    often write to a folder above the working directory.
    """
    return hasattr(os, "getuid") and path.stat().st_uid not in (os.getuid(), 0)


def places(explicit: Path | None) -> list[tuple[str, Path | None]]:
    """Returns which files are read, highest precedence first.

    Args:
        explicit: The file that the user named, which replaces all others.

    Returns:
        What each file is ("given", "project" or "user"), and its path; None if no project file was found.
    """
    if explicit is not None:
        return [("given", explicit)]
    here = working_dir()
    return [("project", None if here is None else project_file(here)), ("user", user_file())]


def read_files(explicit: Path | None = None) -> tuple[list[SettingsFile], list[str]]:
    """Reads the settings files.

    Args:
        explicit: A file to read instead of all others; it must exist.

    Returns:
        The files, highest precedence first, and warnings about files that aren't read.

    Raises:
        UsageError: A file can't be read, or doesn't conform to the schema.
    """
    files, warnings = [], []
    for what, path in places(explicit):
        if path is None or (what == "user" and not is_there(path)):
            continue
        if what == "project" and belongs_to_somebody_else(path):
            warnings.append(
                f"{path} belongs to somebody else and isn't read; --config-file {path} reads it anyway."
            )
            continue
        files.append(read_file(path))
    return files, warnings


def read_file(path: Path) -> SettingsFile:
    """Reads a file and checks it against the schema.

    Raises:
        UsageError: The file can't be read, or doesn't conform to the schema.
    """
    label = _label(path)
    try:
        # Read as bytes: in TOML, a carriage return alone doesn't end a line, so it mustn't count as one.
        text = path.read_bytes().decode("utf-8-sig")
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        line = place["line"] if place is not None and place["line"] else last_line(text)
        raise UsageError(
            f"{label}, line {line}: this isn't valid TOML: {as_clause(_PLACE.sub('', str(error)))}."
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{label} isn't text in UTF-8.") from error
    except OSError as error:
        raise UsageError(f"{label} can't be read: {as_clause(error)}.") from error
    problem = problem_in(content)
    if problem is not None:
        keys, sentence = problem
        end = "" if sentence.endswith("?") else "."
        raise UsageError(f"{label}, line {lines_of(text).get(keys, '?')}: {sentence}{end}")
    return SettingsFile(path, label, text, content)


def _label(path: Path) -> str:
    """Returns a path for sentences: relative to the working directory if it is inside it."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):  # it is elsewhere, or there is no working directory
        return str(path)


def merged(files: list[SettingsFile], program: str) -> dict[str, FileValue]:
    """Merges the files' values for one program; the file with the highest precedence wins."""
    found: dict[str, FileValue] = {}
    for file in reversed(files):
        found |= file.values(program)
    return found


def by_parameter(values: Mapping[str, FileValue], program: str) -> dict[str, FileValue]:
    """Returns the same values by the names of the options' parameters."""
    return {_setting(program, name).parameter: value for name, value in values.items()}


def _setting(program: str, name: str) -> Setting:
    return allowed_in(program).get(name) or SETTINGS[SHARED][name]
