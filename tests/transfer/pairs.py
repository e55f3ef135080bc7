"""File transfers between two ends of a channel in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from sleaprtc.rtc.channel import DataChannel
from sleaprtc.transfer.stream import Transfers, open_transfers
from tests.support.memory_channel import MemoryChannel, memory_channel_pair


@asynccontextmanager
async def open_both(
    a: DataChannel, b: DataChannel, **options: int
) -> AsyncIterator[tuple[Transfers, Transfers]]:
    async with open_transfers(a) as sending, open_transfers(b, **options) as receiving:
        yield sending, receiving


@asynccontextmanager
async def open_memory_pair(
    **options: int,
) -> AsyncIterator[tuple[Transfers, Transfers, MemoryChannel, MemoryChannel]]:
    a, b = memory_channel_pair()
    with trio.fail_after(60):
        async with open_both(a, b, **options) as (sending, receiving):
            yield sending, receiving, a, b


class Silent:
    """A job that reports to nobody."""

    def report(self, *args: object, **kwargs: object) -> None:
        pass
