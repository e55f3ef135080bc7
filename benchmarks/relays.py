"""The servers to measure: ours, and minimal relays on two WebSocket libraries.

``python -m benchmarks.relays NAME [STATE_DIR]`` prints its port (for our server, the HTTP port, too) and
serves until it's killed. A bare relay checks nothing: the first message of a connection is its name, and
every other one is forwarded to ``to_peer_id``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from pathlib import Path

import trio
import trio_websocket
import websockets.asyncio.server

from sleaprtc.server.serve import ServerAddresses, serve
from sleaprtc.server.settings import ServerSettings

HOST = "127.0.0.1"
MANY = 20_000


async def ours(state_dir: Path) -> None:
    """Runs our server, without the limits per address and per room that one load generator would exceed."""
    settings = ServerSettings(
        state_dir=state_dir,
        ws_port=0,
        http_port=0,
        max_peers_per_room=MANY,
        max_connections_per_address=MANY,
        messages_per_sec=1e9,
        message_burst=10**9,
        registration_timeout_sec=60,
    )
    async with trio.open_nursery() as nursery:
        addresses: ServerAddresses = await nursery.start(partial(serve, settings, stop=trio.Event()))
        ports = [url.rstrip("/").rpartition(":")[2] for url in (addresses.ws_url, addresses.http_url)]
        print(*ports, flush=True)


async def on_trio_websocket() -> None:
    """Runs a relay on trio-websocket."""
    peers: dict[str, trio_websocket.WebSocketConnection] = {}

    async def relay(request: trio_websocket.WebSocketRequest) -> None:
        connection = await request.accept()
        try:
            peers[str(await connection.get_message())] = connection
            await connection.send_message("ok")
            while True:
                text = await connection.get_message()
                await peers[json.loads(text)["to_peer_id"]].send_message(text)
        except trio_websocket.ConnectionClosed:
            pass

    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(trio_websocket.serve_websocket, relay, HOST, 0, None))
        print(server.port, flush=True)


async def on_websockets() -> None:
    """Runs a relay on the asyncio library websockets, which is partly written in C."""
    peers: dict[str, websockets.asyncio.server.ServerConnection] = {}

    async def relay(connection: websockets.asyncio.server.ServerConnection) -> None:
        try:
            peers[str(await connection.recv())] = connection
            await connection.send("ok")
            async for text in connection:
                await peers[json.loads(text)["to_peer_id"]].send(text)
        except websockets.exceptions.ConnectionClosed:
            pass

    async with websockets.asyncio.server.serve(
        relay, HOST, 0, compression=None, ping_interval=None, backlog=1024
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


def main() -> None:
    """Runs the server that the command line names."""
    name, *rest = sys.argv[1:]
    if name == "ours":
        trio.run(ours, Path(rest[0]))
    elif name == "trio-websocket":
        trio.run(on_trio_websocket)
    else:
        asyncio.run(on_websockets())


if __name__ == "__main__":
    main()
