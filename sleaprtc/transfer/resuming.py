"""The file transfers of one job, over however many connections it needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from ..errors import ChannelClosedError, RoomSecretMissingError
from .stream import IncomingFile, TransferProgress, Transfers

SETTLE_SEC: Final = 0.05
"""How long to wait after a failure before the next attempt, so that a closed channel is noticed."""


class ResumingTransfers:
    """Waits for a connection if there is none, and tries again over the next one if it is lost.

    What has arrived stays on the receiver's disk, so a transfer resumes where it stopped. There is no time
    limit: callers set their own. The reason why a connection was refused is raised where it is made.

    Attributes:
        was_connected: Whether there ever was a connection.
    """

    def __init__(self) -> None:
        self.was_connected = False
        self._current: Transfers | None = None
        self._available = trio.Event()

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._current is not None

    async def use_until_closed(self, transfers: Transfers) -> None:
        """Makes ``transfers`` the current ones until their channel is closed."""
        self._current = transfers
        self.was_connected = True
        self._available.set()
        try:
            await transfers.wait_closed()
        finally:
            if self._current is transfers:
                self._current = None
                self._available = trio.Event()

    async def wait_connected(self) -> Transfers:
        """Waits until there is a connection."""
        while self._current is None:
            await self._available.wait()
        return self._current

    async def wait_disconnected(self) -> None:
        """Waits until there is no connection."""
        while self._current is not None:
            await self._current.wait_closed()

    async def send_file(
        self,
        path: Path,
        *,
        purpose: str,
        job_id: str,
        name: str | None = None,
        progress: Callable[[TransferProgress], None] | None = None,
    ) -> None:
        """Sends a file, by default under its own name; returns when the receiver has all of it.

        Raises:
            TransferError: The receiver refused the file, or one side gave up.
            StorageError: The file can't be read.
        """
        while True:
            transfers = await self.wait_connected()
            try:
                return await transfers.send_file(
                    path, purpose=purpose, name=name, job_id=job_id, progress=progress
                )
            except (ChannelClosedError, RoomSecretMissingError):
                await trio.sleep(SETTLE_SEC)

    async def next_offer(self) -> IncomingFile:
        """Waits for the other side's next file."""
        while True:
            transfers = await self.wait_connected()
            try:
                return await transfers.next_offer()
            except (ChannelClosedError, RoomSecretMissingError):
                await trio.sleep(SETTLE_SEC)
