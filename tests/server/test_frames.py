"""Whatever a peer sends, in whatever pieces, it is parsed as wsproto alone would parse it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

from sleaprtc.protocol.limits import MAX_FRAME_BYTES
from sleaprtc.server.frames import (
    CloseReceived,
    FrameError,
    FrameReader,
    PingReceived,
    encode_close,
    encode_pong,
    encode_text,
)


def read(pieces: Iterable[bytes]) -> tuple[list[object], int | None]:
    """Returns all messages of a peer, and the close code if it broke the protocol."""
    reader, events = FrameReader(), []
    try:
        for piece in pieces:
            for event in reader.feed(piece):
                events.append(event)
                if isinstance(event, CloseReceived):
                    return events, None
    except FrameError as error:
        return events, error.code
    return events, None


def read_by_wsproto(data: bytes) -> tuple[list[object], int | None]:
    protocol, events, parts = FrameProtocol(client=False, extensions=[]), [], []
    protocol.receive_bytes(data)
    try:
        for frame in protocol.received_frames():
            if frame.opcode is Opcode.CLOSE:
                return [*events, CloseReceived(frame.payload[0])], None
            if frame.opcode is Opcode.PING:
                events.append(PingReceived(frame.payload))
            elif frame.opcode is not Opcode.PONG:
                parts.append(frame.payload)
                if frame.message_finished:
                    events.append(parts[0][:0].join(parts))
                    parts = []
    except ParseFailed as error:
        return events, int(error.code)
    return events, None


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def frame(opcode: int, payload: bytes, *, fin: bool = True, key: bytes = b"\x01\x02\x03\x04") -> bytes:
    length = len(payload)
    if length < 126:
        header = bytes((fin << 7 | opcode, 0x80 | length))
    elif length < 2**16:
        header = bytes((fin << 7 | opcode, 0x80 | 126)) + length.to_bytes(2, "big")
    else:
        header = bytes((fin << 7 | opcode, 0x80 | 127)) + length.to_bytes(8, "big")
    return header + key + bytes(byte ^ key[number % 4] for number, byte in enumerate(payload))


keys = st.binary(min_size=4, max_size=4)
payloads = st.one_of(
    st.text(max_size=300).map(str.encode),
    st.binary(max_size=8),
    st.just(b"x" * 126),
    st.just("é".encode() * 0x8000),
)
frames = st.one_of(
    st.builds(frame, st.just(1), payloads, key=keys),
    st.builds(frame, st.sampled_from([0, 1, 2]), payloads, fin=st.booleans(), key=keys),
    st.builds(frame, st.sampled_from([8, 9, 10]), st.binary(max_size=130), key=keys),
    st.builds(frame, st.integers(0, 0x7F), st.binary(max_size=4), key=keys),
    st.binary(max_size=12),
)


@given(data=st.lists(frames, max_size=5).map(b"".join), size=st.integers(1, 400))
@example(data=b"\x81\x02{}", size=400)
@example(data=b"\x81\xfe\x00\x02" + b"\0" * 6, size=400)
@example(data=b"\x81\xff" + b"\xff" * 12, size=1)
@example(data=frame(1, b"a", fin=False) + frame(9, b"b") + frame(0, b"c") + frame(1, b"d"), size=3)
@example(data=frame(1, b"a") + frame(8, b"\x03\xe8bye") + frame(1, b"b"), size=400)
def test_any_bytes_are_read_as_wsproto_reads_them(data: bytes, size: int) -> None:
    events, code = read(in_pieces(data, size))
    expected, expected_code = read_by_wsproto(data)
    # Whether a text that isn't UTF-8 is refused at its first piece or at its last, nothing of it arrives.
    if code == expected_code:
        assert events == expected
    else:
        assert (code, expected_code) == (None, 1007)
        assert events == expected


@pytest.mark.parametrize("opcode", [1, 2])
@pytest.mark.parametrize("parts", [1, 2])
def test_messages_have_one_limit_however_they_come(opcode: int, parts: int) -> None:
    def message(length: int) -> bytes:
        half = b"x" * (length // parts)
        first = frame(opcode, half, fin=parts == 1)
        return first if parts == 1 else first + frame(0, b"x" * (length - len(half)))

    events, code = read(in_pieces(message(MAX_FRAME_BYTES), 16384))
    assert ([len(event) for event in events], code) == ([MAX_FRAME_BYTES], None)  # type: ignore[arg-type]
    assert read(in_pieces(message(MAX_FRAME_BYTES + 1), 16384)) == ([], 1009)


@given(text=st.text(max_size=200) | st.sampled_from(["x" * 125, "x" * 126, "x" * 65535, "x" * 65536]))
def test_what_is_written_can_be_read(text: str) -> None:
    client = FrameProtocol(client=True, extensions=[])
    client.receive_bytes(encode_text(text) + encode_pong(b"ping") + encode_close(4003, "no " * 100))
    message, pong, close = client.received_frames()
    assert message.payload == text
    assert (pong.opcode, pong.payload) == (Opcode.PONG, b"ping")
    assert close.payload[0] == 4003
