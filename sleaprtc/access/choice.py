"""Which room is meant, where several sources name one: never the id of one room with the token of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

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
from .place import Access

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


@attrs.frozen
class RoomSources:
    """Who says what of server and room.

    Attributes:
        rooms: The strongest first.
        names_a_server: Whether any of them says where the server is.
    """

    rooms: tuple[RoomSource, ...]
    names_a_server: bool = False


def find_access(endpoints: Endpoints, sources: RoomSources) -> Access:
    """Finds the server and the room that are meant. An invite says all of it, whatever ``endpoints`` are.

    If no source names a room, it is the one that was joined here, unless that is on another server than the
    one that is named. A room that the strongest source names by an invite is to be remembered.

    Raises:
        UsageError: A room without its token, or the other way round; an invite that can't be read, or that is
            to another room than the one named besides.
    """
    named = chosen_room(sources.rooms)
    if not named:
        return _remembered_access(endpoints, sources.names_a_server)
    access = _named_access(endpoints, named)
    if sources.rooms[0].values.get("invite") and access.room is not None:
        return attrs.evolve(access, to_remember=RememberedRoom(access.endpoints, access.room, access.secret))
    return access


def _named_access(endpoints: Endpoints, named: Mapping[str, Any]) -> Access:
    token = _token_in(Path(named["token_file"])) if named.get("token_file") else named.get("token")
    secret = RoomSecret.parse(named["secret"]) if named.get("secret") else None
    if not named.get("invite"):
        return Access(endpoints, room_of(named.get("room"), token), secret)
    invite = Invite.parse(named["invite"])
    invited = (invite.room.room_id, invite.room.token, invite.secret)
    if (named.get("room") or invited[0], token or invited[1], secret or invited[2]) != invited:
        raise UsageError(
            "The invite is to another room than the one named besides. Leave either away: --invite "
            "(SLEAP_RTC_INVITE), or --room, --token and --secret (SLEAP_RTC_ROOM_ID, SLEAP_RTC_TOKEN and "
            "SLEAP_RTC_SECRET)."
        )
    return Access(attrs.evolve(invite.endpoints, ca_file=endpoints.ca_file), invite.room, invite.secret)


def _remembered_access(endpoints: Endpoints, names_a_server: bool) -> Access:
    """The room that was joined here: its token is for its own server alone."""
    joined = joined_room.load()
    if joined is None or (names_a_server and not joined.is_at(endpoints.ws_url, endpoints.http_url)):
        return Access(endpoints, None, None)
    at = attrs.evolve(joined.endpoints, ca_file=endpoints.ca_file or joined.endpoints.ca_file)
    return Access(at, joined.room, joined.secret, is_remembered=True)


def _token_in(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = "it is no text" if isinstance(error, UnicodeDecodeError) else as_clause(error)
        raise UsageError(f"The token file {path} can't be read: {why}.") from error
    if not token or len(token.split()) > 1:
        raise UsageError(f"The token file {path} has to hold the room's token and nothing else.")
    return token


def room_of(room: str | None, token: str | None) -> Room | None:
    """Joins ``--room`` and ``--token``, of which there must be both or neither.

    Raises:
        UsageError: Only one of the two is there, or one that can't be one.
    """
    if not room and not token:
        return None
    if not room or not token:
        missing = "--token (or SLEAP_RTC_TOKEN)" if room else "--room (or SLEAP_RTC_ROOM_ID)"
        raise UsageError(f"A room needs both its id and its token: {missing} is missing.")
    return Room.named(room, token)
