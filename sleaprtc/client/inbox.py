"""A client's messages: what it writes to workers, and what they write back, sorted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import trio

from ..base.nurseries import contained
from ..base.sentences import as_sentence
from ..errors import NetworkError, RefusedError
from ..protocol.jobs import JobCancel, JobMessage, JobResponse
from ..protocol.vocabulary import CancelReason
from ..signaling.link import Link
from ..signaling.post import Post, SignalReceiver


class Inbox:
    """Job messages of the workers that were written to, and WebRTC signals by their senders.

    Args:
        link: The client's place in the room.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._post = Post()

    @property
    def last_heard(self) -> dict[str, float]:
        """``trio.current_time()`` of each worker's last job message, by peer id."""
        return self._post.last_heard

    @property
    def undeliverable(self) -> trio.Event:
        """Set when the server next reports that a message wasn't delivered; it doesn't say which one."""
        return self._post.undeliverable

    async def send(self, worker_id: str, message: JobMessage) -> None:
        """Writes to a worker, whose job messages are let in from then on.

        Raises:
            SignalingLostError: The server can't be reached just now.
            RefusedError: The server won't have this client back.
        """
        self._post.add_partner(worker_id)
        await self._link.send_job_message(worker_id, message)

    async def deliver(self, worker_id: str, message: JobMessage) -> None:
        """Writes to a worker as :meth:`send` does, but waits until the server has the message.

        Raises:
            RefusedError: The server won't have this client back.
        """
        self._post.add_partner(worker_id)
        await self._link.deliver_job_message(worker_id, message)

    async def next_job_message(self) -> tuple[str, JobMessage]:
        """Waits for the next job message; returns it with its sender's peer id."""
        return await self._post.next_job_message()

    def signals_from(self, peer_id: str) -> SignalReceiver:
        """Opens a new queue of a peer's WebRTC signals; an earlier one gets no more."""
        return self._post.signals.open(peer_id)

    async def run(self, on_end: Callable[[str], None]) -> None:
        """Sorts until cancelled, or until the room is gone, which a running job outlives.

        A failure costs the message that is being sorted.
        """
        while True:
            try:
                message = await self._link.receive()
            except RefusedError as error:
                on_end(
                    f"{as_sentence(error)} Running jobs continue, but their statuses can't be seen any more."
                )
                return
            with contained("A message can't be sorted."):
                self._post.sort(message)


async def decline_late(inbox: Inbox, worker_id: str, message: JobMessage) -> None:
    """Frees the slot of a worker that accepts too late; other messages are ignored.

    Without the server the worker can't be told: its reservation ends by itself.
    """
    if not isinstance(message, JobResponse) or not message.accepted:
        return
    with suppress(NetworkError, RefusedError):
        await inbox.send(worker_id, JobCancel(message.job_id, CancelReason.ASSIGNED_ELSEWHERE))
