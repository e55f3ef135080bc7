"""The receiving direction of a channel: writes files to disk, and acknowledges what is written."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import trio

from ..base.sentences import as_sentence
from ..errors import (
    DigestMismatchError,
    SleapRTCError,
    StorageError,
    TransferAbortedError,
    TransferRefusedError,
)
from ..protocol.limits import ACK_INTERVAL_BYTES, MAX_UNACKNOWLEDGED_BYTES, MIB
from ..protocol.transfer import FileOffer, PathAck, TransferFrame
from ..protocol.vocabulary import ErrorCode
from .arrival import Pace, stall_deadline, stalled
from .disk import PartialFile, hash_step, new_hasher, open_existing
from .framing import Receiver, ReceivingAborted, parse_digest
from .names import checked_name, printable
from .progress import TransferProgress
from .rate_limit import RateLimit, TokenBucket

WRITE_BYTES: Final = ACK_INTERVAL_BYTES
"""Written at once, in a thread; less only at a file's end. It is as much as one acknowledgement covers.
Switching to a thread costs about as much as writing 256 KiB."""

WRITE_SEC: Final = 0.5
"""After as long, less is written, so that progress is seen at a low rate, too."""

LIMIT_SEC: Final = 0.5
"""Under a limit, what a sender that can't be told of it has sent is acknowledged in parts of as many seconds:
it is kept waiting, but never for so long that it would take this side for dead."""

MAX_QUEUED_BYTES: Final = 2 * MAX_UNACKNOWLEDGED_BYTES
"""Bytes that wait to be written. At this many the channel isn't read."""

Outgoing: TypeAlias = "TransferFrame | Callable[[], PathAck | None]"
"""A frame, or what makes it when it is its turn."""

Progress = Callable[[TransferProgress], None]


class IncomingFile:
    """A file that the other side offers, to be accepted or refused.

    Attributes:
        offer: The offer as received. Its name is unchecked.
    """

    def __init__(self, offer: FileOffer, receiving: Receiving) -> None:
        self.offer = offer
        self._receiving = receiving

    @property
    def is_pending(self) -> bool:
        """Whether it's still on offer, and neither accepted nor refused."""
        return self._receiving.is_pending(self.offer)

    async def accept(
        self,
        directory: Path,
        *,
        name: str | None = None,
        progress: Progress | None = None,
        pace: Pace | None = None,
    ) -> Path:
        """Receives the file; returns its path once it's complete, verified and on disk.

        A partial file that an earlier attempt left in ``directory`` is resumed. If the file is there already,
        it isn't sent again; another file of that name is replaced. Concurrent calls queue. Cancelling this
        notifies the other side, and keeps what has arrived for another attempt.

        Args:
            directory: Where the file goes; created if it doesn't exist.
            name: What to call it; the other side's name by default.
            progress: Called with what is written.
            pace: The minimum rate, over several files or attempts; by default any rate is accepted.

        Raises:
            InvalidFileNameError: Its name isn't one plain path component.
            TransferRefusedError: It's larger than the limit.
            TransferAbortedError: The other side gave up.
            SenderStalledError: The other side sent nothing for too long, or too slowly for ``pace``.
            DigestMismatchError: The content doesn't match the announced digest.
            StorageError: The disk is full, or the folder can't be written.
            ChannelClosedError: The channel is closed.
            ProtocolError: One side broke the protocol; the channel is closed.
        """
        return await self._receiving.accept(self.offer, directory, name, progress or _ignore, pace)

    async def refuse(self, code: str, message: str) -> None:
        """Refuses the file.

        Args:
            code: The reason as a code for programs, in upper case.
            message: The reason as a sentence for people.
        """
        self._receiving.refuse(self.offer, code, message)
        await trio.lowlevel.checkpoint()


