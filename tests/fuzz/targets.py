"""What is fuzzed: each target takes any bytes and raises where a promise is broken."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final, get_args

import attrs

from sleaprtc.errors import ProtocolError, SleapRTCError
from sleaprtc.protocol import codec, jobs, messages
from sleaprtc.protocol import transfer as frames
from sleaprtc.protocol.limits import MAX_UNACKNOWLEDGED_BYTES
from sleaprtc.rooms.filters import parse_filters
from sleaprtc.server.frames import FrameError, FrameReader
from sleaprtc.transfer.framing import Framing, Offered

from .archives import fuzz_archives
from .server_answers import fuzz_answer_documents, fuzz_server_answers
from .worker_messages import fuzz_worker

Target = Callable[[bytes], None]


def _words() -> list[str]:
    """Names of the protocol's messages and fields, and what else means something in it."""
    classes = [
        *get_args(messages.ClientMessage),
        *get_args(messages.ServerMessage),
        *get_args(jobs.JobMessage),
        *get_args(frames.TransferFrame),
        messages.Metadata,
        messages.PeerInfo,
        messages.IceServer,
        jobs.DatasetInfo,
        jobs.Requirements,
        jobs.JobError,
        jobs.JobResult,
        jobs.StatusDetails,
        jobs.WorkerInfo,
    ]
    words = {
        "type",
        "app_message_type",
        "sdpMid",
        "sdpMLineIndex",
        "properties",
        "tags",
        "role",
        "$in",
        "$gt",
    }
    for cls in classes:
        words |= {field.name for field in attrs.fields(cls)}
        words |= {str(getattr(cls, key)) for key in ("type", "app_message_type") if hasattr(cls, key)}
    return sorted(words)


WORDS: Final = _words()

DECODERS: Final[list[Callable[[Any], object]]] = [
    codec.decode_json_object,
    codec.decode_client_message,
    codec.decode_server_message,
    codec.decode_transfer_frame,
    lambda document: codec.decode_job_message(codec.decode_json_object(document)),
    lambda document: parse_filters(codec.decode_json_object(document)),
]


def fuzz_codec(data: bytes) -> None:
    """Any bytes are a message or a protocol error; the first byte chooses who reads them."""
    if not data:
        return
    decode = DECODERS[data[0] % len(DECODERS)]
    document: str | bytes = data[1:]
    if decode is codec.decode_transfer_frame:
        document = data[1:].decode("utf-8", "surrogateescape" if data[0] & 0x80 else "replace")
    try:
        decode(document)
    except ProtocolError as error:
        _check_sentence(error)


def fuzz_messages(data: bytes) -> None:
    """Any JSON with the protocol's words is a message that can be written again, or a protocol error."""
    source = iter(data)
    value = _value(source, depth=0)
    if not isinstance(value, dict):
        return
    _round_trip(value, codec.decode_client_message, codec.encode_message)
    _round_trip(value, codec.decode_server_message, codec.encode_message)
    _round_trip(value, codec.decode_transfer_frame, codec.encode_transfer_frame)
    try:
        message = codec.decode_job_message(value)
    except ProtocolError as error:
        _check_sentence(error)
    else:
        assert codec.decode_job_message(codec.encode_job_message(message)) == message
        str(message)


def _round_trip(value: dict[str, Any], decode: Callable[[str], Any], encode: Callable[[Any], str]) -> None:
    try:
        message = decode(json.dumps(value))
    except ProtocolError as error:
        _check_sentence(error)
    else:
        assert decode(encode(message)) == message


def _value(source: Iterator[int], depth: int) -> Any:
    """Reads a JSON value from bytes: a byte for its kind, some for its parts."""
    kind = next(source, 0)
    if kind < 64 and depth < 5:
        return {
            WORDS[next(source, 0) % len(WORDS)]: _value(source, depth + 1) for _ in range(next(source, 0) % 9)
        }
    if kind < 80 and depth < 5:
        return [_value(source, depth + 1) for _ in range(next(source, 0) % 5)]
    if kind < 160:
        return WORDS[next(source, 0) % len(WORDS)]
    odd = [
        None,
        True,
        False,
        0,
        -1,
        1,
        25.0,
        0.5,
        -0.0,
        2**63,
        2**1023,
        2**1024,
        10**400,
        1e308,
        "",
        "\ud800",
    ]
    return [*odd, "x" * 200, "../x", "\x1b[2J"][kind % (len(odd) + 3)]


