"""What the hub needs of a storage, whichever database it is."""

from __future__ import annotations

from abc import ABC, abstractmethod

import attrs


@attrs.frozen
class StoredRoom:
    """A room as it is kept.

    Attributes:
        creator: Subject of the id token that it was created with.
        expires_at: Epoch seconds.
        deleted: True if its creator ended it before its time.
    """

    room_id: str
    token: str = attrs.field(repr=False)
    creator: str
    expires_at: float
    deleted: bool = False


class RoomStorage(ABC):
    """Keeps rooms. A call that returns has made its change durable against the process being killed.

    Every method can raise :class:`~sleaprtc.errors.StorageError`.
    """

    @abstractmethod
    async def load_rooms(self) -> list[StoredRoom]:
        """Returns all rooms that are kept, those that ended included."""

    @abstractmethod
    async def add_room(self, room: StoredRoom) -> None:
        """Keeps a new room."""

    @abstractmethod
    async def set_expiry(self, room_id: str, expires_at: float) -> None:
        """Moves a room's end."""

    @abstractmethod
    async def mark_deleted(self, room_id: str) -> None:
        """Keeps a room as one that its creator ended."""

    @abstractmethod
    async def forget_rooms_expired_before(self, then: float) -> None:
        """Drops rooms whose end, in epoch seconds, lies before ``then``."""
