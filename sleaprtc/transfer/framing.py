"""The transfer protocol as two state machines, one a direction (protocol reference, section 4).

No I/O: the machines are told what came and what was done, and return the frames to send and what is to
be done. They hold the rules: who may say what when, whose bytes arrive, how much may be in flight.
"""

from __future__ import annotations

import enum
import re
from collections import OrderedDict
from typing import Final, TypeAlias

import attrs

from ..errors import InvalidMessageError, TooLargeError
from ..protocol.codec import decode_transfer_frame
from ..protocol.limits import (
    ACK_INTERVAL_BYTES,
    MAX_CONTROL_FRAME_BYTES,
    MAX_NAME_CHARS,
    MAX_UNACKNOWLEDGED_BYTES,
)
from ..protocol.transfer import FileAbort, FileAccept, FileAck, FileDone, FileOffer, FileRefuse, TransferFrame

MAX_PENDING_OFFERS: Final = 64
"""Offers that wait for this side's word. Our own sender has one at a time."""

ENDED_TRANSFERS_KEPT: Final = 256
"""Transfers whose late frames are known for what they are: the two sides' words may cross."""

_DIGEST = re.compile(r"(sha-?256|blake3):([0-9a-f]{64})", re.IGNORECASE)


def parse_digest(digest: str) -> tuple[str, str]:
    """Splits a wire digest into its algorithm, ``sha256`` or ``blake3``, and 64 lower-case hex digits.

    Raises:
        InvalidMessageError: It's neither of the two.
    """
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise InvalidMessageError("A file's digest must be sha256:HEX or blake3:HEX.")
    return match[1].lower().replace("-", ""), match[2].lower()


# --- what a machine reports -----------------------------------------------------------------


@attrs.frozen
class Accepted:
    """The other side wants our file from ``offset_bytes`` on."""

    offset_bytes: int


@attrs.frozen
class Acknowledged:
    """The other side has written so many bytes of our file."""

    received_bytes: int


@attrs.frozen
class Done:
    """The other side has our file."""


@attrs.frozen
class Refused:
    """The other side doesn't want our file."""

    code: str
    message: str


@attrs.frozen
class SendingAborted:
    """The other side gave up on our file."""

    code: str
    message: str


@attrs.frozen
class Offered:
    """The other side has a file for us."""

    offer: FileOffer


@attrs.frozen
class ReceivingAborted:
    """The other side gave up on its file, offered or under way."""

    transfer_id: str
    code: str
    message: str


@attrs.frozen
class Farewell:
    """The other side aborts nothing that we know of: it's about to end the channel, and says why."""

    code: str
    message: str


SenderEvent: TypeAlias = Accepted | Acknowledged | Done | Refused | SendingAborted
ReceiverEvent: TypeAlias = Offered | ReceivingAborted
TransferEvent: TypeAlias = SenderEvent | ReceiverEvent | Farewell


class _EndedTransfers:
    """The ids of transfers that ended lately."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def add(self, transfer_id: str) -> None:
        self._ids[transfer_id] = None
        if len(self._ids) > ENDED_TRANSFERS_KEPT:
            self._ids.popitem(last=False)

    def __contains__(self, transfer_id: str) -> bool:
        return transfer_id in self._ids


# --- sending --------------------------------------------------------------------------------


class SenderState(enum.Enum):
    """What the other side's next word may be about."""

    IDLE = "idle"
    OFFERED = "offered"
    SENDING = "sending"


