"""Disks that fail while a file arrives: an error message on both sides, and no leftovers."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import trio

from sleaprtc.errors import StorageError, TransferAbortedError
from sleaprtc.protocol.limits import MIB
from sleaprtc.transfer import disk

from .pairs import open_memory_pair


class FullDisk:
    """Accepts a number of bytes, and then none."""

    def __init__(self, room_bytes: int) -> None:
        self.room_bytes = room_bytes

    def fdopen(self, descriptor: int, *args: object, **kwargs: object) -> object:
        file = os.fdopen(descriptor, *args, **kwargs)
        full_disk = self

        class File:
            def write(self, data: bytes) -> int:
                if full_disk.room_bytes == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                written_bytes = file.write(data[: full_disk.room_bytes])
                full_disk.room_bytes -= written_bytes
                return written_bytes

            def __getattr__(self, name: str) -> object:
                return getattr(file, name)

        return File()


def fail(*args: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


async def transfer(tmp_path: Path, receiver_says: str) -> None:
    """Sends 5 MiB, which the receiver's disk doesn't accept."""
    (tmp_path / "x.bin").write_bytes(os.urandom(5 * MIB))
    async with open_memory_pair() as (sending, receiving, _, _), trio.open_nursery() as nursery:

        async def receive() -> None:
            with pytest.raises(StorageError, match=receiver_says):
                await (await receiving.next_offer()).accept(tmp_path / "in")

        nursery.start_soon(receive)
        with pytest.raises(TransferAbortedError, match=rf"gave up on x\.bin: .*{receiver_says}"):
            await sending.send_file(tmp_path / "x.bin", purpose="dataset")
    assert list((tmp_path / "in").iterdir()) == []


async def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "os", _OsWith(fdopen=FullDisk(2 * MIB + 1).fdopen))
    await transfer(tmp_path, r"x\.bin can't be written: No space left on device")


async def test_a_disk_that_fails_when_it_must_keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "os", _OsWith(fsync=fail))
    await transfer(tmp_path, r"x\.bin can't be written: Input/output error")


class _OsWith:
    """The os module, with some of its functions replaced."""

    def __init__(self, **replaced: object) -> None:
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)
