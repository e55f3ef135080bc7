"""Rooms made on this machine, saved so that they can be kept open while a job needs them."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Final

from ..base.json_text import parse_json
from ..base.private_files import private_state_dir, write_private_json
from ..errors import UsageError
from ..protocol.messages import JSONObject
from ..protocol.values import is_room_word
from ..signaling.http import Account, Endpoints

NAME_CHARS: Final = 32


def _folder() -> Path:
    return private_state_dir() / "rooms"


def _path(room_id: str, http_url: str) -> Path:
    """Returns a room's file; the server chooses the room's id, so the id isn't used as a file name."""
    digest = hashlib.sha256(f"{http_url.rstrip('/')}\n{room_id}".encode()).hexdigest()
    return _folder() / f"{digest[:NAME_CHARS]}.json"


def _earlier_path(room_id: str) -> Path | None:
    """The file in which versions before 0.1.0 saved a room, named by the room's id."""
    return _folder() / f"{room_id}.json" if room_id.isascii() and room_id.isalnum() else None


def remember(endpoints: Endpoints, room_id: str, account: Account) -> None:
    """Saves what is needed to renew a room, readable only by its owner.

    Raises:
        OpenFolderError: Others have access to the state folder.
        StorageError: The folder can't be written.
    """
    content = {
        "http_url": endpoints.http_url,
        "room_id": room_id,
        "username": account.username,
        "id_token": account.id_token,
    }
    write_private_json(_path(room_id, endpoints.http_url), content)
    earlier = _earlier_path(room_id)
    if earlier is not None and _account_in(earlier, room_id, endpoints.http_url) is not None:
        with contextlib.suppress(OSError):
            earlier.unlink()


def owner(room_id: str, http_url: str) -> Account | None:
    """Returns the account that made a room, if that was on this machine.

    Raises:
        OpenFolderError: Others have access to the state folder.
    """
    if not is_room_word(room_id):
        return None
    found = _account_in(_path(room_id, http_url), room_id, http_url)
    earlier = _earlier_path(room_id)
    if found is None and earlier is not None:
        return _account_in(earlier, room_id, http_url)
    return found


def _account_in(path: Path, room_id: str, http_url: str) -> Account | None:
    try:
        content: JSONObject = parse_json(path.read_text(encoding="utf-8"))
        if content["http_url"].rstrip("/") != http_url.rstrip("/"):
            return None
        if content.get("room_id", room_id) != room_id:
            return None
        return Account(str(content["username"]), str(content["id_token"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def known_owner(room_id: str, http_url: str) -> Account:
    """Returns the account that made a room.

    Raises:
        OpenFolderError: Others have access to the state folder.
        UsageError: The room wasn't made here.
    """
    account = owner(room_id, http_url)
    if account is None:
        raise UsageError(
            f"Room {room_id} wasn't made by this user on this machine, and only its maker can renew it."
        )
    return account
