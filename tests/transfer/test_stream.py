"""Both sides of a file transfer, over a channel in memory."""

from __future__ import annotations

import hashlib
import itertools
import os
from pathlib import Path

import blake3
import pytest
import trio
import trio.testing

from sleaprtc.errors import (
    ChannelClosedError,
    DigestMismatchError,
    InvalidFileNameError,
    StorageError,
    TransferAbortedError,
    TransferRefusedError,
)
from sleaprtc.protocol.codec import decode_transfer_frame, encode_transfer_frame
from sleaprtc.protocol.limits import CHUNK_BYTES, MAX_UNACKNOWLEDGED_BYTES, MIB
from sleaprtc.protocol.transfer import FileAccept, FileAck, FileDone, FileOffer
from sleaprtc.transfer.stream import TransferProgress, Transfers, open_transfers
from tests.support.memory_channel import memory_channel_pair

from .pairs import open_both, open_memory_pair


def make_file(path: Path, size_bytes: int) -> bytes:
    content = os.urandom(size_bytes)
    path.write_bytes(content)
    return content


async def send_one(
    sending: Transfers, receiving: Transfers, path: Path, directory: Path, **options: object
) -> Path:
    """Sends a file and accepts it; returns its path at the receiver."""
    received: list[Path] = []

    async def receive() -> None:
        incoming = await receiving.next_offer()
        received.append(await incoming.accept(directory, **options))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await sending.send_file(path, purpose="dataset")
    return received[0]


def files_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


async def test_a_receiver_may_acknowledge_every_4_mib(tmp_path: Path) -> None:
    """As rarely as the protocol allows, while messages are as large as they get."""
    content = make_file(tmp_path / "labels.pkg.slp", 21 * MIB + 17)
    ours, theirs = memory_channel_pair()
    ours.message_bytes = 256 * 1024
    received = bytearray()

    async def receive() -> None:
        offer = decode_transfer_frame(await theirs.receive())
        await theirs.send(encode_transfer_frame(FileAccept(offer.transfer_id, 0)))
        acknowledged_bytes = 0
        while len(received) < len(content):
            received.extend(await theirs.receive())
            if len(received) - acknowledged_bytes > 4 * MIB - 256 * 1024:
                acknowledged_bytes = len(received)
                await theirs.send(encode_transfer_frame(FileAck(offer.transfer_id, acknowledged_bytes)))
        await theirs.send(encode_transfer_frame(FileDone(offer.transfer_id)))

    with trio.fail_after(60):
        async with open_transfers(ours) as sending, trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await sending.send_file(tmp_path / "labels.pkg.slp", purpose="dataset")
    assert received == content


@pytest.mark.parametrize("size_bytes", [0, 1, CHUNK_BYTES, 3 * MIB + 17])
async def test_a_file_arrives_whole_under_its_name_and_nothing_else_does(
    tmp_path: Path, size_bytes: int
) -> None:
    content = make_file(tmp_path / "labels.pkg.slp", size_bytes)
    async with open_memory_pair() as (sending, receiving, _, _):
        path = await send_one(sending, receiving, tmp_path / "labels.pkg.slp", tmp_path / "in")
    assert path == tmp_path / "in" / "labels.pkg.slp"
    assert path.read_bytes() == content
    assert files_in(path.parent) == {"labels.pkg.slp"}


async def test_the_offer_says_what_is_coming(tmp_path: Path) -> None:
    content = make_file(tmp_path / "model.zip", 1000)
    async with open_memory_pair() as (sending, receiving, _, _), trio.open_nursery() as nursery:

        async def send() -> None:
            await sending.send_file(tmp_path / "model.zip", purpose="model", name="best.zip", job_id="j1")

        nursery.start_soon(send)
        incoming = await receiving.next_offer()
        assert incoming.offer == FileOffer(
            transfer_id=incoming.offer.transfer_id,
            name="best.zip",
            size_bytes=1000,
            digest=f"sha256:{hashlib.sha256(content).hexdigest()}",
            purpose="model",
            job_id="j1",
            path_acks=True,
        )
        assert (await incoming.accept(tmp_path / "in", name="mine.zip")).name == "mine.zip"