class Sender:
    """Files that go out, one at a time.

    Attributes:
        offer: The file offered or under way, else None.
        state: See :class:`SenderState`.
        sent_bytes: Where in the file the next byte comes from.
        received_bytes: What the other side has written of it.
    """

    def __init__(self) -> None:
        self.offer: FileOffer | None = None
        self.state = SenderState.IDLE
        self.sent_bytes = 0
        self.received_bytes = 0
        self._ended = _EndedTransfers()

    def start(self, offer: FileOffer) -> FileOffer:
        """Offers a file. Only when nothing else is offered or under way."""
        if self.offer is not None:
            raise RuntimeError("one file is under way already")
        self.offer = offer
        self.state = SenderState.OFFERED
        self.sent_bytes = self.received_bytes = 0
        return offer

    @property
    def sendable_bytes(self) -> int:
        """How many bytes may be sent now: what's left of the file, within the window."""
        if self.offer is None or self.state is not SenderState.SENDING:
            return 0
        window_bytes = MAX_UNACKNOWLEDGED_BYTES - (self.sent_bytes - self.received_bytes)
        return min(self.offer.size_bytes - self.sent_bytes, window_bytes)

    def bytes_sent(self, byte_count: int) -> None:
        """Notes that bytes went out, no more than :attr:`sendable_bytes`."""
        if byte_count > self.sendable_bytes:
            raise RuntimeError("more bytes than may be sent")
        self.sent_bytes += byte_count

    def abort(self, code: str, message: str) -> FileAbort | None:
        """Gives up on the file; returns what to tell the other side, None if there is no file."""
        if self.offer is None:
            return None
        transfer_id = self.offer.transfer_id
        self._end()
        return FileAbort(transfer_id, code, message)

    def _end(self) -> None:
        if self.offer is not None:
            self._ended.add(self.offer.transfer_id)
        self.offer = None
        self.state = SenderState.IDLE

    def frame_received(
        self, frame: FileAccept | FileRefuse | FileAck | FileDone | FileAbort
    ) -> SenderEvent | None:
        """Takes in the receiver's word; None where it's about a file that has ended.

        Raises:
            InvalidMessageError: It doesn't fit what this side has said.
        """
        if self.offer is None or frame.transfer_id != self.offer.transfer_id:
            if frame.transfer_id in self._ended:
                return None
            raise InvalidMessageError(f"{frame.type} names a file that was never offered.")
        if isinstance(frame, FileAbort):
            self._end()
            return SendingAborted(frame.code, frame.message)
        if isinstance(frame, FileAccept | FileRefuse):
            return self._answered(frame, self.offer)
        return self._progressed(frame, self.offer)

    def _answered(self, frame: FileAccept | FileRefuse, offer: FileOffer) -> SenderEvent:
        if self.state is not SenderState.OFFERED:
            raise InvalidMessageError(f"{frame.type} came a second time for one file.")
        if isinstance(frame, FileRefuse):
            self._end()
            return Refused(frame.code, frame.message)
        if not 0 <= frame.offset_bytes <= offer.size_bytes:
            raise InvalidMessageError("file_accept has an offset outside the file.")
        self.state = SenderState.SENDING
        self.sent_bytes = self.received_bytes = frame.offset_bytes
        return Accepted(frame.offset_bytes)

    def _progressed(self, frame: FileAck | FileDone, offer: FileOffer) -> SenderEvent:
        if self.state is not SenderState.SENDING:
            raise InvalidMessageError(f"{frame.type} came before file_accept.")
        if isinstance(frame, FileAck):
            if not self.received_bytes <= frame.received_bytes <= self.sent_bytes:
                raise InvalidMessageError("file_ack goes back, or beyond what was sent.")
            self.received_bytes = frame.received_bytes
            return Acknowledged(frame.received_bytes)
        if self.sent_bytes < offer.size_bytes:
            raise InvalidMessageError("file_done came before the whole file was sent.")
        self.received_bytes = offer.size_bytes
        self._end()
        return Done()


# --- receiving ------------------------------------------------------------------------------


