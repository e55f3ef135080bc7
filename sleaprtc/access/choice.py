"""Chooses the room when several sources name one: never one room's id with another room's token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from ..base.sentences import as_clause
from ..config.files import SettingsFile
from ..config.schema import SETTINGS, SHARED
from ..errors import UsageError
from ..rtc.secret import RoomSecret
from ..signaling.http import Endpoints, Room
from . import joined_room
from .invite import Invite
from .joined_room import RememberedRoom
from .place import ConnectionOptions, PeerOptions

CREDENTIALS: Final = ("token", "token_file", "secret")
ROOM_SETTINGS: Final = ("invite", "room", *CREDENTIALS)


@attrs.frozen
class RoomSource:
    """What one source, such as the environment, sets for the room.

    Attributes:
        origin: The source's name in a sentence.
        values: Those of :data:`ROOM_SETTINGS` that it sets.
    """

    origin: str
    values: Mapping[str, str]

    @property
    def names_a_room(self) -> bool:
        """Whether it names a room, rather than only a token or a secret."""
        return bool(self.values.get("invite") or self.values.get("room"))


def chosen_room(sources: Sequence[RoomSource]) -> dict[str, str]:
    """Chooses the room of the strongest source that names one.

    A token and a secret belong to the room named by the same source, and are never used with another room.
    Those from a source that names no room belong to the chosen room, unless a stronger source has an invite:
    an invite has its own.

    Args:
        sources: The strongest first.

    Returns:
        Those of :data:`ROOM_SETTINGS` that apply.
    """
    chosen: dict[str, str] = {}
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


def _add(chosen: dict[str, str], values: Mapping[str, str], *, rooms_too: bool) -> None:
    has_token = "token" in chosen or "token_file" in chosen
    for name in ROOM_SETTINGS if rooms_too else CREDENTIALS:
        if values.get(name) and name not in chosen and not (has_token and name in ("token", "token_file")):
            chosen[name] = values[name]


def weaker_sources(
    environ: Mapping[str, str], files: Sequence[SettingsFile], program: str
) -> Iterator[RoomSource]:
    """Yields what the environment and the settings files set for the room."""
    variables = {name: SETTINGS[SHARED][name].variable for name in ROOM_SETTINGS}
    set_there = {name: environ.get(variable) for name, variable in variables.items() if variable is not None}
    yield RoomSource("the environment", {name: value for name, value in set_there.items() if value})
    for file in files:
        values = file.values(program)
        yield RoomSource(file.label, {name: values[name].value for name in ROOM_SETTINGS if name in values})


@attrs.frozen
class RoomSources:
    """What all sources set for server and room.

    Attributes:
        rooms: The strongest first.
        names_a_server: Whether any of them sets the server's address.
    """

    rooms: tuple[RoomSource, ...]
    names_a_server: bool = False


def find_access(
    endpoints: Endpoints, sources: RoomSources, connection: ConnectionOptions | None = None
) -> PeerOptions:
    """Finds the server and the room to use. An invite sets both, whatever ``endpoints`` are.

    If no source names a room, it is the room joined on this machine, unless that is on another server than
    the one that is set. A room that the strongest source names by an invite is to be remembered.

    Args:
        endpoints: The server, as set by options.
        sources: What is set for the room.
        connection: How to connect; the result has it with the room's secret.

    Raises:
        UsageError: A room without its token or a token without its room; an invite that can't be read, or
            that is for another room than the one named besides.
        OpenFolderError: Others have access to the state folder, where the joined room is.
    """
    found = _find_access(endpoints, sources)
    connection = attrs.evolve(connection or ConnectionOptions(), secret=found.secret)
    return attrs.evolve(found, connection=connection)


def _find_access(endpoints: Endpoints, sources: RoomSources) -> PeerOptions:
    named = chosen_room(sources.rooms)
    if not named:
        return _remembered_access(endpoints, sources.names_a_server)
    access = _named_access(endpoints, named)
    if sources.rooms[0].values.get("invite") and access.room is not None:
        return attrs.evolve(access, to_remember=RememberedRoom(access.endpoints, access.room, access.secret))
    return access


def _named_access(endpoints: Endpoints, named: Mapping[str, str]) -> PeerOptions:
    token = _token_in(Path(named["token_file"])) if named.get("token_file") else named.get("token")
    secret = RoomSecret.parse(named["secret"]) if named.get("secret") else None
    if not named.get("invite"):
        room = room_of(named.get("room"), token)
        return PeerOptions(endpoints, room, ConnectionOptions(secret=secret))
    invite = Invite.parse(named["invite"])
    invited = (invite.room.room_id, invite.room.token, invite.secret)
    if (named.get("room") or invited[0], token or invited[1], secret or invited[2]) != invited:
        raise UsageError(
            "The invite is for another room than the one that is also named. Leave one of them out: --invite "
            "(SLEAP_RTC_INVITE), or --room, --token and --secret (SLEAP_RTC_ROOM_ID, SLEAP_RTC_TOKEN and "
            "SLEAP_RTC_SECRET)."
        )
    at = attrs.evolve(invite.endpoints, ca_file=endpoints.ca_file)
    return PeerOptions(at, invite.room, ConnectionOptions(secret=invite.secret))


def _remembered_access(endpoints: Endpoints, names_a_server: bool) -> PeerOptions:
    """The room joined on this machine, whose token is for its own server only."""
    joined = joined_room.load()
    if joined is None or (names_a_server and not joined.is_at(endpoints.ws_url, endpoints.http_url)):
        return PeerOptions(endpoints, None)
    at = attrs.evolve(joined.endpoints, ca_file=endpoints.ca_file or joined.endpoints.ca_file)
    return PeerOptions(at, joined.room, ConnectionOptions(secret=joined.secret), is_remembered=True)


def _token_in(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = "it isn't text" if isinstance(error, UnicodeDecodeError) else as_clause(error)
        raise UsageError(f"The token file {path} can't be read: {why}.") from error
    if not token or len(token.split()) > 1:
        raise UsageError(f"The token file {path} must hold the room's token and nothing else.")
    return token


def room_of(room: str | None, token: str | None) -> Room | None:
    """Combines ``--room`` and ``--token``; returns None if neither is given.

    Raises:
        UsageError: Only one of the two is given, or one of them isn't valid.
    """
    if not room and not token:
        return None
    if not room or not token:
        missing = "--token (or SLEAP_RTC_TOKEN)" if room else "--room (or SLEAP_RTC_ROOM_ID)"
        raise UsageError(f"A room needs both its id and its token: {missing} is missing.")
    return Room.named(room, token)