class Receiving:
    """Receives files one after another."""

    def __init__(
        self,
        receiver: Receiver,
        *,
        post: Callable[[Outgoing], None],
        check: Callable[[], None],
        max_size_bytes: int | None,
        limit: RateLimit,
    ) -> None:
        self._limit = limit
        self._bucket = TokenBucket()
        self._receiver = receiver
        self._post = post
        self._check = check
        self._max_size_bytes = max_size_bytes
        self._turn = trio.Lock()
        self._chunks: deque[bytes] = deque()
        self._queued_bytes = 0
        self._uncounted_bytes = 0
        self._last_arrival_sec = -math.inf
        self._arrival_told_of: str | None = None
        self._aborts: dict[str, ReceivingAborted] = {}
        self.changed = trio.Event()
        self._taken = trio.Event()

    # --- called by the channel --------------------------------------------------------------

    def acknowledge_arrival(self, *, is_all_read: bool) -> None:
        """Lets the sender be told what has arrived, if that is due, before anything waits for the disk."""
        if self._receiver.owes_arrival(is_all_read=is_all_read):
            self._tell_arrival()

    def _tell_arrival(self) -> None:
        """Has the sender told what has arrived, once: what is said is what is true when it is said."""
        current = self._receiver.current
        if current is not None and self._arrival_told_of != current.transfer_id:
            self._arrival_told_of = current.transfer_id
            self._post(partial(self._arrival, current.transfer_id))

    def _arrival(self, transfer_id: str) -> PathAck | None:
        self._arrival_told_of = None
        if not self._is_current(transfer_id):
            return None
        return self._receiver.arrival(self._limit.share_bytes_per_sec)

    async def bytes_received(self, transfer_id: str, data: bytes) -> None:
        """Queues bytes of the current file, waiting first while the disk is far behind."""
        if data:
            self._uncounted_bytes += len(data)
            self._last_arrival_sec = trio.current_time()
        while self._queued_bytes >= MAX_QUEUED_BYTES:
            self._taken = trio.Event()
            await self._taken.wait()
        if not self._is_current(transfer_id):
            return  # given up while this waited
        self._chunks.append(data)
        self._queued_bytes += len(data)
        if self._queued_bytes >= WRITE_BYTES or self._is_all_here():
            self.changed.set()

    def _is_current(self, transfer_id: str) -> bool:
        current = self._receiver.current
        return current is not None and current.transfer_id == transfer_id

    def _is_all_here(self) -> bool:
        current = self._receiver.current
        return current is not None and self._receiver.received_bytes == current.size_bytes

    def aborted(self, event: ReceivingAborted) -> None:
        """Wakes the file that the other side gave up on."""
        self._aborts[event.transfer_id] = event
        self.changed.set()

    # --- called by the user -----------------------------------------------------------------

    def is_pending(self, offer: FileOffer) -> bool:
        """See :class:`IncomingFile`."""
        return self._receiver.is_pending(offer.transfer_id)

    def refuse(self, offer: FileOffer, code: str, message: str) -> None:
        """See :class:`IncomingFile`."""
        if self.is_pending(offer):
            self._post(self._receiver.refuse(offer.transfer_id, code, message))

    async def accept(
        self, offer: FileOffer, directory: Path, name: str | None, progress: Progress, pace: Pace | None
    ) -> Path:
        """See :class:`IncomingFile`."""
        try:
            async with self._turn:
                self._check_pending(offer)
                return await self._receive(offer, directory, name, progress, pace)
        except SleapRTCError as error:
            self.refuse(offer, error.code, str(error))
            raise
        except BaseException:
            self.refuse(offer, ErrorCode.CANCELLED, "The receiver cancelled the transfer.")
            raise

    def _check_pending(self, offer: FileOffer) -> None:
        self._check()
        if not self.is_pending(offer):
            self._raise_if_aborted(offer)
            raise TransferAbortedError(f"{printable(offer.name)} is no longer on offer.")

    def _raise_if_aborted(self, offer: FileOffer) -> None:
        abort = self._aborts.pop(offer.transfer_id, None)
        if abort is not None:
            raise _SenderGaveUpError(
                f"The other side gave up on {printable(offer.name)}: {as_sentence(printable(abort.message))}",
                abort.code,
            )

    async def _receive(
        self, offer: FileOffer, directory: Path, name: str | None, progress: Progress, pace: Pace | None
    ) -> Path:
        final_name = checked_name(offer.name if name is None else name)
        if self._max_size_bytes is not None and offer.size_bytes > self._max_size_bytes:
            raise TransferRefusedError(
                f"{final_name} has {offer.size_bytes / MIB:.1f} MiB, "
                f"and at most {self._max_size_bytes / MIB:.1f} MiB are accepted."
            )
        if await _is_there(directory / final_name, offer):
            self._check_pending(offer)
            self._post(self._receiver.accept(offer.transfer_id, offer.size_bytes))
            self._post(self._receiver.finish())
            progress(TransferProgress(final_name, offer.size_bytes, offer.size_bytes, offer.size_bytes))
            return directory / final_name
        partial = await trio.to_thread.run_sync(
            PartialFile, directory, final_name, offer.size_bytes, parse_digest(offer.digest)
        )
        try:
            await _rehash(partial)
            await trio.to_thread.run_sync(partial.check_space)
            self._check_pending(offer)
            self._take()
            self._post(self._receiver.accept(offer.transfer_id, partial.written_bytes))
            await self._receive_accepted(partial, offer, progress, pace)
        except BaseException:
            await _in_shielded_thread(partial.keep)
            raise
        return partial.path

    async def _receive_accepted(
        self, partial: PartialFile, offer: FileOffer, progress: Progress, pace: Pace | None
    ) -> None:
        self._limit.begin_receiving()
        try:
            if self._limit.bytes_per_sec is not None:  # the first bytes obey it, too
                self._tell_arrival()
            await self._write_all(partial, offer, progress, pace)
            await trio.to_thread.run_sync(partial.commit)
        except SleapRTCError as error:
            self._abort(error.code, str(error))
            leftovers = self._take()
            if _is_worth_keeping(error):
                await _in_shielded_thread(partial.keep, leftovers)
            else:
                await _in_shielded_thread(partial.discard)
            raise
        except BaseException:
            self._abort(ErrorCode.CANCELLED, "The receiver cancelled the transfer.")
            await _in_shielded_thread(partial.keep, self._take())
            raise
        finally:
            self._limit.end_receiving()
        if self._is_current(offer.transfer_id):  # otherwise the other side gave up too late to matter
            self._post(self._receiver.finish())

    async def _write_all(
        self, partial: PartialFile, offer: FileOffer, progress: Progress, pace: Pace | None
    ) -> None:
        offset_bytes = partial.written_bytes
        name = partial.path.name
        progress(TransferProgress(name, offer.size_bytes, offset_bytes, offset_bytes))
        while not partial.is_whole:
            await self._wait_for_bytes(offer, pace)
            await self._wait_for_limit(offer)
            await self._write_some(partial)
            progress(TransferProgress(name, offer.size_bytes, partial.written_bytes, offset_bytes))
        await self._wait_for_limit(offer)
        if not partial.is_right:
            raise DigestMismatchError(f"The content of {name} doesn't match the digest that was announced.")

    def _abort(self, code: str, message: str) -> None:
        frame = self._receiver.abort(code, message)
        if frame is not None:
            self._post(frame)

    async def _wait_for_bytes(self, offer: FileOffer, pace: Pace | None) -> None:
        """Waits for as much as is written at once, or less at a low rate. The sender's time is this alone."""
        since_sec = counted_sec = trio.current_time()
        while self._queued_bytes < WRITE_BYTES and not self._is_all_here():
            self._check()
            self._raise_if_aborted(offer)
            now_sec = trio.current_time()
            if self._queued_bytes and now_sec >= since_sec + WRITE_SEC:
                return
            deadline = stall_deadline(since_sec, self._last_arrival_sec)
            if now_sec >= deadline:
                raise stalled(offer.name)
            self.changed = trio.Event()
            look_again_sec = max(since_sec + WRITE_SEC, now_sec + WRITE_SEC / 2)
            if pace is not None:
                look_again_sec = min(look_again_sec, counted_sec + pace.left_sec)
            with trio.move_on_at(min(deadline, look_again_sec)):
                await self.changed.wait()
            counted_sec = self._count(pace, counted_sec)

    def _withheld_rate(self) -> int | None:
        """The rate that this side keeps to by itself: that of a sender that can't be told of it."""
        current = self._receiver.current
        return None if current is None or current.path_acks else self._limit.share_bytes_per_sec

    async def _wait_for_limit(self, offer: FileOffer) -> None:
        while self._withheld_rate() is not None and self._bucket.ready_at_sec() > trio.current_time():
            self._check()
            self._raise_if_aborted(offer)
            self.changed = trio.Event()
            with trio.move_on_at(self._bucket.ready_at_sec()):
                await self.changed.wait()

    def _count(self, pace: Pace | None, since_sec: float) -> float:
        """Adds the wait since ``since_sec`` to the pace; returns the time up to which waits are counted."""
        now_sec = trio.current_time()
        if pace is not None:
            arrived_bytes, self._uncounted_bytes = self._uncounted_bytes, 0
            pace.add(now_sec - since_sec, arrived_bytes)
        return now_sec

    async def _write_some(self, partial: PartialFile) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        rate = self._withheld_rate()
        most_bytes = (
            ACK_INTERVAL_BYTES if rate is None else max(min(int(rate * LIMIT_SEC), ACK_INTERVAL_BYTES), 1)
        )
        with trio.CancelScope(shield=True):  # bytes taken off the queue and not written would leave a hole
            is_little = rate is not None or self._queued_bytes < WRITE_BYTES
            taken = self._take(most_bytes, splits=rate is not None)
            written_bytes = await trio.to_thread.run_sync(partial.write, taken)
        self._bucket.take(written_bytes, rate, trio.current_time())
        acknowledgement = self._receiver.bytes_written(written_bytes, is_pause=is_little)
        if acknowledgement is not None:
            self._post(acknowledgement)

    def _take(self, max_bytes: float = math.inf, *, splits: bool = False) -> list[bytes]:
        """Takes messages off the queue: at least one, and otherwise no more than ``max_bytes``.

        With ``splits``, no more even of the first, of which the rest stays.
        """
        if splits and self._chunks and len(self._chunks[0]) > max_bytes:
            first, most = self._chunks.popleft(), int(max_bytes)
            self._chunks.extendleft((first[most:], first[:most]))
        taken: list[bytes] = []
        while self._chunks and (not taken or len(self._chunks[0]) <= max_bytes):
            taken.append(self._chunks.popleft())
            max_bytes -= len(taken[-1])
            self._queued_bytes -= len(taken[-1])
        self._taken.set()
        return taken


