"""One side of a transfer over this package: ``python -m benchmarks.transfer_ours send|receive OPTIONS``.

Signaling goes over standard input and output. Each line of output is a JSON array ``[kind, value]``.
"""

from __future__ import annotations

import asyncio  # noqa: F401 - so that the measurement doesn't include importing it
import json
import math
import os
import struct
import sys
import time
from pathlib import Path
from typing import Any

import trio

from sleaprtc.protocol.codec import decode_server_message, encode_message
from sleaprtc.protocol.messages import Answer, Candidate, Offer
from sleaprtc.rtc.channel import DataChannel
from sleaprtc.rtc.peer import IceSettings, Peer, open_peer
from sleaprtc.transfer import receiving
from sleaprtc.transfer.disk import PartialFile
from sleaprtc.transfer.stream import TransferProgress, Transfers, open_transfers
from sleaprtc.worker.jobs.cache import FileCache

CACHE_BYTES = 2**40


def say(kind: str, value: Any) -> None:
    """Sends a message to the parent."""
    print(json.dumps([kind, value]), flush=True)


class CountingChannel(DataChannel):
    """Counts the file bytes passed to the engine, in a file, so that the count survives a kill."""

    def __init__(self, channel: DataChannel, counter: Path) -> None:
        self._channel = channel
        self._file = counter.open("r+b")
        self._sent_bytes = struct.unpack("<Q", self._file.read(8))[0]

    @property
    def message_bytes(self) -> int:
        """See :class:`DataChannel`."""
        return self._channel.message_bytes

    async def send(self, message: str | bytes) -> None:
        """See :class:`DataChannel`."""
        if isinstance(message, bytes):
            self._sent_bytes += len(message)
            os.pwrite(self._file.fileno(), struct.pack("<Q", self._sent_bytes), 0)
        await self._channel.send(message)

    async def receive(self) -> str | bytes:
        """See :class:`DataChannel`."""
        return await self._channel.receive()

    async def aclose(self) -> None:
        """See :class:`DataChannel`."""
        await self._channel.aclose()


def slow_down_disk(bytes_per_sec: float) -> None:
    """Makes writes of received files take as long as on a disk of that speed."""

    class SlowFile(PartialFile):
        def write(self, chunks: Any) -> int:
            written_bytes = super().write(chunks)
            time.sleep(written_bytes / bytes_per_sec)
            return written_bytes

    receiving.PartialFile = SlowFile  # type: ignore[misc]


async def read_lines(inbox: trio.MemorySendChannel[Any], quit_scope: trio.CancelScope) -> None:
    """Handles the parent's messages until it sends ``quit``."""
    pending = b""
    async for part in trio.lowlevel.FdStream(os.dup(0)):
        *lines, pending = (pending + part).split(b"\n")
        for line in lines:
            value = json.loads(line)
            if value == "quit":
                quit_scope.cancel()
            else:
                inbox.send_nowait(decode_server_message(value))


async def send_signal(message: Offer | Answer | Candidate) -> None:
    """Sends a signaling message through the parent."""
    say("signal", encode_message(message))
    await trio.lowlevel.checkpoint()


async def send(transfers: Transfers, options: dict[str, Any]) -> None:
    """Sends the file ``times`` times."""
    path, watched = Path(options["path"]), options.get("watched")
    ahead_bytes = 0

    def compare(progress: TransferProgress) -> None:
        """Records by how much the progress shown is ahead of the receiver's disk, at most."""
        nonlocal ahead_bytes
        if watched and progress.received_bytes < progress.size_bytes:
            sizes = [part.stat().st_size for part in Path(watched).glob(".*.part")]
            ahead_bytes = max(ahead_bytes, progress.received_bytes - max(sizes, default=0))

    for _ in range(options.get("times", 1)):
        started, cpu = time.perf_counter(), time.process_time()
        await transfers.send_file(path, purpose="dataset", progress=compare)
        result = {"sec": time.perf_counter() - started, "cpu_sec": time.process_time() - cpu}
        say("done", {**result, "ahead_bytes": ahead_bytes})


async def receive(transfers: Transfers, options: dict[str, Any]) -> None:
    """Receives the files."""
    directory = Path(options["directory"])
    cache = FileCache(directory / "cache", CACHE_BYTES) if options.get("cache") else None
    for number in range(options.get("times", 1)):
        offered = await transfers.next_offer()
        cpu = time.process_time()
        target = directory / str(number)
        if cache is not None:
            target.mkdir(parents=True, exist_ok=True)
            cache.fetch(offered.offer.digest, offered.offer.size_bytes, target / offered.offer.name)
        path = await offered.accept(target)
        if cache is not None:
            cache.add(offered.offer.digest, path)
        say("done", {"cpu_sec": time.process_time() - cpu})


async def transfer(role: str, peer: Peer, options: dict[str, Any]) -> None:
    """Runs one side of the transfer over an open connection."""
    channel = peer.channel
    if "counter" in options:
        channel = CountingChannel(channel, Path(options["counter"]))
    async with open_transfers(channel, digest_algorithm="blake3") as transfers:
        say("ready", peer.engine)
        await (send if role == "send" else receive)(transfers, options)
        await transfers.wait_closed()


async def main(role: str, options: dict[str, Any]) -> None:
    """Runs one side."""
    if "disk_bytes_per_sec" in options:
        slow_down_disk(options["disk_bytes_per_sec"])
    names = ("a", "b") if role == "send" else ("b", "a")
    inbox, incoming = trio.open_memory_channel[Any](math.inf)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_lines, inbox, nursery.cancel_scope)
        async with open_peer(
            local_id=names[0],
            remote_id=names[1],
            initiator=role == "send",
            send=send_signal,
            incoming=incoming,
            ice=IceSettings(loopback=options.get("loopback", True)),
            engine=options["engine"],
        ) as peer:
            await transfer(role, peer, options)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], json.loads(sys.argv[2]))
