"""A sender that stops, or nearly stops, in the middle of an accepted file."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import trio

from sleaprtc.errors import SenderStalledError
from sleaprtc.protocol.codec import decode_transfer_frame, encode_transfer_frame
from sleaprtc.protocol.transfer import FileAbort, FileAccept, FileOffer
from sleaprtc.rtc.peer import Peer
from sleaprtc.transfer.arrival import MIN_BYTES_PER_SEC, PACE_WINDOW_SEC, Pace, stall_deadline
from sleaprtc.transfer.disk import PartialFile
from sleaprtc.transfer.resuming import ResumingTransfers
from sleaprtc.transfer.sending import STALL_TIMEOUT_SEC
from sleaprtc.transfer.stream import open_transfers
from sleaprtc.worker.jobs.inputs import receive_inputs
from tests.support.memory_channel import memory_channel_pair

from ..rtc.pairs import run_pair
from ..transfer.pairs import Silent
from .pairs import open_memory_pair


def offer(name: str = "labels.slp", purpose: str = "dataset") -> FileOffer:
    return FileOffer(name, name, 40_000_000, "sha256:" + "0" * 64, purpose)


def wait_through(pace: Pace, *, total_sec: float, bytes_per_sec: float, step_sec: float) -> None:
    for _ in range(round(total_sec / step_sec)):
        pace.add(step_sec, round(bytes_per_sec * step_sec))


@pytest.mark.parametrize("step_sec", [0.5, 60.0, 119.0])
def test_a_trickle_ends_with_the_first_window(step_sec: float) -> None:
    pace = Pace()
    wait_through(pace, total_sec=PACE_WINDOW_SEC - step_sec, bytes_per_sec=0.02, step_sec=step_sec)
    with pytest.raises(SenderStalledError, match="minutes"):
        wait_through(pace, total_sec=2 * step_sec, bytes_per_sec=0.02, step_sec=step_sec)


def test_a_slow_line_goes_on_for_days() -> None:
    wait_through(Pace(), total_sec=3 * 86_400, bytes_per_sec=100_000 / 8, step_sec=80)


def test_a_line_that_is_down_most_of_the_time_is_fast_enough() -> None:
    pace = Pace()
    for _ in range(100):
        wait_through(pace, total_sec=480, bytes_per_sec=0, step_sec=60)
        wait_through(pace, total_sec=120, bytes_per_sec=100_000 / 8, step_sec=1)


def test_bytes_that_came_early_are_no_credit_for_ever() -> None:
    pace = Pace()
    pace.add(0.1, 10**12)
    with pytest.raises(SenderStalledError):
        wait_through(pace, total_sec=2 * PACE_WINDOW_SEC, bytes_per_sec=0, step_sec=1)


def test_the_least_is_enough() -> None:
    wait_through(Pace(), total_sec=5 * PACE_WINDOW_SEC, bytes_per_sec=MIN_BYTES_PER_SEC, step_sec=1)


def test_silence_begins_with_the_last_byte_and_not_before_the_wait() -> None:
    assert stall_deadline(100, 50) == 100 + STALL_TIMEOUT_SEC
    assert stall_deadline(100, 150) == 150 + STALL_TIMEOUT_SEC


@pytest.mark.parametrize("first_bytes", [0, 1000])
async def test_a_sender_that_stops_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_bytes: int
) -> None:
    """Over a real data channel; what has arrived is kept for another attempt."""
    monkeypatch.setattr("sleaprtc.transfer.arrival.STALL_TIMEOUT_SEC", 0.3)
    aborts = []

    async def stop(peer: Peer) -> None:
        await peer.channel.send(encode_transfer_frame(offer()))
        assert isinstance(decode_transfer_frame(await peer.channel.receive()), FileAccept)
        await peer.channel.send(os.urandom(first_bytes))
        aborts.append(decode_transfer_frame(await peer.channel.receive()))

    async def take(peer: Peer) -> None:
        async with open_transfers(peer.channel) as transfers:
            with trio.fail_after(60), pytest.raises(SenderStalledError, match=r"nothing of labels\.slp"):
                await (await transfers.next_offer()).accept(tmp_path / "job")

    await run_pair(stop, take)
    [abort] = aborts
    assert isinstance(abort, FileAbort)
    assert abort.code == "TRANSFER_ABORTED"
    kept_bytes = sum(path.stat().st_size for path in (tmp_path / "job").rglob("*") if path.is_file())
    assert kept_bytes >= first_bytes


async def test_a_disk_that_is_slow_is_not_the_sender_s_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write takes longer than a sender may send nothing."""
    write = PartialFile.write

    def write_slowly(partial: PartialFile, chunks: list[bytes]) -> int:
        time.sleep(0.4)
        return write(partial, chunks)

    monkeypatch.setattr("sleaprtc.transfer.arrival.STALL_TIMEOUT_SEC", 0.3)
    monkeypatch.setattr("sleaprtc.transfer.arrival.PACE_WINDOW_SEC", 0.3)
    monkeypatch.setattr(PartialFile, "write", write_slowly)
    (tmp_path / "x.bin").write_bytes(os.urandom(3 * 2**20))
    async with open_memory_pair() as (sending, receiving, _, _), trio.open_nursery() as nursery:

        async def receive() -> None:
            await (await receiving.next_offer()).accept(tmp_path / "there", pace=Pace())

        nursery.start_soon(receive)
        await sending.send_file(tmp_path / "x.bin", purpose="dataset")


@pytest.mark.parametrize("behaviour", ["trickles", "offers and gives up", "offers what isn't wanted"])
async def test_a_worker_doesn_t_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> None:
    monkeypatch.setattr("sleaprtc.transfer.arrival.PACE_WINDOW_SEC", 0.5)
    ours, theirs = memory_channel_pair(buffer_messages=10_000)

    async def hold() -> None:
        if behaviour == "trickles":
            await theirs.send(encode_transfer_frame(offer()))
        number = 0
        while True:
            number += 1
            await trio.sleep(0.05)
            if behaviour == "trickles":
                await theirs.send(b"x")
            elif behaviour == "offers and gives up":
                await theirs.send(encode_transfer_frame(offer(f"{number}.slp")))
                await theirs.send(encode_transfer_frame(FileAbort(f"{number}.slp", "CANCELLED", "Later.")))
            else:
                await theirs.send(encode_transfer_frame(offer(f"{number}.slp", purpose="predictions")))

    async with open_transfers(ours) as receiving, trio.open_nursery() as nursery:
        transfers = ResumingTransfers()
        nursery.start_soon(transfers.use_until_closed, receiving)
        nursery.start_soon(hold)
        with trio.fail_after(60), pytest.raises(SenderStalledError):
            await receive_inputs("j", tmp_path / "job", transfers, Silent())
        nursery.cancel_scope.cancel()
