"""A peer in a process of its own, which sends or receives files; signaling goes over its standard streams.

python child.py send|receive PATH [COUNT]
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import trio

from sleaprtc.protocol.codec import decode_server_message, encode_message
from sleaprtc.protocol.messages import Answer, Candidate, Offer
from sleaprtc.rtc.peer import IceSettings, open_peer
from sleaprtc.transfer.stream import open_transfers


async def read_lines(stream: trio.abc.ReceiveStream, inbox: trio.MemorySendChannel) -> None:
    pending = b""
    async for part in stream:
        *lines, pending = (pending + part).split(b"\n")
        for line in lines:
            inbox.send_nowait(decode_server_message(line))


async def send_line(message: Offer | Answer | Candidate) -> None:
    print(encode_message(message), flush=True)
    await trio.lowlevel.checkpoint()


async def main(role: str, path: Path, count: int, engine: str) -> None:
    inbox, incoming = trio.open_memory_channel(math.inf)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_lines, trio.lowlevel.FdStream(0), inbox)
        async with (
            open_peer(
                local_id="b",
                remote_id="a",
                initiator=False,
                send=send_line,
                incoming=incoming,
                ice=IceSettings(loopback=True),
                engine=engine,
            ) as peer,
            open_transfers(peer.channel) as transfers,
        ):
            for _ in range(count):
                if role == "send":
                    await transfers.send_file(path, purpose="model")
                else:
                    await (await transfers.next_offer()).accept(path)
            await transfers.wait_closed()
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    role, path, count, engine = [*sys.argv[1:], "1", "auto"][:4]
    trio.run(main, role, Path(path), int(count), engine)
