"""Which room is meant, where several sources name one: never the id of one room with the token of another."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
import click
from click.core import ParameterSource

from .config.files import SettingsFile
from .config.option import files_of
from .config.schema import SETTINGS, SHARED

CREDENTIALS: Final = ("token", "token_file", "secret")
ROOM_SETTINGS: Final = ("invite", "room", *CREDENTIALS)


@attrs.frozen
class RoomSource:
    """What one source, such as the environment, says of a room.

    Attributes:
        origin: How a sentence calls the source.
        values: Of :data:`ROOM_SETTINGS`, those that it sets.
    """

    origin: str
    values: Mapping[str, Any]

    @property
    def names_a_room(self) -> bool:
        """Whether it says which room, and not only how to get in."""
        return bool(self.values.get("invite") or self.values.get("room"))


def chosen_room(sources: Sequence[RoomSource]) -> dict[str, Any]:
    """Chooses the room of the strongest source that names one.

    A token and a secret belong to the room that is named beside them: those of another room aren't taken. One
    that stands alone belongs to whichever room is meant, unless it stands below an invite, which has its own.

    Args:
        sources: The strongest first.

    Returns:
        Of :data:`ROOM_SETTINGS` those that hold.
    """
    chosen: dict[str, Any] = {}
    named = next((source for source in sources if source.names_a_room), None)
    for source in sources:
        if named is not None and source is not named:
            is_weaker = sources.index(source) > sources.index(named)
            if is_weaker and named.values.get("invite"):
                break
            if source.names_a_room and source.values.get("room") != named.values.get("room"):
                continue
            if source.values.get("invite"):
                continue
        _add(chosen, source.values, rooms_too=source is named)
    return chosen


def _add(chosen: dict[str, Any], values: Mapping[str, Any], *, rooms_too: bool) -> None:
    has_token = "token" in chosen or "token_file" in chosen
    for name in ROOM_SETTINGS if rooms_too else CREDENTIALS:
        if values.get(name) and name not in chosen and not (has_token and name in ("token", "token_file")):
            chosen[name] = values[name]


def room_sources(context: click.Context) -> tuple[RoomSource, ...]:
    """What a command's options, its environment and its settings files say of a room, the strongest first."""
    given = {
        name: context.params.get(name)
        for name in ROOM_SETTINGS
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    program, files = files_of(context)
    return (RoomSource("the command line", given), *weaker_sources(os.environ, files, program))


def weaker_sources(
    environ: Mapping[str, str], files: Sequence[SettingsFile], program: str
) -> Iterator[RoomSource]:
    """What the environment and the settings files say of a room."""
    variables = {name: SETTINGS[SHARED][name].variable for name in ROOM_SETTINGS}
    set_there = {name: environ.get(variable) for name, variable in variables.items() if variable is not None}
    yield RoomSource("the environment", {name: value for name, value in set_there.items() if value})
    for file in files:
        values = file.values(program)
        yield RoomSource(file.label, {name: values[name].value for name in ROOM_SETTINGS if name in values})
