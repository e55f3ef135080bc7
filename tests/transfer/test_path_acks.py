"""Acknowledgements of arrival: agreed for each file, checked, and independent of the disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import trio

from sleaprtc.errors import InvalidMessageError
from sleaprtc.protocol.codec import decode_transfer_frame, encode_transfer_frame
from sleaprtc.protocol.limits import CHUNK_BYTES, MIB
from sleaprtc.protocol.transfer import FileAbort, FileAccept, FileAck, FileDone, FileOffer, PathAck
from sleaprtc.transfer.disk import PartialFile
from sleaprtc.transfer.framing import Arrived, Framing
from sleaprtc.transfer.stream import open_transfers

from ..support.memory_channel import MemoryChannel, memory_channel_pair
from ..support.waiting import until
from .pairs import open_memory_pair

DIGEST = "sha256:" + "0" * 64


def sending(size_bytes: int = 1000, *, agreed: bool = True, offset_bytes: int = 0) -> Framing:
    """A sender whose file was accepted, and sent up to 500 bytes behind the offset."""
    framing = Framing()
    framing.sender.start(FileOffer("t", "x", size_bytes, DIGEST, "dataset", path_acks=True))
    accept = FileAccept("t", offset_bytes, True if agreed else None)
    framing.text_received(encode_transfer_frame(accept))
    framing.sender.bytes_sent(500)
    return framing


def test_what_has_arrived_is_counted_from_where_the_file_began() -> None:
    framing = sending(offset_bytes=100)
    first = framing.text_received(encode_transfer_frame(PathAck("t", 300)))
    second = framing.text_received(encode_transfer_frame(PathAck("t", 600, 2048)))
    assert (first, second) == (Arrived(300, 200, None), Arrived(600, 300, 2048))
    assert framing.sender.received_bytes == 100  # nothing of it is written


@pytest.mark.parametrize("wrong", [PathAck("t", 501), PathAck("t", -1), PathAck("t", 2, 0), PathAck("u", 2)])
def test_what_cannot_be_true_is_refused(wrong: PathAck) -> None:
    with pytest.raises(InvalidMessageError):
        sending().text_received(encode_transfer_frame(wrong))


def test_it_never_goes_back() -> None:
    framing = sending()
    framing.text_received(encode_transfer_frame(PathAck("t", 300)))
    with pytest.raises(InvalidMessageError, match="goes back"):
        framing.text_received(encode_transfer_frame(PathAck("t", 299)))


def test_it_must_have_been_agreed() -> None:
    with pytest.raises(InvalidMessageError, match="agreed"):
        sending(agreed=False).text_received(encode_transfer_frame(PathAck("t", 300)))


def test_one_that_crosses_the_end_is_ignored() -> None:
    framing = sending()
    framing.sender.abort("X", "changed its mind")
    assert framing.text_received(encode_transfer_frame(PathAck("t", 300))) is None


async def frames_until_done(channel: MemoryChannel) -> list[object]:
    frames: list[object] = []
    while not frames or not isinstance(frames[-1], FileDone | FileAbort):
        message = await channel.receive()
        assert isinstance(message, str)
        frames.append(decode_transfer_frame(message))
    return frames


@pytest.mark.parametrize("asks", [None, True])
async def test_who_is_not_asked_says_nothing(tmp_path: Path, asks: bool | None) -> None:
    content = b"flies" * 20_000
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    theirs, ours = memory_channel_pair(buffer_messages=1000)
    with trio.fail_after(60):
        async with open_transfers(ours) as receiving, trio.open_nursery() as nursery:

            async def receive() -> None:
                await (await receiving.next_offer()).accept(tmp_path)

            nursery.start_soon(receive)
            offer = FileOffer("t", "x", len(content), digest, "dataset", path_acks=asks)
            await theirs.send(encode_transfer_frame(offer))
            accept = decode_transfer_frame(str(await theirs.receive()))
            assert accept == FileAccept("t", 0, asks)
            for start in range(0, len(content), CHUNK_BYTES):
                await theirs.send(content[start : start + CHUNK_BYTES])
            frames = await frames_until_done(theirs)
    arrivals = [frame.arrived_bytes for frame in frames if isinstance(frame, PathAck)]
    assert isinstance(frames[-1], FileDone)
    if asks:
        assert arrivals == sorted(set(arrivals))
        assert arrivals[-1] == len(content)
    else:
        assert arrivals == []


async def test_a_disk_that_hangs_delays_no_acknowledgement_of_arrival(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what `file_ack` is for: the path has carried the bytes."""
    goes_on = trio.Event()
    write = PartialFile.write

    def hang_and_write(file: PartialFile, chunks: list[bytes]) -> int:
        trio.from_thread.run(goes_on.wait)
        return write(file, chunks)

    monkeypatch.setattr(PartialFile, "write", hang_and_write)
    (tmp_path / "flies.slp").write_bytes(bytes(3 * MIB))
    async with open_memory_pair() as (sending, receiving, _, theirs), trio.open_nursery() as nursery:

        async def receive() -> None:
            await (await receiving.next_offer()).accept(tmp_path / "in")

        async def send() -> None:
            await sending.send_file(tmp_path / "flies.slp", purpose="dataset")

        nursery.start_soon(receive)
        nursery.start_soon(send)
        await until(lambda: any(_is_all_arrived(message, 3 * MIB) for message in theirs.sent))
        assert not any(_is_file_ack(message) for message in theirs.sent)
        goes_on.set()
    assert (tmp_path / "in" / "flies.slp").stat().st_size == 3 * MIB


def _is_all_arrived(message: str | bytes, size_bytes: int) -> bool:
    frame = decode_transfer_frame(message) if isinstance(message, str) else None
    return isinstance(frame, PathAck) and frame.arrived_bytes == size_bytes


def _is_file_ack(message: str | bytes) -> bool:
    return isinstance(message, str) and isinstance(decode_transfer_frame(message), FileAck)
