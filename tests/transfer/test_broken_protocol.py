"""A side that breaks the protocol ends the channel, with an error on both sides and nothing hanging."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from sleaprtc.errors import (
    ChannelClosedError,
    InvalidJSONError,
    InvalidMessageError,
    ProtocolError,
    TooLargeError,
    UnknownMessageTypeError,
)
from sleaprtc.protocol.codec import decode_transfer_frame, encode_transfer_frame
from sleaprtc.protocol.limits import MAX_CONTROL_FRAME_BYTES
from sleaprtc.protocol.transfer import FileAbort, FileAccept, FileAck, FileDone, FileOffer, FileRefuse
from sleaprtc.transfer.stream import Transfers, open_transfers
from tests.support.memory_channel import MemoryChannel, memory_channel_pair

from .pairs import open_both

DIGEST = "sha256:" + "0" * 64
OFFER = FileOffer("t1", "x.bin", 100, DIGEST, "dataset")


def frames(*parts: object) -> list[str | bytes]:
    return [part if isinstance(part, str | bytes) else encode_transfer_frame(part) for part in parts]


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        (frames("{garbage"), InvalidJSONError),
        (frames("[]"), InvalidMessageError),
        (frames('{"type": "file_offer"}'), InvalidMessageError),
        (frames('{"type": "file_wish", "transfer_id": "t1"}'), UnknownMessageTypeError),
        (frames('{"type": "' + "x" * MAX_CONTROL_FRAME_BYTES + '"}'), TooLargeError),
        (frames(b"bytes of no file"), InvalidMessageError),
        (frames(OFFER, b"bytes before acceptance"), InvalidMessageError),
        (frames(OFFER, OFFER), InvalidMessageError),
        (frames(FileOffer("", "x", 1, DIGEST, "dataset")), InvalidMessageError),
        (frames(FileOffer("t" * 129, "x", 1, DIGEST, "dataset")), InvalidMessageError),
        (frames(FileOffer("t1", "x", -1, DIGEST, "dataset")), InvalidMessageError),
        (frames(FileOffer("t1", "x", 1, "md5:" + "0" * 32, "dataset")), InvalidMessageError),
        (frames(FileAccept("t1")), InvalidMessageError),
        (frames(FileRefuse("t1", "X", "x")), InvalidMessageError),
        (frames(FileAck("t1", 5)), InvalidMessageError),
        (frames(FileDone("t1")), InvalidMessageError),
        (frames(*(FileOffer(f"t{n}", "x", 1, DIGEST, "dataset") for n in range(65))), TooLargeError),
    ],
)
async def test_what_may_not_come_ends_the_channel(
    messages: list[str | bytes], error: type[ProtocolError]
) -> None:
    a, b = memory_channel_pair(buffer_messages=100)
    with trio.fail_after(60):
        async with open_transfers(b) as transfers:
            for message in messages:
                await a.send(message)
            await transfers.wait_closed()
            with pytest.raises(error):
                await all_offers(transfers)
            [goodbye] = await last_frames(a)
            assert isinstance(goodbye, FileAbort)
            assert goodbye.code == error.code


async def all_offers(transfers: Transfers) -> None:
    while True:
        await transfers.next_offer()


async def last_frames(channel: MemoryChannel) -> list[object]:
    """Returns the frames that arrive until the channel is closed, without file bytes."""
    frames = []
    with suppress(ChannelClosedError):
        while True:
            message = await channel.receive()
            if isinstance(message, str):
                frames.append(decode_transfer_frame(message))
    return frames


async def offered(channel: MemoryChannel) -> FileOffer:
    frame = decode_transfer_frame(await channel.receive())
    assert isinstance(frame, FileOffer)
    return frame


@pytest.mark.parametrize(
    "answer",
    [
        lambda t: frames(FileAccept(t, 1001)),
        lambda t: frames(FileAccept(t, -1)),
        lambda t: frames(FileAck(t, 0)),
        lambda t: frames(FileDone(t)),
        lambda t: frames(FileAccept(t, 1000), FileAck(t, 500)),
        lambda t: frames(FileAccept(t, 1000), FileAck(t, 1001)),
        lambda t: frames(FileAccept(t, 1000), FileAccept(t, 0)),
        lambda t: frames(FileAccept(t, 1000), FileRefuse(t, "X", "x")),
        lambda t: frames(FileAccept("another")),
        lambda t: frames(FileOffer(t, "x", 1, DIGEST, "model"), FileAccept("another")),
    ],
)
async def test_a_receiver_that_makes_no_sense_ends_the_channel(tmp_path: Path, answer: object) -> None:
    (tmp_path / "x.bin").write_bytes(bytes(1000))
    a, b = memory_channel_pair(buffer_messages=100)
    with trio.fail_after(60):
        async with open_transfers(b) as transfers, trio.open_nursery() as nursery:

            async def send() -> None:
                with pytest.raises(InvalidMessageError):
                    await transfers.send_file(tmp_path / "x.bin", purpose="dataset")

            nursery.start_soon(send)
            offer = await offered(a)
            for message in answer(offer.transfer_id):
                await a.send(message)
            goodbyes = await last_frames(a)
            assert [type(frame) for frame in goodbyes] == [FileAbort, FileAbort]
            assert [frame.transfer_id for frame in goodbyes] == [offer.transfer_id, ""]
            assert {frame.code for frame in goodbyes} == {"INVALID_MESSAGE"}


async def test_more_bytes_than_announced_end_the_channel_and_leave_nothing(tmp_path: Path) -> None:
    a, b = memory_channel_pair()
    with trio.fail_after(60):
        async with open_transfers(b) as transfers, trio.open_nursery() as nursery:

            async def receive() -> None:
                with pytest.raises(InvalidMessageError, match="more bytes than were announced"):
                    await (await transfers.next_offer()).accept(tmp_path / "in")

            nursery.start_soon(receive)
            await a.send(encode_transfer_frame(OFFER))
            assert decode_transfer_frame(await a.receive()) == FileAccept("t1", 0)
            await a.send(bytes(101))
            assert [frame.transfer_id for frame in await last_frames(a)] == ["t1", ""]
    assert list((tmp_path / "in").iterdir()) == []


async def test_our_own_side_hears_why_the_other_ended_the_channel(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(os.urandom(1000))
    a, b = memory_channel_pair()
    with trio.fail_after(60):
        async with open_both(a, b) as (sending, receiving), trio.open_nursery() as nursery:

            async def send() -> None:
                with pytest.raises(ProtocolError, match=r"ended the connection: .* belong to no file"):
                    await sending.send_file(tmp_path / "x.bin", purpose="dataset")

            nursery.start_soon(send)
            await receiving.next_offer()
            await a.send(b"bytes before acceptance")
            with pytest.raises(InvalidMessageError):
                await receiving.next_offer()
            await sending.wait_closed()


async def test_an_idle_side_hears_it_too() -> None:
    a, b = memory_channel_pair()
    with trio.fail_after(60):
        async with open_both(a, b) as (sending, receiving):
            await a.send("{garbage")
            with pytest.raises(ProtocolError, match="ended the connection: The message is not valid JSON"):
                await sending.next_offer()
            with pytest.raises(InvalidJSONError):
                await receiving.next_offer()


async def test_words_that_cross_do_no_harm(tmp_path: Path) -> None:
    """Bytes and frames that were in flight when the other side gave up aren't protocol errors."""
    content = os.urandom(1000)
    a, b = memory_channel_pair()
    with trio.fail_after(60):
        async with open_transfers(b) as transfers, trio.open_nursery() as nursery:
            await a.send(encode_transfer_frame(OFFER))
            incoming = await transfers.next_offer()

            async def accept_and_cancel() -> None:
                with trio.CancelScope() as scope:
                    await incoming.accept(tmp_path / "in", progress=lambda _: scope.cancel())

            nursery.start_soon(accept_and_cancel)
            assert decode_transfer_frame(await a.receive()) == FileAccept("t1", 0)
            assert isinstance(decode_transfer_frame(await a.receive()), FileAbort)
            await a.send(bytes(60))
            await a.send(encode_transfer_frame(FileAbort("t1", "CANCELLED", "me too")))
            await a.send(encode_transfer_frame(FileAbort("t0", "CANCELLED", "never heard of")))

            (tmp_path / "y.bin").write_bytes(content)

            async def send_and_cancel() -> None:
                with trio.CancelScope() as scope:
                    await transfers.send_file(
                        tmp_path / "y.bin", purpose="model", progress=lambda _: scope.cancel()
                    )

            nursery.start_soon(send_and_cancel)
            offer = await offered(a)
            await a.send(encode_transfer_frame(FileAccept(offer.transfer_id, 0)))
            assert isinstance(decode_transfer_frame(await a.receive()), FileAbort)
            await a.send(encode_transfer_frame(FileAck(offer.transfer_id, 0)))
            await a.send(encode_transfer_frame(FileDone(offer.transfer_id)))

            await a.send(encode_transfer_frame(FileOffer("t2", "z.bin", 5, DIGEST, "dataset")))
            assert (await transfers.next_offer()).offer.transfer_id == "t2"
