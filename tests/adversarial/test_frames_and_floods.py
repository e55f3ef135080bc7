"""Frames that are legal one by one and meant to do harm, and peers that do nothing at all."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
import trio

from sleaprtc.protocol.limits import MAX_FRAGMENTS

from ..server.conftest import RawPeer
from ..server.trio_peer import open_lab, open_stream, to
from ..support.raw_websocket import UPGRADE, fragments, frame, upgraded, upgraded_stream
from ..support.waiting import until

NewPeer = Callable[..., RawPeer]
StartServer = Callable[..., Any]


def close_code(raw: socket.socket) -> int:
    head = raw.recv(4)
    assert head[0] == 0x88, head
    (code,) = struct.unpack("!H", head[2:4])
    return int(code)


def test_a_message_in_fragments_is_one_message(server_process: Any) -> None:
    with upgraded(server_process) as raw:
        for piece in fragments({"type": "discover_peers", "from_peer_id": "x", "filters": {}}, 3):
            raw.sendall(bytes([piece]))
        assert b"NOT_IN_ROOM" in raw.recv(4096)


def test_empty_fragments_without_end_are_ended(server_process: Any) -> None:
    with upgraded(server_process) as raw:
        raw.sendall(frame(1, fin=False) + frame(0, fin=False) * (MAX_FRAGMENTS - 1))
        raw.sendall(frame(9, b"still there", fin=True))
        assert raw.recv(13) == b"\x8a\x0bstill there"
        raw.sendall(frame(0, fin=False))
        assert close_code(raw) == 1009


async def test_pings_count_as_messages(start_server: StartServer) -> None:
    server = await start_server(
        messages_per_sec=0.01, message_burst=10, refused_messages_per_sec=0.01, refused_message_burst=3
    )
    async with await upgraded_stream(server.ws_url) as stream:
        await stream.send_all(frame(9, fin=True) * 20)
        received = b""
        with trio.fail_after(60):
            while part := await stream.receive_some():
                received += part
                if b"Too many messages." in received:
                    break
    assert received.count(b"\x8a\x00") == 10
    assert received.count(b"RATE_LIMITED") == 4
    assert struct.pack("!H", 4029) in received


@pytest.mark.parametrize(
    "said", [b"", b"G", UPGRADE[:-2], UPGRADE, UPGRADE + frame(1, b"half of it", fin=True)[:-3]]
)
async def test_half_a_word_and_silence_hold_nothing(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr("sleaprtc.server.websocket.HANDSHAKE_TIMEOUT_SEC", 1.5)
    server = await start_server(registration_timeout_sec=1.5)
    async with (
        open_lab(server.ws_url, server.http_url) as lab,
        lab.peer("member") as member,
        await open_stream(server.ws_url) as stream,
    ):
        await stream.send_all(said or b"\r")
        assert await member.ask(to("member", "member")) == to("member", "member")
        with trio.fail_after(60):
            while await stream.receive_some():
                pass


async def test_half_a_frame_of_a_member_is_its_own_affair(start_server: StartServer) -> None:
    server = await start_server()
    async with open_lab(server.ws_url, server.http_url) as lab, lab.peer("calm") as calm:
        async with await upgraded_stream(server.ws_url) as stream:
            registration = {
                "type": "register",
                "peer_id": "half",
                "room_id": lab.room["room_id"],
                "token": lab.room["token"],
                "id_token": lab.id_token,
            }
            await stream.send_all(fragments(registration, 100))
            await stream.send_all(frame(1, b"{}" * 20, fin=True)[:-5])
            await until(lambda: calm.finds("calm", "half"))
            assert await calm.ask(to("calm", "calm")) == to("calm", "calm")
        await until(lambda: calm.finds("calm", "half"), becomes=False)
