"""However often a path is cut, little is sent twice."""

from __future__ import annotations

import os
import random
from pathlib import Path

import trio

from sleaprtc.errors import ChannelClosedError
from sleaprtc.protocol.limits import MIB
from sleaprtc.transfer.stream import Transfers
from tests.support.memory_channel import memory_channel_pair

from .pairs import open_both

MAX_SENT_TWICE_BYTES = 8 * MIB


async def take(transfers: Transfers, directory: Path) -> None:
    try:
        await (await transfers.next_offer()).accept(directory)
    except ChannelClosedError:
        return


async def attempt(path: Path, directory: Path, cut_after_bytes: float) -> tuple[int, bool]:
    """Sends until the path is cut; returns the bytes that were sent, and whether the file arrived."""
    sending_end, receiving_end = memory_channel_pair(buffer_messages=4096)  # much data is in flight
    sending_end.cut_after(cut_after_bytes)
    arrived = False
    async with open_both(sending_end, receiving_end) as (sending, receiving), trio.open_nursery() as nursery:
        nursery.start_soon(take, receiving, directory)
        try:
            await sending.send_file(path, purpose="dataset")
            arrived = True
        except ChannelClosedError:
            pass
    sent_bytes = sum(len(message) for message in sending_end.sent if isinstance(message, bytes))
    return sent_bytes, arrived


async def test_any_number_of_cuts_costs_less_than_8_mib_each(tmp_path: Path) -> None:
    content = os.urandom(24 * MIB)
    path = tmp_path / "labels.slp"
    path.write_bytes(content)
    chance = random.Random(1)
    total_bytes = cuts = 0
    with trio.fail_after(60):
        while True:
            sent_bytes, arrived = await attempt(path, tmp_path / "in", chance.randint(1, 9 * MIB))
            total_bytes += sent_bytes
            if arrived:
                break
            cuts += 1
    assert cuts > 2
    assert total_bytes - len(content) < cuts * MAX_SENT_TWICE_BYTES
    assert (tmp_path / "in" / "labels.slp").read_bytes() == content
