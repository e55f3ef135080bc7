"""Rooms that were made here, so that they can be kept open while a job needs them."""

from __future__ import annotations

from pathlib import Path

from ..documents import parse_json
from ..errors import UsageError
from ..private_files import state_dir, write_private_json
from ..signaling.http import Account, Endpoints, Room


def _path(room_id: str) -> Path:
    return state_dir() / "rooms" / f"{room_id}.json"


def remember(endpoints: Endpoints, room: Room, account: Account) -> None:
    """Keeps what renewing a room takes, readable by its owner only.

    Raises:
        StorageError: The folder can't be written.
    """
    content = {"http_url": endpoints.http_url, "username": account.username, "id_token": account.id_token}
    write_private_json(_path(room.room_id), content)


def owner(room_id: str, http_url: str) -> Account | None:
    """The account that made a room on a server, if that was here."""
    if not room_id.isalnum():
        return None
    try:
        content = parse_json(_path(room_id).read_text(encoding="utf-8"))
        if content["http_url"].rstrip("/") != http_url.rstrip("/"):
            return None
        return Account(str(content["username"]), str(content["id_token"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def known_owner(room_id: str, http_url: str) -> Account:
    """The account that made a room.

    Raises:
        UsageError: The room wasn't made here.
    """
    account = owner(room_id, http_url)
    if account is None:
        raise UsageError(f"Room {room_id} wasn't made by this user on this machine, who alone can renew it.")
    return account
