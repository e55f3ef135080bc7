"""Reading a file ahead of what is requested."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import trio

from sleaprtc.errors import ChannelClosedError, StorageError
from sleaprtc.protocol.limits import MIB
from sleaprtc.transfer.disk import SourceFile
from sleaprtc.transfer.reading import open_pieces

SIZE_BYTES = 3 * MIB + 12_345


class SlowFile(SourceFile):
    """A file on a slow disk."""

    def read(self, offset_bytes: int, byte_count: int, message_bytes: int) -> list[bytes]:
        time.sleep(0.2)
        self.file.fileno()  # raises where it was closed meanwhile
        return super().read(offset_bytes, byte_count, message_bytes)


class FailingFile(SourceFile):
    """A file with a bad sector after the first MiB."""

    def read(self, offset_bytes: int, byte_count: int, message_bytes: int) -> list[bytes]:
        if offset_bytes:
            raise StorageError("bad sector")
        return super().read(offset_bytes, byte_count, message_bytes)


CONTENT = os.urandom(SIZE_BYTES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "labels.slp"
    path.write_bytes(CONTENT)
    return path


async def read_all(source: SourceFile, pieces: list[bytes], *, offset_bytes: int, message_bytes: int) -> None:
    async with open_pieces(source, offset_bytes=offset_bytes, message_bytes=message_bytes) as reader:
        while piece := await reader.next():
            pieces.append(piece)
        assert await reader.next() == b""


@pytest.mark.parametrize("message_bytes", [16 * 1024, 65_535, 256 * 1024, 2 * MIB])
@pytest.mark.parametrize("offset_bytes", [0, 1, 12_347, SIZE_BYTES - 1, SIZE_BYTES])
async def test_pieces_are_the_file_from_where_it_goes_on(
    path: Path, offset_bytes: int, message_bytes: int
) -> None:
    source = SourceFile(path)
    pieces: list[bytes] = []
    await read_all(source, pieces, offset_bytes=offset_bytes, message_bytes=message_bytes)
    source.close()
    assert b"".join(pieces) == CONTENT[offset_bytes:]
    assert all(len(piece) == message_bytes for piece in pieces[:-1])


async def test_a_cancelled_reader_waits_for_its_thread(path: Path) -> None:
    source = SlowFile(path)
    with trio.move_on_after(0.05) as scope:
        async with open_pieces(source, offset_bytes=0, message_bytes=16 * 1024) as reader:
            await reader.next()
    source.close()
    assert scope.cancelled_caught


async def test_an_error_comes_in_its_place_and_as_it_is(path: Path) -> None:
    source = FailingFile(path)
    pieces: list[bytes] = []
    with pytest.raises(StorageError, match="bad sector"):
        await read_all(source, pieces, offset_bytes=0, message_bytes=256 * 1024)
    source.close()
    assert b"".join(pieces) == CONTENT[:MIB]


async def test_what_goes_wrong_while_sending_leaves_as_it_is(path: Path) -> None:
    source = SlowFile(path)
    with pytest.raises(ChannelClosedError):
        async with open_pieces(source, offset_bytes=0, message_bytes=256 * 1024):
            raise ChannelClosedError("gone")
    source.close()
