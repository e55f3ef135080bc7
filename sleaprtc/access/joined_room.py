"""The room joined on this machine, for which later commands need no options.

It is one file in the user's state folder, readable only by its owner because it has the room's token and
secret.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from ..base.json_text import parse_json
from ..base.private_files import private_state_dir, write_private_json
from ..base.sentences import as_clause
from ..errors import StorageError, UsageError
from ..protocol.messages import JSONObject
from ..rtc.secret import RoomSecret
from ..signaling.http import Endpoints, Room


@attrs.frozen
class RememberedRoom:
    """A room with everything needed to enter it.

    Attributes:
        secret: None if the room has none.
    """

    endpoints: Endpoints
    room: Room
    secret: RoomSecret | None

    def is_at(self, ws_url: str, http_url: str) -> bool:
        """Whether these are the addresses of the room's server."""
        own = self.endpoints.ws_url.rstrip("/"), self.endpoints.http_url.rstrip("/")
        return own == (ws_url.rstrip("/"), http_url.rstrip("/"))

    def is_room(self, endpoints: Endpoints, room: Room) -> bool:
        """Whether this is the same room, with or without the same secret."""
        same = self.room.room_id == room.room_id and self.room.token == room.token
        return same and self.is_at(endpoints.ws_url, endpoints.http_url)


def path() -> Path:
    """The file with the room.

    Raises:
        OpenFolderError: Others have access to the state folder.
    """
    return private_state_dir() / "room.json"


def load() -> RememberedRoom | None:
    """Returns the joined room; None if there is none, or its file can't be read.

    Raises:
        OpenFolderError: Others have access to the state folder, so somebody else may have written the file.
    """
    try:
        return from_json(parse_json(path().read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def from_json(content: JSONObject) -> RememberedRoom:
    """Parses what :func:`as_json` returned.

    Raises:
        ValueError: It isn't that.
    """
    try:
        texts = {key: str(content[key]) for key in ("ws_url", "http_url", "room_id", "token")}
        secret, ca_file = content.get("secret"), content.get("ca_file")
        return RememberedRoom(
            Endpoints(texts["ws_url"], texts["http_url"], None if ca_file is None else str(ca_file)),
            Room(texts["room_id"], texts["token"]),
            None if secret is None else RoomSecret.parse(str(secret)),
        )
    except (KeyError, TypeError, AttributeError, UsageError) as error:
        raise ValueError("no room") from error


def as_json(joined: RememberedRoom) -> dict[str, str | None]:
    """Returns a room as JSON, with its secrets."""
    return {
        "ws_url": joined.endpoints.ws_url,
        "http_url": joined.endpoints.http_url,
        "ca_file": joined.endpoints.ca_file,
        "room_id": joined.room.room_id,
        "token": joined.room.token,
        "secret": None if joined.secret is None else joined.secret.text,
    }


def remember(joined: RememberedRoom) -> bool:
    """Saves a room for later commands, in place of the previous one.

    Returns:
        Whether it differs from the previous one.

    Raises:
        StorageError: The folder can't be written.
    """
    ca_file = joined.endpoints.ca_file
    if ca_file is not None:
        joined = attrs.evolve(
            joined, endpoints=attrs.evolve(joined.endpoints, ca_file=str(Path(ca_file).absolute()))
        )
    before = load()
    if before is not None and _same(before, joined):
        return False
    write_private_json(path(), as_json(joined))
    return True


def _same(one: RememberedRoom, other: RememberedRoom) -> bool:
    kept = (one.secret, one.endpoints.ca_file) == (other.secret, other.endpoints.ca_file)
    return kept and one.is_room(other.endpoints, other.room)


def forget() -> bool:
    """Forgets the room; returns whether there was one.

    Raises:
        StorageError: Its file can't be removed.
    """
    try:
        path().unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"{path()} can't be removed: {as_clause(error)}.") from error
    return True