async def test_both_directions_go_at_once_and_files_of_one_direction_queue(tmp_path: Path) -> None:
    names = [f"файл {number} 文件 🪰.bin" for number in range(20)]
    contents = {name: make_file(tmp_path / name, 10_000 + 50_000 * (n % 3)) for n, name in enumerate(names)}

    async def send_all(transfers: Transfers) -> None:
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(send_named, transfers, name)

    async def send_named(transfers: Transfers, name: str) -> None:
        await transfers.send_file(tmp_path / name, purpose="model")

    async def receive_all(transfers: Transfers, directory: Path) -> None:
        for _ in names:
            await (await transfers.next_offer()).accept(directory)

    async with open_memory_pair() as (a, b, _, _), trio.open_nursery() as nursery:
        for transfers, directory in ((a, tmp_path / "in_a"), (b, tmp_path / "in_b")):
            nursery.start_soon(send_all, transfers)
            nursery.start_soon(receive_all, transfers, directory)
    for directory in (tmp_path / "in_a", tmp_path / "in_b"):
        assert {path.name: path.read_bytes() for path in directory.iterdir()} == contents


async def test_both_sides_see_what_is_written(tmp_path: Path) -> None:
    make_file(tmp_path / "x.bin", 5 * MIB)
    sent: list[TransferProgress] = []
    received: list[TransferProgress] = []
    async with open_memory_pair() as (sending, receiving, _, _), trio.open_nursery() as nursery:

        async def send() -> None:
            await sending.send_file(tmp_path / "x.bin", purpose="dataset", progress=sent.append)

        nursery.start_soon(send)
        await (await receiving.next_offer()).accept(tmp_path / "in", progress=received.append)
    for reports in (sent, received):
        amounts = [report.received_bytes for report in reports]
        assert amounts == sorted(set(amounts))
        assert (amounts[0], amounts[-1]) == (0, 5 * MIB)
        assert len(amounts) > 2
        assert all((r.name, r.size_bytes, r.offset_bytes) == ("x.bin", 5 * MIB, 0) for r in reports)


async def test_a_cut_transfer_goes_on_where_the_disk_ends(tmp_path: Path) -> None:
    content = make_file(tmp_path / "x.bin", 6 * MIB)
    directory = tmp_path / "in"
    offsets = []
    for cut_after_bytes in (2 * MIB + 5, 2 * MIB + 5, None):
        a, b = memory_channel_pair()
        if cut_after_bytes is not None:
            a.cut_after(cut_after_bytes)
        reports: list[TransferProgress] = []
        with trio.fail_after(60):
            async with open_both(a, b) as (sending, receiving):
                if cut_after_bytes is None:
                    path = await send_one(
                        sending, receiving, tmp_path / "x.bin", directory, progress=reports.append
                    )
                else:
                    with pytest.RaisesGroup(ChannelClosedError, ChannelClosedError, flatten_subgroups=True):
                        await both_fail(sending, receiving, tmp_path / "x.bin", directory, reports)
                    assert "x.bin" not in files_in(directory)
        offsets.append(reports[0].offset_bytes)
    assert path.read_bytes() == content
    assert files_in(directory) == {"x.bin"}
    assert offsets[0] == 0
    assert offsets[1] >= 1 * MIB
    assert offsets[2] >= offsets[1] + 1 * MIB


async def both_fail(
    sending: Transfers, receiving: Transfers, path: Path, directory: Path, reports: list[TransferProgress]
) -> None:
    async def receive() -> None:
        await (await receiving.next_offer()).accept(directory, progress=reports.append)

    async def send() -> None:
        await sending.send_file(path, purpose="dataset")

    errors: list[Exception] = []

    async def collect(function: object) -> None:
        try:
            await function()
        except Exception as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect, receive)
        nursery.start_soon(collect, send)
    raise ExceptionGroup("both sides", errors)


async def test_a_file_that_is_there_already_isn_t_sent_again(tmp_path: Path) -> None:
    make_file(tmp_path / "x.bin", 3 * MIB)
    for attempt in range(2):
        async with open_memory_pair() as (sending, receiving, a, _):
            await send_one(sending, receiving, tmp_path / "x.bin", tmp_path / "in")
            sent_bytes = sum(len(message) for message in a.sent if isinstance(message, bytes))
            assert sent_bytes == (0 if attempt else 3 * MIB)


async def test_another_file_of_that_name_is_replaced(tmp_path: Path) -> None:
    content = make_file(tmp_path / "x.bin", 1000)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.bin").write_bytes(b"old")
    async with open_memory_pair() as (sending, receiving, _, _):
        path = await send_one(sending, receiving, tmp_path / "x.bin", tmp_path / "in")
    assert path.read_bytes() == content