def fuzz_framing(data: bytes) -> None:
    """Whatever the other side says on the data channel, both machines hold their bounds or end it.

    The data are messages, each a byte for its kind and one for its length; kinds are text, binary, and what
    our own side does in between.
    """
    machine = Framing()
    digest = "sha256:" + "0" * 64
    machine.sender.start(frames.FileOffer("t1", "x", 100, digest, "dataset"))
    source = iter(data)
    for kind in source:
        try:
            _step(machine, kind, bytes(byte for byte, _ in zip(source, range(next(source, 0)), strict=False)))
        except ProtocolError as error:
            _check_sentence(error)
            return
        sender, receiver = machine.sender, machine.receiver
        assert 0 <= sender.sent_bytes - sender.received_bytes <= MAX_UNACKNOWLEDGED_BYTES
        if sender.offer is not None:
            assert sender.sent_bytes <= sender.offer.size_bytes
        if receiver.current is not None:
            assert receiver.written_bytes <= receiver.received_bytes <= receiver.current.size_bytes


_SHORTHANDS: Final = [
    frames.FileOffer("t2", "y", 1000, "blake3:" + "1" * 64, "model"),
    frames.FileOffer("t3", "z", 0, "sha256:" + "1" * 64, "config"),
    frames.FileAccept("t1", 0),
    frames.FileAccept("t1", 100),
    frames.FileAck("t1", 50),
    frames.FileAck("t1", 100),
    frames.FileDone("t1"),
    frames.FileRefuse("t1", "X", "x"),
    frames.FileAbort("t1", "X", "x"),
    frames.FileAbort("t2", "X", "x"),
]


def _step(machine: Framing, kind: int, payload: bytes) -> None:
    receiver, sender = machine.receiver, machine.sender
    if kind % 8 == 0:
        _hear(machine, payload.decode("utf-8", "replace"), offset_bytes=kind)
    elif kind % 8 == 1:
        frame = _SHORTHANDS[kind // 8 % len(_SHORTHANDS)]
        _hear(machine, codec.encode_transfer_frame(frame), offset_bytes=0)
    elif kind % 8 == 2:
        receiver.bytes_received(len(payload))
    elif kind % 8 == 3 and receiver.received_bytes > receiver.written_bytes:
        receiver.bytes_written(min(len(payload) + 1, receiver.received_bytes - receiver.written_bytes))
    elif kind % 8 == 4 and sender.sendable_bytes > 0:
        sender.bytes_sent(min(len(payload) + 1, sender.sendable_bytes))
    elif kind % 8 == 5:
        sender.abort("CANCELLED", "x")
    elif kind % 8 == 6 and receiver.current is not None:
        receiver.abort("STORAGE", "x")
    elif receiver.current is not None and receiver.written_bytes == receiver.current.size_bytes:
        receiver.finish()


def _hear(machine: Framing, text: str, *, offset_bytes: int) -> None:
    event = machine.text_received(text)
    if isinstance(event, Offered) and machine.receiver.current is None:
        machine.receiver.accept(event.offer.transfer_id, min(offset_bytes, event.offer.size_bytes))


def fuzz_websocket(data: bytes) -> None:
    """Any bytes after a handshake are messages, or end with a close code; pieces make no difference."""
    assert _read(data, [data]) == _read(data, [data[start : start + 3] for start in range(0, len(data), 3)])


def _read(data: bytes, pieces: list[bytes]) -> tuple[list[object], int | None]:
    reader, events = FrameReader(), list[object]()
    try:
        for piece in pieces:
            events.extend(reader.feed(piece))
    except FrameError as error:
        return events, error.code
    return events, None


def _check_sentence(error: SleapRTCError) -> None:
    sentence = str(error)
    assert sentence.endswith("."), sentence
    assert len(sentence) < 1000, sentence


TARGETS: Final[dict[str, Target]] = {
    "codec": fuzz_codec,
    "messages": fuzz_messages,
    "framing": fuzz_framing,
    "websocket": fuzz_websocket,
    "worker": fuzz_worker,
    "archives": fuzz_archives,
    "server_answers": fuzz_server_answers,
    "answer_documents": fuzz_answer_documents,
}
