"""The transfer protocol as two state machines, one for each direction (protocol reference, section 4).

No I/O: callers report what arrived and what they did, and get frames to send and events to handle. The state
machines enforce the rules: which frames are valid when, whose bytes arrive, and how much may be in flight.
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
from ..protocol.transfer import (
    FileAbort,
    FileAccept,
    FileAck,
    FileDone,
    FileOffer,
    FileRefuse,
    PathAck,
    TransferFrame,
)

PATH_ACK_BYTES: Final = 256 * 1024
"""Arrival is acknowledged after as many bytes even if more wait to be read, and after less if none do."""

MAX_PENDING_OFFERS: Final = 64
"""Offers that wait for this side's answer. Our own sender makes one at a time."""

ENDED_TRANSFERS_KEPT: Final = 256
"""Ended transfers whose late frames are recognized and ignored: frames of the two sides may cross."""

_DIGEST = re.compile(r"(sha-?256|blake3):([0-9a-f]{64})", re.IGNORECASE)


def parse_digest(digest: str) -> tuple[str, str]:
    """Splits a wire digest into its algorithm, ``sha256`` or ``blake3``, and 64 lower-case hex digits.

    Raises:
        InvalidMessageError: It has another form.
    """
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise InvalidMessageError("A file's digest must be sha256:HEX or blake3:HEX.")
    return match[1].lower().replace("-", ""), match[2].lower()


# --- what a machine reports -----------------------------------------------------------------


@attrs.frozen
class Accepted:
    """The other side accepted our file, from ``offset_bytes`` on."""

    offset_bytes: int


@attrs.frozen
class Acknowledged:
    """The other side has written the first ``received_bytes`` bytes of our file.

    Of ``arrived_bytes`` of them it hadn't said that they had arrived.
    """

    received_bytes: int
    arrived_bytes: int = 0


@attrs.frozen
class Arrived:
    """The other side has the first ``arrived_bytes`` bytes of our file, ``byte_count`` of them new."""

    arrived_bytes: int
    byte_count: int
    most_bytes_per_sec: int | None


@attrs.frozen
class Done:
    """The other side has received and verified our file."""


@attrs.frozen
class Refused:
    """The other side refused our file."""

    code: str
    message: str


@attrs.frozen
class SendingAborted:
    """The other side gave up on our file."""

    code: str
    message: str


@attrs.frozen
class Offered:
    """The other side offered us a file."""

    offer: FileOffer


@attrs.frozen
class ReceivingAborted:
    """The other side gave up on a file that it had offered or was sending."""

    transfer_id: str
    code: str
    message: str


@attrs.frozen
class Farewell:
    """An abort for no known transfer: the other side is about to close the channel, and gives its reason."""

    code: str
    message: str


SenderEvent: TypeAlias = Accepted | Acknowledged | Arrived | Done | Refused | SendingAborted
ReceiverEvent: TypeAlias = Offered | ReceivingAborted
TransferEvent: TypeAlias = SenderEvent | ReceiverEvent | Farewell


class _EndedTransfers:
    """The ids of transfers that ended recently."""

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
    """What the sender waits for: nothing, an answer to its offer, or the end of the transfer."""

    IDLE = "idle"
    OFFERED = "offered"
    SENDING = "sending"