async def test_a_partial_with_wrong_content_is_found_out_and_replaced(tmp_path: Path) -> None:
    content = make_file(tmp_path / "x.bin", 2 * MIB)
    (tmp_path / "in").mkdir()
    digest = hashlib.sha256(content).hexdigest()
    partial = tmp_path / "in" / f".sleap-rtc-sha256-{digest}.part"

    partial.write_bytes(bytes(2 * MIB))  # whole and wrong: begins anew at once
    async with open_memory_pair() as (sending, receiving, _, _):
        path = await send_one(sending, receiving, tmp_path / "x.bin", tmp_path / "in")
    assert path.read_bytes() == content
    path.unlink()

    partial.write_bytes(bytes(MIB))  # wrong at its beginning: seen at the end
    async with open_memory_pair() as (sending, receiving, _, _):
        with pytest.RaisesGroup(DigestMismatchError, DigestMismatchError, flatten_subgroups=True):
            await both_fail(sending, receiving, tmp_path / "x.bin", tmp_path / "in", [])
        assert files_in(tmp_path / "in") == set()
        path = await send_one(sending, receiving, tmp_path / "x.bin", tmp_path / "in")
    assert path.read_bytes() == content


async def test_a_reader_that_stops_holds_the_sender_within_the_window(tmp_path: Path) -> None:
    make_file(tmp_path / "x.bin", 2 * MAX_UNACKNOWLEDGED_BYTES)
    a, b = memory_channel_pair(buffer_messages=10_000)
    with trio.fail_after(60):
        async with open_both(a, b) as (sending, receiving), trio.open_nursery() as nursery:

            async def send() -> None:
                await sending.send_file(tmp_path / "x.bin", purpose="dataset")

            nursery.start_soon(send)
            incoming = await receiving.next_offer()
            b.stall()

            async def accept() -> None:
                await incoming.accept(tmp_path / "in")

            nursery.start_soon(accept)
            last = -1
            while sum(map(len, a.sent)) != last:
                last = sum(map(len, a.sent))
                await trio.sleep(0.2)
            assert last <= MAX_UNACKNOWLEDGED_BYTES + 1000
            b.go_on()
    assert (tmp_path / "in" / "x.bin").read_bytes() == (tmp_path / "x.bin").read_bytes()


async def test_a_refusal_is_told_with_its_sentence(tmp_path: Path) -> None:
    make_file(tmp_path / "x.bin", 10)
    async with open_memory_pair() as (sending, receiving, _, _), trio.open_nursery() as nursery:

        async def refuse() -> None:
            await (await receiving.next_offer()).refuse("BUSY", "Come back\x1b[31m later.")

        nursery.start_soon(refuse)
        with pytest.raises(TransferRefusedError, match=r"refused x\.bin: Come back \[31m later\.$"):
            await sending.send_file(tmp_path / "x.bin", purpose="dataset")


async def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    make_file(tmp_path / "x.bin", 2 * MIB)
    async with open_memory_pair(max_size_bytes=MIB) as (sending, receiving, _, _):
        with pytest.RaisesGroup(TransferRefusedError, TransferRefusedError, flatten_subgroups=True):
            await both_fail(sending, receiving, tmp_path / "x.bin", tmp_path / "in", [])
    assert not (tmp_path / "in").exists()


@pytest.mark.parametrize("name", ["../x", "a/b", "con", "x\n", ""])
async def test_names_that_lead_elsewhere_are_refused_by_the_receiver(tmp_path: Path, name: str) -> None:
    a, b = memory_channel_pair()
    with trio.fail_after(60):
        async with open_transfers(b) as receiving:
            await a.send(encode_transfer_frame(FileOffer("t", name, 1, "sha256:" + "0" * 64, "dataset")))
            with pytest.raises(InvalidFileNameError):
                await (await receiving.next_offer()).accept(tmp_path / "in")
            assert decode_transfer_frame(await a.receive()).code == "INVALID_NAME"
    assert not (tmp_path / "in").exists()


async def test_an_own_file_with_such_a_name_isn_t_offered(tmp_path: Path) -> None:
    make_file(tmp_path / "x.bin", 1)
    async with open_memory_pair() as (sending, _, a, _):
        with pytest.raises(InvalidFileNameError):
            await sending.send_file(tmp_path / "x.bin", purpose="model", name="aux.zip")
        with pytest.raises(StorageError, match="No such file"):
            await sending.send_file(tmp_path / "y.bin", purpose="model")
        with pytest.raises(StorageError, match="folder"):
            await sending.send_file(tmp_path, purpose="model")
        assert a.sent == []


