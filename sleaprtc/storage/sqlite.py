"""Stores rooms in an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

import trio

from ..base.database import Layout, open_database
from ..base.sentences import as_clause
from ..errors import StorageError
from .base import RoomStorage, StoredRoom

DATABASE_FILE_NAME: Final = "rooms.sqlite3"
BUSY_TIMEOUT_SEC: Final = 5.0
"""How long to wait while another process, such as a backup, has the file locked."""

LAYOUT: Final = Layout(
    name="room database",
    option="--state-dir",
    steps=(
        (
            """CREATE TABLE IF NOT EXISTS rooms (
                room_id TEXT PRIMARY KEY,
                token TEXT NOT NULL,
                creator TEXT NOT NULL,
                expires_at REAL NOT NULL,
                deleted INTEGER NOT NULL DEFAULT 0
            ) WITHOUT ROWID""",
        ),
    ),
)

T = TypeVar("T")


class SqliteRoomStorage(RoomStorage):
    """The rooms in an SQLite file. Made by :func:`open_sqlite_storage`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._one_at_a_time = trio.CapacityLimiter(1)

    async def load_rooms(self) -> list[StoredRoom]:
        """Returns all stored rooms, including those that have ended."""

        def load() -> list[StoredRoom]:
            rows = self._connection.execute("SELECT room_id, token, creator, expires_at, deleted FROM rooms")
            return [
                StoredRoom(room_id, token, creator, expires_at, bool(deleted))
                for room_id, token, creator, expires_at, deleted in rows
            ]

        return await self._in_thread(load)

    async def add_room(self, room: StoredRoom) -> None:
        """Stores a new room."""
        await self._write(
            "INSERT INTO rooms (room_id, token, creator, expires_at, deleted) VALUES (?, ?, ?, ?, ?)",
            room.room_id,
            room.token,
            room.creator,
            room.expires_at,
            room.deleted,
        )

    async def set_expiry(self, room_id: str, expires_at: float) -> None:
        """Changes a room's end, in epoch seconds."""
        await self._write("UPDATE rooms SET expires_at = ? WHERE room_id = ?", expires_at, room_id)

    async def mark_deleted(self, room_id: str) -> None:
        """Marks a room as deleted by its creator."""
        await self._write("UPDATE rooms SET deleted = 1 WHERE room_id = ?", room_id)

    async def forget_rooms_expired_before(self, then: float) -> None:
        """Removes rooms whose end was before ``then``, in epoch seconds."""
        await self._write("DELETE FROM rooms WHERE expires_at < ?", then)

    async def _write(self, statement: str, *values: str | float) -> None:
        def write() -> None:
            self._connection.execute(statement, values)

        await self._in_thread(write)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Runs blocking work in a thread, one at a time, to its end even if the caller is cancelled."""
        try:
            return await trio.to_thread.run_sync(work, limiter=self._one_at_a_time)
        except sqlite3.Error as error:
            raise StorageError(f"The room database failed: {as_clause(error)}.") from error


@asynccontextmanager
async def open_sqlite_storage(state_dir: Path) -> AsyncIterator[SqliteRoomStorage]:
    """Opens the room database in a folder, and creates it on the first start.

    Raises:
        StorageError: On entering: the file can't be used. The block's own exceptions pass through unchanged.
        NewerStateError: On entering: a newer version wrote the file.
    """
    path = state_dir / DATABASE_FILE_NAME
    connection = await trio.to_thread.run_sync(open_database, path, LAYOUT, BUSY_TIMEOUT_SEC)
    try:
        yield SqliteRoomStorage(connection)
    finally:
        # Synchronous, so that it also happens under cancellation. It only checkpoints a small file.
        connection.close()
