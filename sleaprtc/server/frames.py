"""Encodes and decodes WebSocket frames on the server's side (RFC 6455, section 5); no I/O.

Nearly every frame that a peer sends is one whole text message. Those are decoded here, in a third of
wsproto's time. Everything else (control frames, fragments, binary, protocol errors) is left to wsproto.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

import attrs
from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode, ParseFailed

from ..protocol.close_codes import CloseCode
from ..protocol.limits import MAX_FRAGMENTS, MAX_FRAME_BYTES

_WHOLE_TEXT: Final = 0x80 | Opcode.TEXT
_WHOLE_CONTROL: Final = frozenset(0x80 | code for code in Opcode if code.iscontrol())
_MASKED: Final = 0x80
_LENGTH: Final = 0x7F
_TWO_BYTES: Final = 126
_EIGHT_BYTES: Final = 127
_MASK_BYTES: Final = 4


class FrameError(Exception):
    """The peer sent a frame that can't be decoded or is too large; the connection must be closed.

    Attributes:
        code: The close code.
        reason: The reason for the close frame.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@attrs.frozen
class PingReceived:
    """A ping; the pong must return its ``payload``."""

    payload: bytes


@attrs.frozen
class CloseReceived:
    """The peer closes the connection; the answer must return ``code``."""

    code: int


FrameEvent: TypeAlias = str | bytes | PingReceived | CloseReceived
"""A text or binary message, or a control frame that needs an answer."""


def encode_text(text: str) -> bytes:
    """Encodes a text message as one frame."""
    payload = text.encode()
    length = len(payload)
    if length < _TWO_BYTES:
        return bytes((_WHOLE_TEXT, length)) + payload
    if length < 2**16:
        return bytes((_WHOLE_TEXT, _TWO_BYTES, length >> 8, length & 0xFF)) + payload
    return bytes((_WHOLE_TEXT, _EIGHT_BYTES)) + length.to_bytes(8, "big") + payload


def encode_close(code: int, reason: str = "") -> bytes:
    """Encodes a close frame; a reason that is too long for it is truncated."""
    return bytes(_new_protocol().close(code, reason))


def encode_pong(payload: bytes) -> bytes:
    """Encodes the answer to a ping."""
    return bytes(_new_protocol().pong(payload))


class FrameReader:
    """Decodes what one peer sends, in pieces of any size."""

    __slots__ = ("_buffer", "_fragments", "_parts", "_parts_bytes", "_protocol", "_wanted_bytes")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted_bytes = 0
        self._protocol: FrameProtocol | None = None
        self._parts: list[str | bytes] = []
        self._parts_bytes = 0
        self._fragments = 0

    def feed(self, data: bytes) -> Iterator[FrameEvent]:
        """Decodes more bytes, and yields the messages and control frames that they complete.

        The iterator must be exhausted before more bytes are fed.

        Raises:
            FrameError: The peer broke the protocol, or a message is larger than ``MAX_FRAME_BYTES``.
        """
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._wanted_bytes:
                return
            data = bytes(self._buffer)
            self._buffer.clear()
        position = 0
        while self._protocol is None and (end := self._end_of_frame(data, position)):
            if data[position] == _WHOLE_TEXT:
                yield _text(data, position, end)
            else:
                # wsproto keeps no state between messages, so a new protocol will do.
                yield from self._by_wsproto(_new_protocol(), data[position:end])
            position = end
        if self._protocol is not None:
            yield from self._by_wsproto(self._protocol, data[position:])
        else:
            self._buffer += data[position:]

    def _end_of_frame(self, data: bytes, position: int) -> int:
        """Returns the end of the next frame; 0 if it isn't complete yet, or if wsproto takes over."""
        available = len(data) - position
        self._wanted_bytes = 2
        if available < 2:
            return 0
        first, length = data[position], data[position + 1] & _LENGTH
        if not data[position + 1] & _MASKED or (first != _WHOLE_TEXT and first not in _WHOLE_CONTROL):
            return self._give_way()
        size = 2 + _MASK_BYTES + length
        if length >= _TWO_BYTES:
            start = 4 if length == _TWO_BYTES else 10
            self._wanted_bytes = start
            if available < start:
                return 0
            length = int.from_bytes(data[position + 2 : position + start], "big")
            if first != _WHOLE_TEXT or length < (_TWO_BYTES if start == 4 else 2**16) or length >= 2**63:
                return self._give_way()
            if length > MAX_FRAME_BYTES:
                raise _too_large()
            size = start + _MASK_BYTES + length
        self._wanted_bytes = size
        return position + size if available >= size else 0

    def _give_way(self) -> int:
        """Leaves the rest of the connection to wsproto: a peer that sends fragments once will do so again."""
        self._protocol = _new_protocol()
        return 0

    def _by_wsproto(self, protocol: FrameProtocol, data: bytes) -> Iterator[FrameEvent]:
        protocol.receive_bytes(data)
        try:
            for frame in protocol.received_frames():
                if frame.opcode is Opcode.PING:
                    yield PingReceived(_as_bytes(frame.payload))
                elif frame.opcode is Opcode.CLOSE:
                    assert isinstance(frame.payload, tuple)
                    yield CloseReceived(frame.payload[0])
                elif frame.opcode is not Opcode.PONG:
                    assert not isinstance(frame.payload, tuple)
                    self._count_fragment(is_whole=frame.frame_finished, is_last=frame.message_finished)
                    yield from self._add_part(frame.payload, is_last=frame.message_finished)
        except ParseFailed as error:
            raise FrameError(error.code, str(error)) from error

    def _count_fragment(self, *, is_whole: bool, is_last: bool) -> None:
        self._fragments = 0 if is_last else self._fragments + is_whole
        if self._fragments > MAX_FRAGMENTS:
            raise FrameError(
                CloseCode.FRAME_TOO_LARGE, f"A message may come in at most {MAX_FRAGMENTS} fragments."
            )

    def _add_part(self, part: str | bytes, *, is_last: bool) -> Iterator[str | bytes]:
        self._parts.append(part)
        self._parts_bytes += len(part.encode() if isinstance(part, str) else part)
        if self._parts_bytes > MAX_FRAME_BYTES:
            raise _too_large()
        if is_last:
            yield part[:0].join(self._parts)  # type: ignore[arg-type]  # all parts are of one type
            self._parts = []
            self._parts_bytes = 0


def _text(frame: bytes, start: int, end: int) -> str:
    """Decodes the payload of a masked text frame that is complete."""
    length = frame[start + 1] & _LENGTH
    start += 2 if length < _TWO_BYTES else 4 if length == _TWO_BYTES else 10
    mask, payload = frame[start : start + _MASK_BYTES], frame[start + _MASK_BYTES : end]
    key = mask * (len(payload) // _MASK_BYTES) + mask[: len(payload) % _MASK_BYTES]
    # One XOR of two large integers is the fastest way to unmask in Python.
    unmasked = int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")
    try:
        return unmasked.to_bytes(len(payload), "little").decode()
    except UnicodeDecodeError as error:
        raise FrameError(CloseReason.INVALID_FRAME_PAYLOAD_DATA, str(error)) from error


def _too_large() -> FrameError:
    return FrameError(CloseCode.FRAME_TOO_LARGE, f"A frame may have at most {MAX_FRAME_BYTES} bytes.")


def _new_protocol() -> FrameProtocol:
    return FrameProtocol(client=False, extensions=[])


def _as_bytes(payload: bytes | str | tuple[int, str]) -> bytes:
    assert isinstance(payload, bytes)
    return payload
