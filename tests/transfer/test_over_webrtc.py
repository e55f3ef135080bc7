"""Files over real data channels: two peers of one process, and two processes, one of which dies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aioice.ice
import pytest
import trio

from sleaprtc.errors import ChannelClosedError
from sleaprtc.protocol.codec import encode_message
from sleaprtc.protocol.limits import MIB
from sleaprtc.rtc.peer import Peer
from sleaprtc.transfer.stream import TransferProgress, Transfers, open_transfers

from ..rtc.pairs import Message, Signaling, open_side, run_pair
from .child import read_lines


async def test_files_go_both_ways_and_the_last_word_isn_t_lost(tmp_path: Path) -> None:
    contents = {f"{number} 🪰.bin": os.urandom(number * 300_000) for number in range(4)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)

    async def give_then_take(peer: Peer) -> None:
        async with open_transfers(peer.channel) as transfers:
            for name in contents:
                await transfers.send_file(tmp_path / name, purpose="dataset")
            await (await transfers.next_offer()).accept(tmp_path / "back")
        # leaves right after its file_done

    async def take_then_give(peer: Peer) -> None:
        async with open_transfers(peer.channel) as transfers:
            for _ in contents:
                await (await transfers.next_offer()).accept(tmp_path / "there")
            await transfers.send_file(tmp_path / "there" / "3 🪰.bin", purpose="model")

    await run_pair(give_then_take, take_then_give)
    assert {path.name: path.read_bytes() for path in (tmp_path / "there").iterdir()} == contents
    assert (tmp_path / "back" / "3 🪰.bin").read_bytes() == contents["3 🪰.bin"]


@asynccontextmanager
async def peer_with_child(
    role: str, path: Path, *, engine: str = "aiortc", child_engine: str = "aiortc"
) -> AsyncIterator[tuple[Transfers, trio.Process]]:
    """Our side of a connection to a child process; the child ends with the block."""
    process = await trio.lowlevel.open_process(
        [sys.executable, str(Path(__file__).with_name("child.py")), role, str(path), "1", child_engine],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    outwards = process.stdin

    class ToChild(Signaling):
        async def send(self, message: Message) -> None:
            await outwards.send_all(encode_message(message).encode() + b"\n")

    signaling = ToChild()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_lines, process.stdout, signaling._inboxes["a"])
            async with (
                open_side("a", signaling, engine=engine) as peer,
                open_transfers(peer.channel) as transfers,
            ):
                yield transfers, process
            with trio.fail_after(60):
                await process.wait()
            nursery.cancel_scope.cancel()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdin.aclose()
            await process.stdout.aclose()


async def test_two_processes(tmp_path: Path) -> None:
    content = os.urandom(2 * MIB)
    (tmp_path / "x.bin").write_bytes(content)
    with trio.fail_after(60):
        async with peer_with_child("receive", tmp_path / "in") as (transfers, process):
            await transfers.send_file(tmp_path / "x.bin", purpose="dataset")
            assert (tmp_path / "in" / "x.bin").read_bytes() == content
    assert process.returncode == 0


async def test_a_killed_process_is_noticed_and_the_file_goes_on_from_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(4 * MIB)
    (tmp_path / "x.bin").write_bytes(content)
    reports: list[TransferProgress] = []
    with trio.fail_after(60):
        with pytest.RaisesGroup(ChannelClosedError, flatten_subgroups=True, allow_unwrapped=True):
            async with peer_with_child("send", tmp_path / "x.bin") as (transfers, process):

                def kill(progress: TransferProgress) -> None:
                    if progress.received_bytes > MIB and process.returncode is None:
                        monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.05)
                        monkeypatch.setattr(aioice.ice, "CONSENT_FAILURES", 1)
                        process.kill()

                monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.5)
                await (await transfers.next_offer()).accept(tmp_path / "in", progress=kill)
        monkeypatch.undo()
        async with peer_with_child("send", tmp_path / "x.bin") as (transfers, _):
            incoming = await transfers.next_offer()
            path = await incoming.accept(tmp_path / "in", progress=reports.append)
    assert reports[0].offset_bytes > MIB
    assert path.read_bytes() == content