class Receiver:
    """Files that come in: any number offered, one under way.

    Attributes:
        current: The accepted file, else None.
        received_bytes: How far its bytes have come.
        written_bytes: How far they are written.
    """

    def __init__(self) -> None:
        self.current: FileOffer | None = None
        self.received_bytes = 0
        self.written_bytes = 0
        self._acknowledged_bytes = 0
        self._pending: dict[str, FileOffer] = {}
        self._ended = _EndedTransfers()
        self._leftover_bytes = 0

    def knows(self, transfer_id: str) -> bool:
        """Whether a file of that id is offered, under way, or ended lately."""
        return (
            transfer_id in self._pending
            or transfer_id in self._ended
            or (self.current is not None and self.current.transfer_id == transfer_id)
        )

    def frame_received(self, frame: FileOffer | FileAbort) -> ReceiverEvent | None:
        """Takes in the sender's word; None where it's about a file that has ended.

        Raises:
            InvalidMessageError: It doesn't fit what was said before.
            TooLargeError: Too many offers wait.
        """
        if isinstance(frame, FileOffer):
            return self._offered(frame)
        transfer_id = frame.transfer_id
        is_current = self.current is not None and self.current.transfer_id == transfer_id
        if not is_current and self._pending.pop(transfer_id, None) is None:
            return None
        if is_current:
            self.current = None
        self._ended.add(transfer_id)
        return ReceivingAborted(transfer_id, frame.code, frame.message)

    def _offered(self, offer: FileOffer) -> Offered:
        if not 0 < len(offer.transfer_id) <= MAX_NAME_CHARS:
            raise InvalidMessageError(f"A transfer id must have 1 to {MAX_NAME_CHARS} characters.")
        if self.knows(offer.transfer_id):
            raise InvalidMessageError("file_offer has the id of another file.")
        if offer.size_bytes < 0:
            raise InvalidMessageError("A file can't have less than no bytes.")
        parse_digest(offer.digest)
        if len(self._pending) >= MAX_PENDING_OFFERS:
            raise TooLargeError(f"More than {MAX_PENDING_OFFERS} files are offered at once.")
        if self.current is None:
            self._leftover_bytes = 0  # the sender has seen the abort, if there was one
        self._pending[offer.transfer_id] = offer
        return Offered(offer)

    def is_pending(self, transfer_id: str) -> bool:
        """Whether the file is offered and neither accepted, refused nor aborted."""
        return transfer_id in self._pending

    def accept(self, transfer_id: str, offset_bytes: int) -> FileAccept:
        """Asks for a pending file's bytes; only while no other is under way."""
        if self.current is not None:
            raise RuntimeError("one file is under way already")
        self.current = self._pending.pop(transfer_id)
        self.received_bytes = self.written_bytes = self._acknowledged_bytes = offset_bytes
        return FileAccept(transfer_id, offset_bytes)

    def refuse(self, transfer_id: str, code: str, message: str) -> FileRefuse:
        """Declines a pending file."""
        del self._pending[transfer_id]
        self._ended.add(transfer_id)
        return FileRefuse(transfer_id, code, message)

    def bytes_received(self, byte_count: int) -> str | None:
        """Says which transfer bytes belong to; None for those that crossed our own abort.

        Raises:
            InvalidMessageError: They belong to no file, or to none of the size that was announced.
        """
        if self.current is None:
            if byte_count > self._leftover_bytes:
                raise InvalidMessageError("Bytes came that belong to no file.")
            self._leftover_bytes -= byte_count
            return None
        if self.received_bytes + byte_count > self.current.size_bytes:
            raise InvalidMessageError("A file has more bytes than were announced.")
        self.received_bytes += byte_count
        return self.current.transfer_id

    def bytes_written(self, byte_count: int) -> FileAck | None:
        """Notes that bytes are on disk; returns an acknowledgement if one is due."""
        if self.current is None:
            return None
        self.written_bytes += byte_count
        if self.written_bytes - self._acknowledged_bytes < ACK_INTERVAL_BYTES:
            return None
        self._acknowledged_bytes = self.written_bytes
        return FileAck(self.current.transfer_id, self.written_bytes)

    def finish(self) -> FileDone:
        """The current file is whole and in its place."""
        if self.current is None:
            raise RuntimeError("no file is under way")
        transfer_id = self.current.transfer_id
        self.current = None
        self._ended.add(transfer_id)
        return FileDone(transfer_id)

    def abort(self, code: str, message: str) -> FileAbort | None:
        """Gives up on the current file; its bytes may still come for a while, and are dropped."""
        if self.current is None:
            return None
        transfer_id = self.current.transfer_id
        self._leftover_bytes = self.current.size_bytes - self.received_bytes
        self.current = None
        self._ended.add(transfer_id)
        return FileAbort(transfer_id, code, message)


# --- both directions of a channel -----------------------------------------------------------


class Framing:
    """Both directions of one channel, and the dispatch between them."""

    def __init__(self) -> None:
        self.sender = Sender()
        self.receiver = Receiver()

    def text_received(self, text: str) -> TransferEvent | None:
        """Takes in a text message; None where it's about a file that has ended.

        Raises:
            ProtocolError: It isn't a control frame, or not one that may come now.
        """
        if len(text) > MAX_CONTROL_FRAME_BYTES or len(text.encode()) > MAX_CONTROL_FRAME_BYTES:
            raise TooLargeError(f"A control frame has more than {MAX_CONTROL_FRAME_BYTES} bytes.")
        return self._frame_received(decode_transfer_frame(text))

    def _frame_received(self, frame: TransferFrame) -> TransferEvent | None:
        if isinstance(frame, FileOffer):
            return self.receiver.frame_received(frame)
        if isinstance(frame, FileAbort):
            return self._abort_received(frame)
        return self.sender.frame_received(frame)

    def _abort_received(self, frame: FileAbort) -> TransferEvent | None:
        offer = self.sender.offer
        if offer is not None and offer.transfer_id == frame.transfer_id:
            return self.sender.frame_received(frame)
        if self.receiver.knows(frame.transfer_id):
            return self.receiver.frame_received(frame)
        return Farewell(frame.code, frame.message)