async def test_blake3_is_used_with_those_known_to_have_it(tmp_path: Path) -> None:
    for name in ("1.bin", "2.bin", "3.bin"):
        (tmp_path / name).write_bytes(os.urandom(50_000))
    a, b = memory_channel_pair()
    with trio.fail_after(60):
        async with (
            open_transfers(a, digest_algorithm="blake3") as knowing,
            open_transfers(b) as unknowing,
            trio.open_nursery() as nursery,
        ):

            async def transfer(sending: Transfers, receiving: Transfers, name: str) -> str:
                nursery.start_soon(lambda: sending.send_file(tmp_path / name, purpose="model"))
                incoming = await receiving.next_offer()
                await incoming.accept(tmp_path / "in")
                return incoming.offer.digest.partition(":")[0]

            assert await transfer(unknowing, knowing, "1.bin") == "sha256"
            assert await transfer(knowing, unknowing, "2.bin") == "blake3"
            assert await transfer(unknowing, knowing, "3.bin") == "blake3"


async def test_blake3_is_understood(tmp_path: Path) -> None:
    content = os.urandom(50_000)
    a, b = memory_channel_pair()
    with trio.fail_after(60):
        async with open_transfers(b) as receiving, trio.open_nursery() as nursery:
            digest = f"blake3:{blake3.blake3(content).hexdigest()}"
            await a.send(encode_transfer_frame(FileOffer("t", "x", len(content), digest, "dataset")))
            incoming = await receiving.next_offer()

            async def speak() -> None:
                assert decode_transfer_frame(await a.receive()) == FileAccept("t", 0)
                await a.send(content[:30_000])
                await a.send(content[30_000:])
                assert decode_transfer_frame(await a.receive()) == FileDone("t")

            nursery.start_soon(speak)
            path = await incoming.accept(tmp_path / "in")
    assert path.read_bytes() == content


async def test_acknowledgements_come_as_often_as_promised(tmp_path: Path) -> None:
    make_file(tmp_path / "x.bin", 9 * MIB)
    async with open_memory_pair() as (sending, receiving, _, b):
        await send_one(sending, receiving, tmp_path / "x.bin", tmp_path / "in")
        frames = [decode_transfer_frame(message) for message in b.sent]
    written = [0, *(frame.received_bytes for frame in frames if isinstance(frame, FileAck)), 9 * MIB]
    assert max(after - before for before, after in itertools.pairwise(written)) <= 4 * MIB


async def test_a_file_that_changes_while_it_s_sent_is_given_up(tmp_path: Path) -> None:
    make_file(tmp_path / "x.bin", 24 * MIB)  # more than is in flight and read ahead when it changes
    async with open_memory_pair() as (sending, receiving, _, _), trio.open_nursery() as nursery:

        async def receive() -> None:
            def change(progress: TransferProgress) -> None:
                if progress.received_bytes > MIB:
                    with (tmp_path / "x.bin").open("ab") as file:
                        file.write(b"more")

            with pytest.raises(TransferAbortedError, match="changed while"):
                await (await receiving.next_offer()).accept(tmp_path / "in", progress=change)

        nursery.start_soon(receive)
        with pytest.raises(TransferAbortedError, match=r"^x\.bin was changed while it was being sent\.$"):
            await sending.send_file(tmp_path / "x.bin", purpose="dataset")
    assert files_in(tmp_path / "in") == set()


@pytest.mark.parametrize("who", ["sender", "receiver"])
async def test_a_cancelled_transfer_is_told_and_can_go_on(tmp_path: Path, who: str) -> None:
    content = make_file(tmp_path / "x.bin", 12 * MIB)
    reports: list[TransferProgress] = []
    async with open_memory_pair() as (sending, receiving, _, _):
        scope = trio.CancelScope()

        def cancel(progress: TransferProgress) -> None:
            if progress.received_bytes > 3 * MIB:
                scope.cancel()

        async def send() -> None:
            await sending.send_file(tmp_path / "x.bin", purpose="dataset")

        async def receive() -> None:
            await (await receiving.next_offer()).accept(tmp_path / "in", progress=cancel)

        async def told(function: object) -> None:
            with pytest.raises(TransferAbortedError, match="cancelled the transfer"):
                await function()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(told, receive if who == "sender" else send)
            with scope:
                await (send if who == "sender" else receive)()
        path = await send_one(
            sending, receiving, tmp_path / "x.bin", tmp_path / "in", progress=reports.append
        )
    assert path.read_bytes() == content
    assert reports[0].offset_bytes > 3 * MIB
    assert files_in(tmp_path / "in") == {"x.bin"}


