"""Reads a file ahead: the next bytes are read from disk while the last ones are being sent."""

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
"""Read from disk at once, in a thread. Switching to a thread costs about as much as reading 256 KiB."""

BLOCKS_AHEAD: Final = 1
"""Blocks read ahead, besides the one that is being read. Without it, the network would be idle whenever the
reading thread has to wait for the processor longer than the engine's buffer lasts."""

_Block: TypeAlias = "list[bytes] | SleapRTCError"


class Pieces:
    """The pieces of a file, in order. Use :func:`open_pieces`."""

    def __init__(self, blocks: trio.MemoryReceiveChannel[_Block]) -> None:
        self._blocks = blocks
        self._pieces: deque[bytes] = deque()

    async def next(self) -> bytes:
        """Returns the next piece, or ``b""`` at the file's end.

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
    """Reads a file while the block runs, a little ahead of what the block has requested.

    An unexpected exception while reading leaves the block.

    Args:
        source: The file.
        offset_bytes: The offset at which to begin.
        message_bytes: The size of a piece; the last one may be smaller.
    """
    send_blocks, blocks = trio.open_memory_channel[_Block](BLOCKS_AHEAD)
    async with open_background_nursery() as nursery:
        nursery.start_soon(_read_ahead, source, offset_bytes, message_bytes, send_blocks)
        yield Pieces(blocks)
