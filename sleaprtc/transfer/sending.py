"""The sending direction of a channel: reads files from disk, and sends as the receiver acknowledges."""

from __future__ import annotations

import math
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import trio

from ..base.sentences import as_sentence
from ..errors import (
    DigestMismatchError,
    SleapRTCError,
    TransferAbortedError,
    TransferError,
    TransferRefusedError,
)
from ..protocol.transfer import FileOffer, TransferFrame
from ..protocol.vocabulary import DigestAlgorithm, ErrorCode
from .disk import SourceFile, hash_step, new_hasher
from .flow import Flow
from .framing import Acknowledged, Arrived, Done, Refused, Sender, SenderEvent, SenderState, SendingAborted
from .names import checked_name, printable
from .progress import TransferProgress
from .reading import Pieces, open_pieces

STALL_TIMEOUT_SEC: Final = 120.0
"""How long a receiver may acknowledge or confirm nothing before the transfer is given up."""

DEFAULT_DIGEST_ALGORITHM: Final = DigestAlgorithm.SHA256
"""Every implementation has it."""

FAST_DIGEST_ALGORITHM: Final = DigestAlgorithm.BLAKE3
"""Takes about a quarter of SHA-256's time. Not every implementation has it."""


class Sending:
    """Sends files one after another.

    Attributes:
        digest_algorithm: ``sha256`` or ``blake3``, for files sent from now on.
    """

    def __init__(
        self,
        sender: Sender,
        *,
        post: Callable[[TransferFrame], None],
        send_bytes: Callable[[bytes], Awaitable[None]],
        message_bytes: Callable[[], int],
        flow: Flow,
        check: Callable[[], None],
        digest_algorithm: str,
    ) -> None:
        self._sender = sender
        self._message_bytes = message_bytes
        self._flow = flow
        self._post = post
        self._send_bytes = send_bytes
        self._check = check
        self._turn = trio.Lock()
        self._outcome: SenderEvent | None = None
        self.digest_algorithm = digest_algorithm
        self.changed = trio.Event()

    def event_received(self, event: SenderEvent) -> None:
        """Handles an event of the current file, and wakes the task that sends it."""
        if isinstance(event, Done | Refused | SendingAborted):
            self._outcome = event
        elif isinstance(event, Arrived):
            self._flow.wished(event.most_bytes_per_sec)
            self._flow.arrived(event.byte_count, trio.current_time())
        elif isinstance(event, Acknowledged):
            self._flow.arrived(event.arrived_bytes, trio.current_time())
        self.changed.set()

    async def send_file(
        self,
        path: Path,
        *,
        purpose: str,
        name: str | None,
        job_id: str | None,
        progress: Callable[[TransferProgress], None] | None,
    ) -> None:
        """See :meth:`sleaprtc.transfer.stream.Transfers.send_file`."""
        self._check()
        wire_name = checked_name(path.name if name is None else name)
        source = await trio.to_thread.run_sync(SourceFile, path)
        try:
            offer = FileOffer(
                transfer_id=uuid.uuid4().hex,
                name=wire_name,
                size_bytes=source.size_bytes,
                digest=await _digest(source, self.digest_algorithm),
                purpose=purpose,
                job_id=job_id,
                path_acks=True,
            )
            async with self._turn:
                self._check()
                await self._send(source, offer, progress or _ignore)
        finally:
            source.close()

    async def _send(
        self, source: SourceFile, offer: FileOffer, progress: Callable[[TransferProgress], None]
    ) -> None:
        self._outcome = None
        self._flow.begin()  # before the other side answers, which it may do with a limit at once
        self._post(self._sender.start(offer))
        try:
            await self._send_accepted(source, offer, progress)
        except SleapRTCError as error:
            self._abort(error.code, str(error))
            raise
        except BaseException:
            self._abort(ErrorCode.CANCELLED, "The sender cancelled the transfer.")
            raise

    def _abort(self, code: str, message: str) -> None:
        frame = self._sender.abort(code, message)
        if frame is not None:
            self._post(frame)

    async def _send_accepted(
        self, source: SourceFile, offer: FileOffer, progress: Callable[[TransferProgress], None]
    ) -> None:
        while self._sender.state is SenderState.OFFERED:
            self._check()
            await self._wait_for_change(offer.name)
        _raise_if_failed(self._outcome, offer.name)
        async with open_pieces(
            source, offset_bytes=self._sender.received_bytes, message_bytes=self._message_bytes()
        ) as pieces:
            await self._send_pieces(pieces, offer, progress)
        _raise_if_failed(self._outcome, offer.name)

    async def _send_pieces(
        self, pieces: Pieces, offer: FileOffer, progress: Callable[[TransferProgress], None]
    ) -> None:
        """Sends as the window allows, until the other side reports how the transfer ended."""
        offset_bytes, reported_bytes, piece = self._sender.received_bytes, -1, b""
        while True:
            received_bytes = self._sender.received_bytes
            if received_bytes != reported_bytes:
                reported_bytes = received_bytes
                progress(TransferProgress(offer.name, offer.size_bytes, received_bytes, offset_bytes))
            if self._outcome is not None:
                return
            self._check()  # after the outcome: the other side may close right after its last frame
            piece = piece or await pieces.next()
            now_sec = trio.current_time()
            byte_count = self._flow.next_bytes(len(piece), now_sec)
            if byte_count:
                message, piece = piece[:byte_count], piece[byte_count:]
                self._sender.bytes_sent(byte_count)
                self._flow.sent(byte_count, now_sec)
                await self._send_bytes(message)
            elif piece and (wait_ends_sec := self._flow.waits_until_sec(now_sec)) > now_sec:
                with trio.move_on_at(wait_ends_sec):
                    await self.changed.wait()
                self.changed = trio.Event()
            else:
                await self._wait_for_change(offer.name)

    async def _wait_for_change(self, name: str) -> None:
        # Accepting a file may be a person's decision, so it has no time limit; receiving its bytes has one.
        is_offered = self._sender.state is SenderState.OFFERED
        with trio.move_on_after(math.inf if is_offered else STALL_TIMEOUT_SEC) as scope:
            await self.changed.wait()
        if scope.cancelled_caught:
            raise TransferAbortedError(
                f"The other side has acknowledged nothing of {name} for {STALL_TIMEOUT_SEC:g} seconds."
            )
        self.changed = trio.Event()


async def _digest(source: SourceFile, algorithm: str) -> str:
    hasher = new_hasher(algorithm)
    while await trio.to_thread.run_sync(hash_step, source.file, hasher, source.name):
        pass
    await trio.to_thread.run_sync(source.check_unchanged)
    return f"{algorithm}:{hasher.hexdigest()}"


def _raise_if_failed(outcome: SenderEvent | None, name: str) -> None:
    if isinstance(outcome, Refused):
        raise TransferRefusedError(
            f"The other side refused {name}: {as_sentence(printable(outcome.message))}"
        )
    if isinstance(outcome, SendingAborted):
        kind: type[TransferError] = (
            DigestMismatchError if outcome.code == DigestMismatchError.code else TransferAbortedError
        )
        raise kind(f"The other side gave up on {name}: {as_sentence(printable(outcome.message))}")


def _ignore(progress: TransferProgress) -> None:
    pass