async def test_a_corrupted_chunk_ends_in_a_digest_mismatch_on_both_sides(tmp_path: Path) -> None:
    make_file(tmp_path / "x.bin", MIB)
    a, b = memory_channel_pair()
    original_send = a.send

    async def send_corrupted(message: str | bytes) -> None:
        await original_send(b"\0" * len(message) if isinstance(message, bytes) else message)

    a.send = send_corrupted  # type: ignore[method-assign]
    with trio.fail_after(60):
        async with open_both(a, b) as (sending, receiving):
            with pytest.RaisesGroup(DigestMismatchError, DigestMismatchError, flatten_subgroups=True):
                await both_fail(sending, receiving, tmp_path / "x.bin", tmp_path / "in", [])
    assert files_in(tmp_path / "in") == set()


async def test_an_unwritable_folder_is_a_refusal(tmp_path: Path) -> None:
    make_file(tmp_path / "x.bin", 10)
    (tmp_path / "in").write_bytes(b"a file where a folder should be")
    async with open_memory_pair() as (sending, receiving, _, _):
        with pytest.RaisesGroup(StorageError, TransferRefusedError, flatten_subgroups=True):
            await both_fail(sending, receiving, tmp_path / "x.bin", tmp_path / "in", [])


async def test_a_disk_without_room_is_a_refusal(tmp_path: Path) -> None:
    a, b = memory_channel_pair()
    with trio.fail_after(60):
        async with open_transfers(b) as receiving:
            await a.send(encode_transfer_frame(FileOffer("t", "x", 2**60, "sha256:" + "0" * 64, "dataset")))
            with pytest.raises(StorageError, match="MiB free"):
                await (await receiving.next_offer()).accept(tmp_path / "in")
            assert decode_transfer_frame(await a.receive()).code == "STORAGE"
    assert files_in(tmp_path / "in") == set()


async def test_a_closed_channel_ends_every_call(tmp_path: Path) -> None:
    make_file(tmp_path / "x.bin", 10)
    async with open_memory_pair() as (sending, receiving, a, _):
        a.cut()
        with pytest.raises(ChannelClosedError):
            await receiving.next_offer()
        with pytest.raises(ChannelClosedError):
            await sending.send_file(tmp_path / "x.bin", purpose="dataset")
        await sending.wait_closed()


async def test_an_error_in_the_body_leaves_as_it_is() -> None:
    with pytest.raises(KeyError):
        async with open_memory_pair():
            raise KeyError("mine")


async def test_two_attempts_at_one_content_don_t_write_into_each_other(tmp_path: Path) -> None:
    content = make_file(tmp_path / "x.bin", 12 * MIB)
    async with open_memory_pair() as first, open_memory_pair() as second, trio.open_nursery() as nursery:
        started = trio.Event()

        async def send(transfers: Transfers) -> None:
            await transfers.send_file(tmp_path / "x.bin", purpose="dataset")

        async def receive() -> None:
            await (await first[1].next_offer()).accept(tmp_path / "in", progress=lambda _: started.set())

        nursery.start_soon(send, first[0])
        nursery.start_soon(receive)
        await started.wait()
        with pytest.RaisesGroup(StorageError, TransferRefusedError, flatten_subgroups=True):
            await both_fail(second[0], second[1], tmp_path / "x.bin", tmp_path / "in", [])
    assert (tmp_path / "in" / "x.bin").read_bytes() == content


async def test_leaving_the_block_lets_go_of_other_tasks(tmp_path: Path) -> None:
    """A job waits for its file in another task than those of the connections, which come and go."""
    (tmp_path / "x.bin").write_bytes(b"x" * 100)
    a, b = memory_channel_pair()
    ended: list[str] = []

    async def receive(receiving: Transfers) -> None:
        with pytest.raises(ChannelClosedError):
            await receiving.next_offer()
        ended.append("receiver")

    async def send(sending: Transfers) -> None:
        with pytest.raises(ChannelClosedError):
            await sending.send_file(tmp_path / "x.bin", purpose="dataset")
        ended.append("sender")

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            async with open_transfers(a) as sending, open_transfers(b) as receiving:
                nursery.start_soon(receive, receiving)
                await trio.testing.wait_all_tasks_blocked()
            async with open_transfers(a) as sending:
                nursery.start_soon(send, sending)
                await trio.testing.wait_all_tasks_blocked()
    assert ended == ["receiver", "sender"]
