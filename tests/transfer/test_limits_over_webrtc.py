"""A limited file over real data channels, also with a peer that knows nothing beyond the contract."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from sleaprtc.protocol.limits import MIB
from sleaprtc.rtc.channel import DataChannel
from sleaprtc.rtc.peer import Peer
from sleaprtc.transfer.rate_limit import RateLimit
from sleaprtc.transfer.stream import TransferProgress, open_transfers

from ..rtc.pairs import run_pair

FINISHED_SEC = 60


class ContractOnly(DataChannel):
    """The channel of a peer that knows no additions: it neither sends them nor heeds them."""

    def __init__(self, channel: DataChannel) -> None:
        self._channel = channel

    async def send(self, message: str | bytes) -> None:
        await self._channel.send(_without_additions(message))

    async def receive(self) -> str | bytes:
        return _without_additions(await self._channel.receive())

    async def aclose(self) -> None:
        await self._channel.aclose()


def _without_additions(message: str | bytes) -> str | bytes:
    if isinstance(message, bytes):
        return message
    frame = json.loads(message)
    assert frame["type"] != "path_ack"
    return json.dumps({name: value for name, value in frame.items() if name != "path_acks"})


@attrs.frozen
class Sides:
    """Who is limited, and who knows no additions."""

    limited: str
    contract_only: str | None

    def limit(self, side: str, limit: RateLimit) -> RateLimit | None:
        return limit if side == self.limited else None

    def channel(self, side: str, peer: Peer) -> DataChannel:
        return ContractOnly(peer.channel) if side == self.contract_only else peer.channel


ALL = [
    Sides("sender", None),
    Sides("sender", "receiver"),
    Sides("receiver", None),
    Sides("receiver", "sender"),
]


async def send_one(
    path: Path, sides: Sides, limit: RateLimit, *, progress: Callable[[TransferProgress], None] | None = None
) -> float:
    """Sends a file from one peer to another; returns how long that took."""
    took_sec = []
    is_sent = trio.Event()

    async def send(peer: Peer) -> None:
        async with open_transfers(
            sides.channel("sender", peer), limit=sides.limit("sender", limit)
        ) as transfers:
            began_sec = trio.current_time()
            await transfers.send_file(path, purpose="dataset", progress=progress)
            took_sec.append(trio.current_time() - began_sec)
            is_sent.set()

    async def receive(peer: Peer) -> None:
        async with open_transfers(
            sides.channel("receiver", peer), limit=sides.limit("receiver", limit)
        ) as transfers:
            await (await transfers.next_offer()).accept(path.parent / "in")
            await is_sent.wait()

    await run_pair(send, receive, timeout_sec=FINISHED_SEC)
    return took_sec[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.bin"
    path.write_bytes(os.urandom(MIB))
    return path


def arrived(path: Path) -> bool:
    return (path.parent / "in" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("sides", ALL)
async def test_a_limited_file_arrives_and_no_faster(file: Path, sides: Sides) -> None:
    took_sec = await send_one(file, sides, RateLimit(MIB / 2))
    assert arrived(file)
    assert took_sec > 1.5


@pytest.mark.parametrize("sides", ALL)
async def test_a_limit_that_is_lifted_lets_the_file_finish(file: Path, sides: Sides) -> None:
    """At this limit the file would take a quarter of an hour."""
    limit = RateLimit(1024)
    reports: list[TransferProgress] = []

    def lift(progress: TransferProgress) -> None:
        reports.append(progress)
        if progress.received_bytes > 0:
            limit.bytes_per_sec = None

    await send_one(file, sides, limit, progress=lift)
    assert arrived(file)
    assert next(report.received_bytes for report in reports if report.received_bytes) < MIB / 2


@pytest.mark.parametrize("sides", ALL)
async def test_a_limit_that_is_raised_while_a_file_goes_holds_for_the_rest(file: Path, sides: Sides) -> None:
    limit = RateLimit(1024)

    def raise_it(progress: TransferProgress) -> None:
        if progress.received_bytes > 0:
            limit.bytes_per_sec = MIB / 2

    took_sec = await send_one(file, sides, limit, progress=raise_it)
    assert arrived(file)
    assert took_sec > 1.5


async def test_two_files_at_once_share_a_limit(tmp_path: Path) -> None:
    limit, took_sec = RateLimit(MIB), []
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.bin").write_bytes(os.urandom(MIB))

    async def send(name: str) -> None:
        await send_one(tmp_path / name / f"{name}.bin", Sides("sender", None), limit)
        took_sec.append(trio.current_time())

    began_sec = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(send, "a"))
        nursery.start_soon(partial(send, "b"))
    assert max(took_sec) - began_sec > 1.5
    assert arrived(tmp_path / "a" / "a.bin")
    assert arrived(tmp_path / "b" / "b.bin")
