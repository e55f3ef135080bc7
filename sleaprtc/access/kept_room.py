"""The room that a worker made: the worker returns to it after a restart, so that its invite stays valid."""

from __future__ import annotations

from pathlib import Path

import attrs

from ..base.json_text import parse_json
from ..base.logs import get_logger
from ..base.private_files import write_private_json
from ..errors import RateLimitedError, RefusedError, StorageError
from ..protocol.messages import JSONObject
from ..signaling.http import Account, SignalingHTTP
from .joined_room import RememberedRoom, as_json, from_json

_log = get_logger(__name__)


@attrs.frozen
class KeptRoom:
    """The worker's own room, and the account that made it."""

    place: RememberedRoom
    account: Account

    def is_same(self, place: RememberedRoom) -> bool:
        """Whether another address, such as the machine's outer one, leads to the same room."""
        own, other = self.place.room, place.room
        return (own.room_id, own.token, self.place.secret) == (other.room_id, other.token, place.secret)


class KeptRoomFile:
    """The file in a worker's folder that holds its room."""

    def __init__(self, work_dir: Path) -> None:
        self._path = work_dir / "room.json"

    def read(self) -> KeptRoom | None:
        """Returns the room that the worker made before its restart, if any."""
        try:
            content = self._content()
            return KeptRoom(from_json(content), _account_in(content))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, kept: KeptRoom) -> None:
        """Saves a room, readable only by the owner; if it can't be written, logs a warning."""
        self._write({**as_json(kept.place), **_account_fields(kept.account)})

    def renewed(self, account: Account) -> None:
        """Saves the account's new token, since the previous one expires."""
        try:
            content = self._content()
            _account_in(content)
        except (OSError, ValueError, KeyError, TypeError):
            return
        self._write({**content, **_account_fields(account)})  # what only a newer version knows stays

    def _content(self) -> JSONObject:
        content: JSONObject = parse_json(self._path.read_text(encoding="utf-8"))
        return content

    def _write(self, content: JSONObject) -> None:
        try:
            write_private_json(self._path, content)
        except StorageError as error:
            _log.warning("The worker's room can't be stored for its next start.", error=str(error))


def _account_in(content: JSONObject) -> Account:
    return Account(str(content["username"]), str(content["id_token"]))


def _account_fields(account: Account) -> JSONObject:
    return {"username": account.username, "id_token": account.id_token}


async def go_back(kept: KeptRoom, http: SignalingHTTP) -> KeptRoom | None:
    """Renews the room; returns None if it is gone or belongs to another account.

    Raises:
        SignalingUnreachableError: The server doesn't answer.
        RateLimitedError: It was asked too often; the room may still be there.
    """
    try:
        account = await http.sign_in(kept.account)
        expires_at = await http.renew_room(account, kept.place.room.room_id)
    except RateLimitedError:
        raise
    except RefusedError:
        return None
    room = attrs.evolve(kept.place.room, expires_at=expires_at)
    return KeptRoom(attrs.evolve(kept.place, room=room), account)