class Sender:
    """The sending direction: one file at a time.

    Attributes:
        offer: The file being offered or sent, or None.
        state: See :class:`SenderState`.
        sent_bytes: The offset in the file of the next byte to send.
        received_bytes: How much of it the other side has acknowledged as written.
        arrived_bytes: How much of it has arrived there; only if ``has_path_acks``.
        has_path_acks: Whether the other side acknowledges what has arrived.
    """

    def __init__(self) -> None:
        self.arrived_bytes = 0
        self.has_path_acks = False
        self.offer: FileOffer | None = None
        self.state = SenderState.IDLE
        self.sent_bytes = 0
        self.received_bytes = 0
        self._ended = _EndedTransfers()

    def start(self, offer: FileOffer) -> FileOffer:
        """Offers a file. Call it only while no other is being offered or sent."""
        if self.offer is not None:
            raise RuntimeError("one file is under way already")
        self.offer = offer
        self.state = SenderState.OFFERED
        self.sent_bytes = self.received_bytes = 0
        return offer

    @property
    def sendable_bytes(self) -> int:
        """How many bytes may be sent now: the rest of the file, limited by the window."""
        if self.offer is None or self.state is not SenderState.SENDING:
            return 0
        window_bytes = MAX_UNACKNOWLEDGED_BYTES - (self.sent_bytes - self.received_bytes)
        return min(self.offer.size_bytes - self.sent_bytes, window_bytes)

    def bytes_sent(self, byte_count: int) -> None:
        """Records that bytes were sent, no more than :attr:`sendable_bytes`."""
        if byte_count > self.sendable_bytes:
            raise RuntimeError("more bytes than may be sent")
        self.sent_bytes += byte_count

    def abort(self, code: str, message: str) -> FileAbort | None:
        """Gives up on the file; returns the frame to send, or None if there is no file."""
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
        self, frame: FileAccept | FileRefuse | FileAck | PathAck | FileDone | FileAbort
    ) -> SenderEvent | None:
        """Handles a frame from the receiver; returns None if its transfer has ended.

        Raises:
            InvalidMessageError: The frame isn't valid in this state.
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
        self.sent_bytes = self.received_bytes = self.arrived_bytes = frame.offset_bytes
        self.has_path_acks = bool(frame.path_acks and offer.path_acks)
        return Accepted(frame.offset_bytes)

    def _progressed(self, frame: FileAck | PathAck | FileDone, offer: FileOffer) -> SenderEvent:
        if self.state is not SenderState.SENDING:
            raise InvalidMessageError(f"{frame.type} came before file_accept.")
        if isinstance(frame, PathAck):
            return self._arrived(frame)
        if isinstance(frame, FileAck):
            if not self.received_bytes <= frame.received_bytes <= self.sent_bytes:
                raise InvalidMessageError("file_ack goes back, or beyond what was sent.")
            self.received_bytes = frame.received_bytes
            new_bytes = max(frame.received_bytes - self.arrived_bytes, 0)
            self.arrived_bytes += new_bytes
            return Acknowledged(frame.received_bytes, new_bytes)
        if self.sent_bytes < offer.size_bytes:
            raise InvalidMessageError("file_done came before the whole file was sent.")
        self.received_bytes = offer.size_bytes
        self._end()
        return Done()

    def _arrived(self, frame: PathAck) -> Arrived:
        if not self.has_path_acks:
            raise InvalidMessageError("path_ack came without being agreed.")
        if not self.arrived_bytes <= frame.arrived_bytes <= self.sent_bytes:
            raise InvalidMessageError("path_ack goes back, or beyond what was sent.")
        if frame.most_bytes_per_sec is not None and frame.most_bytes_per_sec < 1:
            raise InvalidMessageError("path_ack allows less than a byte a second.")
        byte_count = frame.arrived_bytes - self.arrived_bytes
        self.arrived_bytes = frame.arrived_bytes
        return Arrived(frame.arrived_bytes, byte_count, frame.most_bytes_per_sec)


# --- receiving ------------------------------------------------------------------------------


class Receiver:
    """The receiving direction: any number of offers, one accepted file at a time.

    Attributes:
        current: The accepted file, or None.
        received_bytes: How much of it is here, counted from the start of the file.
        written_bytes: How much of it is on disk, counted the same way.
    """

    def __init__(self) -> None:
        self.current: FileOffer | None = None
        self.received_bytes = 0
        self.written_bytes = 0
        self._acknowledged_bytes = 0
        self._arrival_acknowledged_bytes = 0
        self._pending: dict[str, FileOffer] = {}
        self._ended = _EndedTransfers()
        self._leftover_bytes = 0

    def knows(self, transfer_id: str) -> bool:
        """Whether a transfer with that id is offered, in progress, or ended recently."""
        return (
            transfer_id in self._pending
            or transfer_id in self._ended
            or (self.current is not None and self.current.transfer_id == transfer_id)
        )

    def frame_received(self, frame: FileOffer | FileAbort) -> ReceiverEvent | None:
        """Handles a frame from the sender; returns None if its transfer has ended.

        Raises:
            InvalidMessageError: The frame isn't valid in this state.
            TooLargeError: Too many offers are waiting.
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
            raise InvalidMessageError("A file can't have a negative size.")
        parse_digest(offer.digest)
        if len(self._pending) >= MAX_PENDING_OFFERS:
            raise TooLargeError(f"More than {MAX_PENDING_OFFERS} files are offered at once.")
        if self.current is None:
            self._leftover_bytes = 0  # if there was an abort, the sender has received it by now
        self._pending[offer.transfer_id] = offer
        return Offered(offer)

    def is_pending(self, transfer_id: str) -> bool:
        """Whether the file is on offer, and not yet accepted, refused or aborted."""
        return transfer_id in self._pending

    def accept(self, transfer_id: str, offset_bytes: int) -> FileAccept:
        """Accepts a pending file from ``offset_bytes`` on. Call it only while no other is being received."""
        if self.current is not None:
            raise RuntimeError("one file is under way already")
        self.current = self._pending.pop(transfer_id)
        self.received_bytes = self.written_bytes = self._acknowledged_bytes = offset_bytes
        self._arrival_acknowledged_bytes = offset_bytes
        return FileAccept(transfer_id, offset_bytes, self.current.path_acks)

    def refuse(self, transfer_id: str, code: str, message: str) -> FileRefuse:
        """Refuses a pending file."""
        del self._pending[transfer_id]
        self._ended.add(transfer_id)
        return FileRefuse(transfer_id, code, message)

    def bytes_received(self, byte_count: int) -> str | None:
        """Returns the id of the transfer that bytes belong to; None if they crossed our own abort.

        Raises:
            InvalidMessageError: They belong to no file, or exceed the announced size.
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

    def owes_arrival(self, *, is_all_read: bool) -> bool:
        """Whether the sender is to be told now what has arrived.

        Args:
            is_all_read: Whether nothing else is there to be read.
        """
        if self.current is None or not self.current.path_acks:
            return False
        unacknowledged_bytes = self.received_bytes - self._arrival_acknowledged_bytes
        return unacknowledged_bytes >= (1 if is_all_read else PATH_ACK_BYTES)

    def arrival(self, most_bytes_per_sec: int | None) -> PathAck | None:
        """Returns what tells the sender how much has arrived, and how fast this side wants to receive.

        None if no file is being received, or if its sender doesn't know such frames.
        """
        current = self.current
        if current is None or not current.path_acks:
            return None
        self._arrival_acknowledged_bytes = self.received_bytes
        return PathAck(current.transfer_id, self.received_bytes, most_bytes_per_sec)

    def bytes_written(self, byte_count: int, *, is_pause: bool = False) -> FileAck | None:
        """Records that bytes are on disk; returns an acknowledgement if one is due.

        Args:
            byte_count: How many.
            is_pause: Whether they were written because few came for a while, so that progress is seen.
        """
        if self.current is None:
            return None
        self.written_bytes += byte_count
        is_whole = self.written_bytes == self.current.size_bytes  # then file_done follows
        due_bytes = 1 if is_pause and not is_whole else ACK_INTERVAL_BYTES
        if self.written_bytes - self._acknowledged_bytes < due_bytes:
            return None
        self._acknowledged_bytes = self.written_bytes
        return FileAck(self.current.transfer_id, self.written_bytes)

    def finish(self) -> FileDone:
        """Ends the current transfer: the file is complete, verified and in its place."""
        if self.current is None:
            raise RuntimeError("no file is under way")
        transfer_id = self.current.transfer_id
        self.current = None
        self._ended.add(transfer_id)
        return FileDone(transfer_id)

    def abort(self, code: str, message: str) -> FileAbort | None:
        """Gives up on the current file. Bytes of it that still arrive are dropped."""
        if self.current is None:
            return None
        transfer_id = self.current.transfer_id
        self._leftover_bytes = self.current.size_bytes - self.received_bytes
        self.current = None
        self._ended.add(transfer_id)
        return FileAbort(transfer_id, code, message)


# --- both directions of a channel -----------------------------------------------------------


class Framing:
    """Both directions of one channel; dispatches frames to them."""

    def __init__(self) -> None:
        self.sender = Sender()
        self.receiver = Receiver()

    def text_received(self, text: str) -> TransferEvent | None:
        """Handles a text message; returns None if its transfer has ended.

        Raises:
            ProtocolError: It isn't a control frame, or isn't valid in this state.
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