class _SenderGaveUpError(TransferAbortedError):
    def __init__(self, message: str, sender_code: str) -> None:
        super().__init__(message)
        self.sender_code = sender_code


def _is_worth_keeping(error: SleapRTCError) -> bool:
    """Whether another attempt may resume from what has arrived.

    It may not if the content is wrong or has changed. After a storage error the disk may need the space.
    """
    if isinstance(error, _SenderGaveUpError):
        return error.sender_code == ErrorCode.CANCELLED
    return not isinstance(error, DigestMismatchError | StorageError)


async def _in_shielded_thread(function: Callable[..., None], *args: object) -> None:
    with trio.CancelScope(shield=True):  # local disk, and at most MAX_QUEUED_BYTES
        await trio.to_thread.run_sync(function, *args)


async def _rehash(partial: PartialFile) -> None:
    while await trio.to_thread.run_sync(partial.rehash_step):
        pass
    if partial.is_whole and not partial.is_right:
        await trio.to_thread.run_sync(partial.start_over)


async def _is_there(path: Path, offer: FileOffer) -> bool:
    algorithm, hex_digest = parse_digest(offer.digest)
    file = await trio.to_thread.run_sync(open_existing, path, offer.size_bytes)
    if file is None:
        return False
    with file:
        hasher = new_hasher(algorithm)
        while await trio.to_thread.run_sync(hash_step, file, hasher, path.name):
            pass
    return hasher.hexdigest() == hex_digest


def _ignore(progress: TransferProgress) -> None:
    pass
