"""What the hub needs of a storage, independent of the database."""

from __future__ import annotations

from abc import ABC, abstractmethod

import attrs


@attrs.frozen
class StoredRoom:
    """A room as it is stored.

    Attributes:
        creator: Subject of the id token with which it was created.
        expires_at: When the room ends, in epoch seconds.
        deleted: True if its creator deleted it.
    """

    room_id: str
    token: str = attrs.field(repr=False)
    creator: str
    expires_at: float
    deleted: bool = False


class RoomStorage(ABC):
    """Stores rooms. Once a call returns, its change survives if the process is killed.

    Every method can raise :class:`~sleaprtc.errors.StorageError`.
    """

    @abstractmethod
    async def load_rooms(self) -> list[StoredRoom]:
        """Returns all stored rooms, including those that have ended."""

    @abstractmethod
    async def add_room(self, room: StoredRoom) -> None:
        """Stores a new room."""

    @abstractmethod
    async def set_expiry(self, room_id: str, expires_at: float) -> None:
        """Changes a room's end, in epoch seconds."""

    @abstractmethod
    async def mark_deleted(self, room_id: str) -> None:
        """Marks a room as deleted by its creator."""

    @abstractmethod
    async def forget_rooms_expired_before(self, then: float) -> None:
        """Removes rooms whose end was before ``then``, in epoch seconds."""
