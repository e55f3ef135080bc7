"""A file's bytes before their turn: the next ones are read while the last ones are sent."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeAlias

import trio

from ..errors import SleapRTCError
from ..protocol.limits import MIB
from ..rtc.background import open_background_nursery
from .disk import SourceFile

READ_BYTES: Final = 1 * MIB
"""Read from disk in one go, in a thread: a hop there costs about as much as reading 256 KiB."""

BLOCKS_AHEAD: Final = 1
"""Read and not asked for yet, besides the one that is being read. A thread that has to wait for the processor
longer than the engine's buffer lasts would leave the network idle."""

_Block: TypeAlias = "list[bytes] | SleapRTCError"


class Pieces:
    """What is read of a file, in order. Use :func:`open_pieces`."""

    def __init__(self, blocks: trio.MemoryReceiveChannel[_Block]) -> None:
        self._blocks = blocks
        self._pieces: deque[bytes] = deque()

    async def next(self) -> bytes:
        """Returns the next piece, or nothing at the file's end.

        Raises:
            StorageError: The file can't be read.
            TransferAbortedError: It has changed.
        """
        if not self._pieces:
            with suppress(trio.EndOfChannel):
                block = await self._blocks.receive()
                if isinstance(block, SleapRTCError):
                    raise block
                self._pieces.extend(block)
        return self._pieces.popleft() if self._pieces else b""


async def _read_ahead(
    source: SourceFile, offset_bytes: int, message_bytes: int, blocks: trio.MemorySendChannel[_Block]
) -> None:
    with blocks:
        block_bytes = max(message_bytes, READ_BYTES - READ_BYTES % message_bytes)
        try:
            for start in range(offset_bytes, source.size_bytes, block_bytes):
                byte_count = min(block_bytes, source.size_bytes - start)
                await blocks.send(
                    await trio.to_thread.run_sync(source.read, start, byte_count, message_bytes)
                )
        except SleapRTCError as error:
            await blocks.send(error)


@asynccontextmanager
async def open_pieces(source: SourceFile, *, offset_bytes: int, message_bytes: int) -> AsyncIterator[Pieces]:
    """Reads a file for as long as the block runs, a little ahead of what is asked for.

    An unexpected failure to read costs this file: it leaves the block.

    Args:
        source: The file.
        offset_bytes: Where in it to begin.
        message_bytes: The size of a piece; the last one may be smaller.
    """
    send_blocks, blocks = trio.open_memory_channel[_Block](BLOCKS_AHEAD)
    async with open_background_nursery() as nursery:
        nursery.start_soon(_read_ahead, source, offset_bytes, message_bytes, send_blocks)
        yield Pieces(blocks)
