"""No message is larger than the limit that the other side announces (RFC 8841, section 6.1)."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import attrs
import pytest

from sleaprtc.rtc.engines import sdp
from sleaprtc.rtc.peer import Peer
from sleaprtc.transfer.stream import open_transfers

from .pairs import Message, Signaling, run_pair

FILE_BYTES = 600_000
KIB = 1024


@pytest.mark.parametrize(
    ("line", "size"),
    [
        ("a=max-message-size:16384", 16_384),
        ("a=max-message-size:262144", 262_144),
        ("a=max-message-size:0", math.inf),
        ("a=max-message-size:", 65_536),
        ("a=max-message-size:-5", 65_536),
        ("a=max-message-size:²", 65_536),
        (f"a=max-message-size:{'9' * 5000}", 65_536),
        ("a=other", 65_536),
    ],
)
def test_what_a_description_announces(line: str, size: float) -> None:
    assert sdp.max_message_bytes(f"v=0\r\n{line}\r\n") == size


def _announcing(line: str | None) -> Signaling:
    """Makes side b announce another limit than its engine's."""

    def change(message: Message) -> list[Message]:
        if message.sender != "b" or not hasattr(message, "sdp"):
            return [message]
        lines = [each for each in message.sdp.splitlines() if not each.startswith("a=max-message-size")]
        more = [] if line is None else [line]
        return [attrs.evolve(message, sdp="\r\n".join([*lines, *more]) + "\r\n")]

    return Signaling(change)


@pytest.mark.parametrize(
    ("engine", "line", "largest"),
    [
        ("libwebrtc", "a=max-message-size:16384", 16 * KIB),
        ("libwebrtc", None, 64 * KIB),
        ("libwebrtc", "a=max-message-size:262144", 256 * KIB),
        ("libwebrtc", "a=max-message-size:0", 256 * KIB),
        ("aiortc", "a=max-message-size:16384", 16 * KIB),
        ("aiortc", "a=max-message-size:1200", 1200),
        ("aiortc", None, 16 * KIB),
    ],
)
async def test_a_file_comes_in_messages_that_the_other_side_takes(
    engine: str, line: str | None, largest: int, tmp_path: Path
) -> None:
    content = os.urandom(FILE_BYTES)
    (tmp_path / "file.bin").write_bytes(content)
    sizes: list[int] = []

    async def send(peer: Peer) -> None:
        async with open_transfers(peer.channel) as transfers:
            await transfers.send_file(tmp_path / "file.bin", purpose="dataset")

    async def receive(peer: Peer) -> None:
        """Receives as another implementation would, following only the protocol reference."""
        offer = json.loads(await peer.channel.receive())
        name = {"transfer_id": offer["transfer_id"]}
        await peer.channel.send(json.dumps({"type": "file_accept", **name, "offset_bytes": 0}))
        received = b""
        while len(received) < FILE_BYTES:
            message = await peer.channel.receive()
            assert isinstance(message, bytes)
            sizes.append(len(message))
            received += message
        assert received == content
        await peer.channel.send(json.dumps({"type": "file_ack", **name, "received_bytes": FILE_BYTES}))
        await peer.channel.send(json.dumps({"type": "file_done", **name}))
        await peer.wait_closed()

    await run_pair(send, receive, _announcing(line), engines=(engine, "libwebrtc"))
    assert max(sizes) == largest
