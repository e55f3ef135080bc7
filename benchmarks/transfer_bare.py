"""A transfer without this package, for comparison: zeros from memory, over bare WebRTC on asyncio.

``python -m benchmarks.transfer_bare send|receive OPTIONS``; signaling as in :mod:`benchmarks.transfer_ours`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

HIGH_WATER_BYTES = 1024 * 1024
LOW_WATER_BYTES = 256 * 1024


def say(kind: str, value: Any) -> None:
    """Sends a message to the parent."""
    print(json.dumps([kind, value]), flush=True)


def load(stack: str) -> Any:
    """Returns a stack's module with aiortc's API, set up to use 127.0.0.1, which it would otherwise skip."""
    if stack == "wrtc":
        import webrtc
        import webrtc.aiortc

        webrtc.allow_loopback()
        return webrtc.aiortc
    import aioice.ice
    import aiortc

    aioice.ice.get_host_addresses = lambda *_, **__: ["127.0.0.1"]  # type: ignore[assignment]
    return aiortc


class Inbox:
    """Descriptions from the other side, by connection."""

    def __init__(self) -> None:
        self._descriptions: dict[int, asyncio.Future[dict[str, str]]] = {}
        self.quit = asyncio.Event()

    def of(self, connection: int) -> asyncio.Future[dict[str, str]]:
        """Returns a future for a connection's description."""
        return self._descriptions.setdefault(connection, asyncio.get_running_loop().create_future())

    async def read(self) -> None:
        """Handles the parent's messages until it sends ``quit``."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        async for line in reader:
            value = json.loads(line)
            if value == "quit":
                self.quit.set()
                return
            message = json.loads(value)
            self.of(message["connection"]).set_result({"sdp": message["sdp"], "type": message["type"]})


class Channels:
    """All channels of all connections on one side."""

    def __init__(self, rtc: Any, options: dict[str, Any]) -> None:
        self.rtc = rtc
        self.options = options
        self.connections = [
            rtc.RTCPeerConnection(rtc.RTCConfiguration(iceServers=[]))
            for _ in range(options.get("connections", 1))
        ]

    def describe(self, number: int) -> None:
        """Sends a connection's own description."""
        description = self.connections[number].localDescription
        say(
            "signal",
            json.dumps({"connection": number, "sdp": description.sdp, "type": description.type}),
        )

    def description(self, given: dict[str, str]) -> Any:
        """Converts a description to the stack's class."""
        return self.rtc.RTCSessionDescription(**given)


async def send(side: Channels, inbox: Inbox) -> None:
    """Offers every connection, then sends over all channels at once."""
    options, go = side.options, asyncio.Event()
    count = options.get("channels", 1)
    tasks = []
    share = options["size_bytes"] // (count * len(side.connections))
    opened = []
    for number, connection in enumerate(side.connections):
        for name in range(count):
            channel = connection.createDataChannel(f"c{name}")
            event = asyncio.Event()
            channel.on("open", event.set)
            opened.append(event)
            tasks.append(asyncio.create_task(send_zeros(channel, event, go, share, options["message_bytes"])))
        await connection.setLocalDescription(await connection.createOffer())
        side.describe(number)
        await connection.setRemoteDescription(side.description(await inbox.of(number)))
    for event in opened:
        await event.wait()
    say("ready", options["stack"])
    started, cpu = time.perf_counter(), time.process_time()
    go.set()
    await asyncio.gather(*tasks)
    say("done", {"sec": time.perf_counter() - started, "cpu_sec": time.process_time() - cpu})


async def send_zeros(
    channel: Any, opened: asyncio.Event, go: asyncio.Event, size_bytes: int, message_bytes: int
) -> None:
    """Sends zeros, and waits until the other side confirms that it has all of them."""
    low, done = asyncio.Event(), asyncio.Event()
    channel.on("message", lambda _: done.set())
    channel.on("bufferedamountlow", low.set)
    channel.bufferedAmountLowThreshold = LOW_WATER_BYTES
    await opened.wait()
    await go.wait()
    data = bytes(message_bytes)
    for _ in range(size_bytes // message_bytes):
        while channel.bufferedAmount > HIGH_WATER_BYTES:
            low.clear()
            await low.wait()
        channel.send(data)
    await done.wait()


async def receive(side: Channels, inbox: Inbox) -> None:
    """Answers every connection, and waits until all bytes have arrived."""
    options = side.options
    share = options["size_bytes"] // (options.get("channels", 1) * len(side.connections))
    expected = share // options["message_bytes"] * options["message_bytes"]
    cpu = time.process_time()
    left = options.get("channels", 1) * len(side.connections)
    everything = asyncio.Event()

    def take_channel(channel: Any) -> None:
        received_bytes = 0

        def take(message: bytes) -> None:
            nonlocal received_bytes, left
            received_bytes += len(message)
            if received_bytes == expected:
                channel.send("done")
                left -= 1
                if not left:
                    everything.set()

        channel.on("message", take)

    for number, connection in enumerate(side.connections):
        connection.on("datachannel", take_channel)
        await connection.setRemoteDescription(side.description(await inbox.of(number)))
        await connection.setLocalDescription(await connection.createAnswer())
        side.describe(number)
    say("ready", options["stack"])
    await everything.wait()
    say("done", {"cpu_sec": time.process_time() - cpu})


async def main(role: str, options: dict[str, Any]) -> None:
    """Runs one side."""
    inbox = Inbox()
    reading = asyncio.create_task(inbox.read())
    side = Channels(load(options["stack"]), options)
    await (send if role == "send" else receive)(side, inbox)
    await inbox.quit.wait()
    for connection in side.connections:
        await connection.close()
    reading.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
