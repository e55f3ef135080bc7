"""File transfers over a data channel, in both directions at once: :func:`open_transfers`."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import trio

from ..base.nurseries import contained
from ..base.sentences import as_sentence
from ..errors import (
    ChannelClosedError,
    ProtocolError,
    RoomSecretMissingError,
    SleapRTCError,
    UnknownMessageTypeError,
)
from ..protocol.codec import encode_transfer_frame
from ..protocol.transfer import FileAbort
from ..rtc.background import open_background_nursery
from ..rtc.channel import DataChannel
from ..rtc.proof import asks_for_proof
from .flow import Flow
from .framing import Farewell, Framing, Offered, ReceivingAborted, TransferEvent, parse_digest
from .names import printable
from .progress import TransferProgress
from .rate_limit import RateLimit
from .receiving import IncomingFile, Outgoing, Receiving
from .sending import DEFAULT_DIGEST_ALGORITHM, FAST_DIGEST_ALGORITHM, Sending

__all__ = ["IncomingFile", "TransferProgress", "Transfers", "open_transfers"]

FLUSH_TIMEOUT_SEC: Final = 2.0
"""For the last control frames, when the block is left or an error ends the channel."""


class Transfers:
    """The file transfers over one channel. Use :func:`open_transfers`."""

    def __init__(
        self, channel: DataChannel, *, max_size_bytes: int | None, digest_algorithm: str, limit: RateLimit
    ) -> None:
        self._channel = channel
        self._channel_lock = trio.Lock()
        self._framing = Framing()
        self._control_inbox, self._control = trio.open_memory_channel[Outgoing](math.inf)
        self._control_written = trio.Event()
        self._writing = trio.CancelScope(shield=True)  # a cancelled block still notifies the other side
        self._offers_inbox, self._offers = trio.open_memory_channel[IncomingFile](math.inf)
        self._failure: SleapRTCError | None = None
        self._farewell: Farewell | None = None
        self._closed = trio.Event()
        self._sending = Sending(
            self._framing.sender,
            post=self._post,
            send_bytes=self._send,
            message_bytes=lambda: channel.message_bytes,
            flow=Flow(channel, self._framing.sender, limit),
            check=self.check_open,
            digest_algorithm=digest_algorithm,
        )
        self._receiving = Receiving(
            self._framing.receiver,
            post=self._post,
            check=self.check_open,
            max_size_bytes=max_size_bytes,
            limit=limit,
        )

    # --- for the user -----------------------------------------------------------------------

    async def send_file(
        self,
        path: Path,
        *,
        purpose: str,
        name: str | None = None,
        job_id: str | None = None,
        progress: Callable[[TransferProgress], None] | None = None,
    ) -> None:
        """Sends a file; returns when the other side has all of it. Concurrent calls queue.

        Cancelling this notifies the other side, which keeps what it has for another attempt.

        Args:
            path: The file. It must not change until this returns.
            purpose: ``dataset``, ``config``, ``model`` or ``predictions``.
            name: The name to send; the file's own name by default.
            job_id: The job that it belongs to.
            progress: Called with what the other side has written.

        Raises:
            TransferRefusedError: The other side refused it.
            TransferAbortedError: Either side gave up, for example because the file changed.
            DigestMismatchError: The other side received different content.
            InvalidFileNameError: The file can't be sent under that name.
            StorageError: The file can't be read.
            ChannelClosedError: The channel is closed.
            ProtocolError: One side broke the protocol; the channel is closed.
        """
        await self._sending.send_file(path, purpose=purpose, name=name, job_id=job_id, progress=progress)

    async def next_offer(self) -> IncomingFile:
        """Waits for the next file that the other side offers.

        Raises:
            ChannelClosedError: The channel is closed.
            ProtocolError: One side broke the protocol; the channel is closed.
        """
        while True:
            try:
                incoming = await self._offers.receive()
            except trio.EndOfChannel:
                self.check_open()
                raise ChannelClosedError("The connection was closed.") from None
            if incoming.is_pending:
                return incoming

    async def wait_closed(self) -> None:
        """Waits until no more files can be transferred over this channel."""
        await self._closed.wait()

    def check_open(self) -> None:
        """Raises the error that ended the channel, if it has ended.

        Raises:
            ChannelClosedError: The channel is closed.
            ProtocolError: One side broke the protocol.
        """
        if self._failure is not None:
            # A new exception each time, since several tasks may raise it.
            raise type(self._failure)(str(self._failure)) from self._failure

    # --- outwards ---------------------------------------------------------------------------

    def _post(self, frame: Outgoing) -> None:
        """Queues a control frame. It is synchronous, so cleanup after a cancellation can call it."""
        with suppress(trio.ClosedResourceError, trio.BrokenResourceError):
            self._control_inbox.send_nowait(frame)

    async def _send(self, message: str | bytes) -> None:
        # A channel allows one sender at a time. A free lock is acquired without a checkpoint, which would
        # cost a turn of the scheduler for each message.
        try:
            self._channel_lock.acquire_nowait()
        except trio.WouldBlock:
            await self._channel_lock.acquire()
        try:
            await self._channel.send(message)
        finally:
            self._channel_lock.release()

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Runs one of the channel's tasks; an unexpected failure closes the channel."""
        with contained("A channel's transfers failed.") as containment:
            await work()
        if containment.failure is not None:
            self._fail(ChannelClosedError("The transfers of this side failed unexpectedly."))
            await self._channel.aclose()

    async def write_control(self) -> None:
        """Sends queued control frames; runs until :meth:`flush`."""
        try:
            with self._writing:
                async for outgoing in self._control:
                    frame = outgoing() if callable(outgoing) else outgoing
                    if frame is not None:
                        await self._send(encode_transfer_frame(frame))
        except ChannelClosedError as error:
            self._fail(error)
        finally:
            self._control_written.set()

    async def flush(self) -> None:
        """Sends the last control frames, within :data:`FLUSH_TIMEOUT_SEC`."""
        self._control_inbox.close()
        with trio.move_on_after(FLUSH_TIMEOUT_SEC, shield=True):
            await self._control_written.wait()
        self._writing.cancel()

    def end(self) -> None:
        """Makes calls that still wait for a file, in whichever task, raise ChannelClosedError."""
        self._fail(ChannelClosedError("The connection was closed by this side."))

    # --- inwards ----------------------------------------------------------------------------

    async def read_channel(self) -> None:
        """Handles messages until the channel is closed or the other side breaks the protocol."""
        try:
            while True:
                message = await self._channel.receive()
                if isinstance(message, str):
                    self._handle(self._text_received(message))
                    self._receiving.acknowledge_arrival(is_all_read=not self._channel.unread_bytes)
                elif transfer_id := self._framing.receiver.bytes_received(len(message)):
                    self._receiving.acknowledge_arrival(is_all_read=not self._channel.unread_bytes)
                    await self._receiving.bytes_received(transfer_id, message)
        except ChannelClosedError as error:
            self._fail(error)
        except (ProtocolError, RoomSecretMissingError) as error:
            await self._end(error)

    def _text_received(self, text: str) -> TransferEvent | None:
        try:
            return self._framing.text_received(text)
        except UnknownMessageTypeError as error:
            if not asks_for_proof(text):
                raise
            raise RoomSecretMissingError(
                "This room has a secret, which the other side has and this one hasn't. Use the room's whole "
                "invite (--invite or SLEAP_RTC_INVITE)."
            ) from error

    def _handle(self, event: TransferEvent | None) -> None:
        if event is None:
            return
        if isinstance(event, Offered):
            if parse_digest(event.offer.digest)[0] == FAST_DIGEST_ALGORITHM:  # so the other side has it, too
                self._sending.digest_algorithm = FAST_DIGEST_ALGORITHM
            self._offers_inbox.send_nowait(IncomingFile(event.offer, self._receiving))
        elif isinstance(event, ReceivingAborted):
            self._receiving.aborted(event)
        elif isinstance(event, Farewell):
            self._farewell = event
        else:
            self._sending.event_received(event)

    def _fail(self, error: SleapRTCError) -> None:
        if self._failure is not None:
            return
        if self._farewell is not None and isinstance(error, ChannelClosedError):
            error = ProtocolError(
                f"The other side ended the connection: {as_sentence(printable(self._farewell.message))}"
            )
        self._failure = error
        self._closed.set()
        self._sending.changed.set()
        self._receiving.changed.set()
        self._offers_inbox.close()

    async def _end(self, error: ProtocolError | RoomSecretMissingError) -> None:
        """Ends the channel because of the other side's error, and sends it the reason."""
        self._fail(error)
        code, message = error.code, str(error)
        for abort in (
            self._framing.sender.abort(code, message),
            self._framing.receiver.abort(code, message),
            FileAbort("", code, message),  # for no transfer, in case the other side has none in progress
        ):
            if abort is not None:
                self._post(abort)
        await self.flush()
        await self._channel.aclose()


