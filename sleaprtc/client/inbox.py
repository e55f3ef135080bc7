"""Sorts what arrives over the signaling link by who waits for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeAlias

import trio

from ..base.nurseries import contained
from ..base.sentences import as_sentence
from ..errors import ProtocolError, RefusedError
from ..jobs.salvage import last_word
from ..protocol.codec import decode_job_message
from ..protocol.jobs import JobMessage
from ..protocol.messages import Answer, Candidate, ErrorMessage, Offer, PeerMessage
from ..signaling.link import Link
from ..signaling.session import Inbound

SIGNALS_WAITING: Final = 256
MESSAGES_WAITING: Final = 4096

Signal: TypeAlias = Offer | Answer | Candidate


class Inbox:
    """Job messages of the workers that were written to, and WebRTC signals by the peer they come from.

    Attributes:
        last_heard: ``trio.current_time()`` of the last message, by peer id.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._job_messages_send, self._job_messages = trio.open_memory_channel[tuple[str, JobMessage]](
            MESSAGES_WAITING
        )
        self._partners: set[str] = set()
        self._signals: dict[str, trio.MemorySendChannel[Signal]] = {}
        self.last_heard: dict[str, float] = {}
        self.undeliverable = trio.Event()

    async def send(self, worker_id: str, message: JobMessage) -> None:
        """Writes to a worker, whose job messages are let in from then on.

        Raises:
            SignalingLostError: The server can't be reached just now.
            RefusedError: The server won't have this client back.
        """
        self._partners.add(worker_id)
        await self._link.send_job_message(worker_id, message)

    async def deliver(self, worker_id: str, message: JobMessage) -> None:
        """Writes to a worker as :meth:`send` does, as soon as the server can be reached and until it has it.

        Raises:
            RefusedError: The server won't have this client back.
        """
        self._partners.add(worker_id)
        await self._link.deliver_job_message(worker_id, message)

    async def next_job_message(self) -> tuple[str, JobMessage]:
        """Waits for the next job message and says whose it is."""
        return await self._job_messages.receive()

    def signals_from(self, peer_id: str) -> trio.MemoryReceiveChannel[Signal]:
        """Opens a new queue of a peer's WebRTC signals; the one before it gets no more."""
        send, receive = trio.open_memory_channel[Signal](SIGNALS_WAITING)
        self._signals[peer_id] = send
        return receive

    async def run(self, on_end: Callable[[str], None]) -> None:
        """Sorts until cancelled, or until the room is gone, which a running job outlives.

        A failure costs the message that is being sorted.
        """
        while True:
            try:
                message = await self._link.receive()
            except RefusedError as error:
                on_end(f"{as_sentence(error)} What runs goes on; its statuses can't be seen any more.")
                return
            with contained("A message can't be sorted."):
                self._sort(message)

    def _sort(self, message: Inbound) -> None:
        if isinstance(message, ErrorMessage):
            # It doesn't say which message it is about: whoever waits for a peer looks for it again.
            self.undeliverable.set()
            self.undeliverable = trio.Event()
        elif isinstance(message, PeerMessage):
            self._sort_job_message(message)
        else:
            self._sort_signal(message)

    def _sort_job_message(self, message: PeerMessage) -> None:
        try:
            decoded: JobMessage | None = decode_job_message(message.payload)
        except ProtocolError:
            decoded = last_word(message.payload)
        if decoded is None or message.from_peer_id not in self._partners:
            return  # what a newer worker says that this client doesn't know, or a stranger anything
        self.last_heard[message.from_peer_id] = trio.current_time()
        with suppress(trio.WouldBlock):  # nobody reads so slowly but a flood's victim
            self._job_messages_send.send_nowait((message.from_peer_id, decoded))

    def _sort_signal(self, signal: Signal) -> None:
        queue = self._signals.get(signal.sender)
        if queue is not None:
            try:
                queue.send_nowait(signal)
            except (trio.WouldBlock, trio.BrokenResourceError):
                return  # a flood, or a connection that is already over
