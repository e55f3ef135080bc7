"""The settings files: a project's over the user's own."""

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
    """What a file says of one setting, and where it does."""

    value: Any
    label: str
    line: int | None

    @property
    def place(self) -> str:
        """Where it stands, for a person."""
        return self.label if self.line is None else f"{self.label}, line {self.line},"


@attrs.frozen
class SettingsFile:
    """A settings file that holds what the schema allows.

    Attributes:
        label: How sentences call it.
        text: What is in it.
        content: The same, read.
    """

    path: Path
    label: str
    text: str
    content: Mapping[str, Any]

    def values(self, program: str) -> dict[str, FileValue]:
        """What it says for one of worker, client and server, by the settings' names."""
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
        """Takes a lone item of a list as a list, and paths from the file's own folder on."""
        values = value if isinstance(value, list) else [value]
        if setting.kind in FILES:
            values = [self._path(text) for text in values]
        return tuple(values) if setting.kind in MANY else values[0]

    def _path(self, text: str) -> str:
        """A path as a file has it, seen from the working directory, and left alone where that is the same."""
        path = Path(os.path.expanduser(text))  # noqa: PTH111  # Path.expanduser raises where there is no home
        here = working_dir()
        folder = self.path.absolute().parent if here is not None else self.path.parent
        return text if folder == here and not text.startswith("~") else str(folder / path)


def working_dir() -> Path | None:
    """The working directory; None where it was removed meanwhile."""
    try:
        return Path.cwd()
    except OSError:
        return None


def is_there(path: Path) -> bool:
    """Whether there is such a file, as far as this user may know."""
    try:
        return path.is_file()
    except OSError:
        return False


def user_file() -> Path:
    """The user's own file, whether it exists or not."""
    return platformdirs.user_config_path("sleap-rtc") / USER_FILE_NAME


def project_file(folder: Path) -> Path | None:
    """The nearest ``sleap-rtc.toml`` in a folder or above it."""
    for candidate in (folder, *folder.parents):
        path = candidate / PROJECT_FILE_NAME
        if is_there(path):
            return path
    return None


def belongs_to_somebody_else(path: Path) -> bool:
    """Whether a file that was found by chance is neither this user's own nor the system's.

    It could name a Python to be run, or a server to send labels to: on a machine that is shared, the folder
    above is often everybody's.
    """
    return hasattr(os, "getuid") and path.stat().st_uid not in (os.getuid(), 0)


def places(explicit: Path | None) -> list[tuple[str, Path | None]]:
    """Which files are looked at, the strongest first: what each is, and where; None where there is none."""
    if explicit is not None:
        return [("given", explicit)]
    here = working_dir()
    return [("project", None if here is None else project_file(here)), ("user", user_file())]


def read_files(explicit: Path | None = None) -> tuple[list[SettingsFile], list[str]]:
    """Reads the settings files.

    Args:
        explicit: Read instead of all others; it must exist.

    Returns:
        The files, the strongest first, and warnings of those that are passed over.

    Raises:
        UsageError: A file can't be read, or has what no setting can be.
    """
    files, warnings = [], []
    for what, path in places(explicit):
        if path is None or (what == "user" and not is_there(path)):
            continue
        if what == "project" and belongs_to_somebody_else(path):
            warnings.append(
                f"{path} belongs to somebody else and isn't read; --config-file {path} reads it all the same."
            )
            continue
        files.append(read_file(path))
    return files, warnings


def read_file(path: Path) -> SettingsFile:
    """Reads a file and checks it against the schema.

    Raises:
        UsageError: It can't be read, or has what no setting can be.
    """
    label = _label(path)
    try:
        # TOML's own rule for line ends: a carriage return alone is none, and line numbers must not count it.
        text = path.read_bytes().decode("utf-8-sig")
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        line = place["line"] if place is not None and place["line"] else last_line(text)
        raise UsageError(
            f"{label}, line {line}: this is no valid TOML: {as_clause(_PLACE.sub('', str(error)))}."
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
    """A path as short as it goes: from the working directory on, where it's in there."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):  # it's elsewhere, or there is no working directory
        return str(path)


def merged(files: list[SettingsFile], program: str) -> dict[str, FileValue]:
    """What the files say together for one program: a stronger file's word counts."""
    found: dict[str, FileValue] = {}
    for file in reversed(files):
        found |= file.values(program)
    return found


def by_parameter(values: Mapping[str, FileValue], program: str) -> dict[str, FileValue]:
    """The same by the names that the options' parameters have."""
    return {_setting(program, name).parameter: value for name, value in values.items()}


def _setting(program: str, name: str) -> Setting:
    return allowed_in(program).get(name) or SETTINGS[SHARED][name]