@asynccontextmanager
async def open_transfers(
    channel: DataChannel,
    *,
    max_size_bytes: int | None = None,
    digest_algorithm: str = DEFAULT_DIGEST_ALGORITHM,
    limit: RateLimit | None = None,
) -> AsyncIterator[Transfers]:
    """Sends and receives files over a channel for as long as the block runs.

    Nothing else may use the channel during the block. It stays open afterwards, unless the other side broke
    the protocol. Errors are raised only by the calls that the block makes, never from the background. Calls
    that other tasks still have in progress when the block is left raise ChannelClosedError.

    Args:
        channel: An open channel.
        max_size_bytes: Larger files are refused.
        digest_algorithm: ``blake3`` if the other side is known to have it. Once the other side has sent such
            a digest, ``blake3`` is used in any case.
        limit: What may be sent and received in a second, which other channels may share; no limit by default.
    """
    transfers = Transfers(
        channel,
        max_size_bytes=max_size_bytes,
        digest_algorithm=digest_algorithm,
        limit=RateLimit() if limit is None else limit,
    )
    async with open_background_nursery() as nursery:
        nursery.start_soon(transfers.run, transfers.read_channel)
        nursery.start_soon(transfers.run, transfers.write_control)
        try:
            yield transfers
        finally:
            await transfers.flush()
            transfers.end()
