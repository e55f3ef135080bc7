"""A job's slot, from the job's point of view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from ...errors import JobFailedError
from ...jobs.capacity import Loss
from ...protocol.vocabulary import ErrorCode

_SENTENCES: Final = {
    Loss.NOT_CONNECTED: "The client made no data channel to this worker in time.",
    Loss.DISPLACED: "The slot went to a client that had proved that it knows the room's secret.",
}
_CODES: Final = {Loss.NOT_CONNECTED: ErrorCode.CLIENT_LOST, Loss.DISPLACED: ErrorCode.SLOT_LOST}


class JobSlot:
    """A slot that a job holds until it frees or loses it.

    Args:
        client_id: Whose job it is.
        is_held: Whether the job has the slot already; else it waits for one.
        free: Frees the slot; calling it again does nothing.
        confirm: Called when the job's client has connected and, where required, proved itself.

    Attributes:
        is_confirmed: Whether it has been.
    """

    def __init__(
        self,
        client_id: str,
        *,
        free: Callable[[], None],
        confirm: Callable[[], None],
        is_held: bool = True,
    ) -> None:
        self.client_id = client_id
        self.free = free
        self._confirm = confirm
        self.is_confirmed = False
        self._loss: Loss | None = None
        self._is_lost = trio.Event()
        self._is_held = trio.Event()
        if is_held:
            self._is_held.set()

    def hold(self) -> None:
        """Gives the slot to the job that waits for it."""
        self._is_held.set()

    async def wait_held(self) -> None:
        """Waits until the job has the slot."""
        await self._is_held.wait()

    def confirm(self) -> None:
        """Notes that the client has connected and, where required, proved itself."""
        self.is_confirmed = True
        self._confirm()

    @property
    def is_lost(self) -> bool:
        """Whether the slot was taken from the job."""
        return self._is_lost.is_set()

    def lose(self, loss: Loss) -> None:
        """Takes the slot from the job, which then ends."""
        self._loss = loss
        self._is_lost.set()

    async def wait_lost(self) -> JobFailedError:
        """Waits until the slot is lost; returns the error that the job then fails with."""
        await self._is_lost.wait()
        loss = self._loss or Loss.NOT_CONNECTED
        return JobFailedError(_SENTENCES[loss], error_code=_CODES[loss], recoverable=True)
