"""Sorts what peers send through the server: WebRTC signals by their sender, job messages into one queue.

Nothing here waits: what a slow reader has no room for is dropped, so that a flood costs its victim alone.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, TypeAlias

import trio

from ..base.logs import get_logger
from ..errors import ProtocolError
from ..jobs.salvage import last_word
from ..protocol.codec import decode_job_message
from ..protocol.jobs import JobMessage
from ..protocol.messages import Answer, Candidate, ErrorMessage, Offer, PeerMessage
from .session import Inbound

_log = get_logger(__name__)

SIGNALS_WAITING: Final = 256
"""Of one peer. ICE makes a few dozen candidates; more signals than this are a flood."""

JOB_MESSAGES_WAITING: Final = 4096
"""Of all partners together; more than a job's client leaves unread by far."""

Signal: TypeAlias = Offer | Answer | Candidate
SignalSender: TypeAlias = trio.MemorySendChannel[Signal]
SignalReceiver: TypeAlias = trio.MemoryReceiveChannel[Signal]


def open_signal_queue() -> tuple[SignalSender, SignalReceiver]:
    """Makes a bounded queue of one peer's signals."""
    return trio.open_memory_channel[Signal](SIGNALS_WAITING)


def put_signal(queue: SignalSender, signal: Signal) -> bool:
    """Queues a signal; returns False if it was dropped: a flood, or a connection that is over already."""
    try:
        queue.send_nowait(signal)
    except trio.WouldBlock:
        _log.warning("Dropped a WebRTC signal: too many are waiting.", peer=signal.sender)
        return False
    except trio.BrokenResourceError:
        return False
    return True


class SignalSorter:
    """WebRTC signals, each put into its sender's queue."""

    def __init__(self) -> None:
        self._queues: dict[str, SignalSender] = {}

    def open(self, peer_id: str) -> SignalReceiver:
        """Makes a new queue for a peer's signals; an earlier one gets no more."""
        send, receive = open_signal_queue()
        self.direct(peer_id, send)
        return receive

    def direct(self, peer_id: str, queue: SignalSender) -> None:
        """Puts a peer's signals into a queue from now on; an earlier one gets no more."""
        self._queues[peer_id] = queue

    def withdraw(self, peer_id: str, queue: SignalSender) -> None:
        """Puts a peer's signals into a queue no more. Nothing happens if another queue gets them by now."""
        if self._queues.get(peer_id) is queue:
            del self._queues[peer_id]

    def close(self, peer_id: str) -> None:
        """Drops a peer's signals from now on."""
        self._queues.pop(peer_id, None)

    def has(self, peer_id: str) -> bool:
        """Whether a peer's signals go into some queue."""
        return peer_id in self._queues

    def sort(self, signal: Signal) -> bool:
        """Queues a signal; returns False if its sender has no queue."""
        queue = self._queues.get(signal.sender)
        if queue is None:
            return False
        put_signal(queue, signal)
        return True


class Post:
    """Everything that a peer receives from its partners: the workers that it wrote to.

    Attributes:
        signals: The partners' WebRTC signals.
        last_heard: ``trio.current_time()`` of the last job message, by peer id.
        undeliverable: Set, and replaced by a new event, when the server reports an error. The report doesn't
            name the message that it is about, so whoever waits for a peer looks for it again.
    """

    def __init__(self) -> None:
        self._job_messages_send, self._job_messages = trio.open_memory_channel[tuple[str, JobMessage]](
            JOB_MESSAGES_WAITING
        )
        self._partners: set[str] = set()
        self.signals = SignalSorter()
        self.last_heard: dict[str, float] = {}
        self.undeliverable = trio.Event()

    def add_partner(self, peer_id: str) -> None:
        """Lets a peer's job messages in from now on."""
        self._partners.add(peer_id)

    async def next_job_message(self) -> tuple[str, JobMessage]:
        """Waits for the next job message; returns it with its sender's peer id."""
        return await self._job_messages.receive()

    def sort(self, message: Inbound) -> None:
        """Puts a message into its queue, or drops it."""
        if isinstance(message, ErrorMessage):
            self.undeliverable.set()
            self.undeliverable = trio.Event()
        elif isinstance(message, PeerMessage):
            self._sort_job_message(message)
        else:
            self.signals.sort(message)

    def _sort_job_message(self, message: PeerMessage) -> None:
        try:
            decoded: JobMessage | None = decode_job_message(message.payload)
        except ProtocolError:
            decoded = last_word(message.payload)
        if decoded is None or message.from_peer_id not in self._partners:
            return  # a newer worker's message that this version doesn't know, or a stranger's
        self.last_heard[message.from_peer_id] = trio.current_time()
        with suppress(trio.WouldBlock):  # only a flood's victim reads so slowly
            self._job_messages_send.send_nowait((message.from_peer_id, decoded))
