"""The proof over real data channels, with a server that intercepts the connection."""

from __future__ import annotations

import json
import os
from pathlib import Path

import attrs
import pytest
import trio

from sleaprtc.errors import ChannelClosedError, PeerNotProvenError, RoomSecretMissingError, SleapRTCError
from sleaprtc.rtc.peer import Peer
from sleaprtc.rtc.proof import Role
from sleaprtc.rtc.secret import RoomSecret
from sleaprtc.transfer.proven import open_proven_transfers

from ..rtc.pairs import Message, Signaling, open_side, run_pair

SECRET = RoomSecret(bytes(range(16)))
CONTENT = os.urandom(100_000)


class End:
    """A client that sends a file, or a worker that receives one; records how that ended."""

    def __init__(self, role: Role, secret: RoomSecret | None, folder: Path) -> None:
        self.role, self.secret, self.folder = role, secret, folder
        self.error: SleapRTCError | None = None
        self.received: bytes | None = None

    async def run(self, peer: Peer) -> None:
        try:
            async with open_proven_transfers(peer, role=self.role, secret=self.secret) as transfers:
                try:
                    await self._transfer(transfers)
                except SleapRTCError as error:
                    self.error = error
        except SleapRTCError as error:
            self.error = error

    async def _transfer(self, transfers) -> None:
        if self.role is Role.CLIENT:
            path = self.folder / "flies.slp"
            path.write_bytes(CONTENT)
            await transfers.send_file(path, purpose="dataset")
        else:
            incoming = await transfers.next_offer()
            self.received = (await incoming.accept(self.folder / "got")).read_bytes()


async def run_ends(tmp_path, client_secret, worker_secret, **options):
    client, worker = End(Role.CLIENT, client_secret, tmp_path), End(Role.WORKER, worker_secret, tmp_path)
    await run_pair(client.run, worker.run, **options)
    return client, worker


@pytest.mark.parametrize("secret", [None, SECRET], ids=["no secret", "secret"])
@pytest.mark.parametrize("engines", [("aiortc", "aiortc"), ("libwebrtc", "aiortc")], ids="-".join)
async def test_ends_that_have_the_same_transfer(tmp_path, secret, engines):
    if "libwebrtc" in engines:
        pytest.importorskip("wrtc")
    client, worker = await run_ends(tmp_path, secret, secret, engines=engines)
    assert (client.error, worker.error) == (None, None)
    assert worker.received == CONTENT


@pytest.mark.parametrize("with_it", list(Role))
async def test_where_one_end_has_no_secret_both_say_so(tmp_path, with_it):
    secrets = [SECRET if role is with_it else None for role in (Role.CLIENT, Role.WORKER)]
    for end in await run_ends(tmp_path, *secrets):
        assert isinstance(end.error, RoomSecretMissingError)
        assert "--invite" in str(end.error)
        assert end.received is None


async def test_another_secret_is_told_on_both_ends(tmp_path):
    for end in await run_ends(tmp_path, SECRET, RoomSecret(bytes(16))):
        assert isinstance(end.error, PeerNotProvenError)


class ReadingAlong:
    """A server that answers each end in the other's name, and forwards their messages."""

    def __init__(self) -> None:
        self.to_client, self.to_worker = Signaling(), Signaling()
        self.seen: list[str | bytes] = []

    async def run(self) -> None:
        async with (
            open_side("b", self.to_client) as as_worker,
            open_side("a", self.to_worker) as as_client,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self._pass_on, as_worker, as_client)
            nursery.start_soon(self._pass_on, as_client, as_worker)

    async def _pass_on(self, source: Peer, target: Peer) -> None:
        try:
            while True:
                message = await source.channel.receive()
                self.seen.append(message)
                await target.channel.send(message)
        except ChannelClosedError:
            await target.channel.aclose()


async def read_along(tmp_path, secret):
    client, worker = End(Role.CLIENT, secret, tmp_path), End(Role.WORKER, secret, tmp_path)
    middle = ReadingAlong()

    async def run_end(name: str, end: End, signaling: Signaling) -> None:
        async with open_side(name, signaling) as peer:
            await end.run(peer)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(middle.run)
            nursery.start_soon(run_end, "a", client, middle.to_client)
            nursery.start_soon(run_end, "b", worker, middle.to_worker)
    return client, worker, middle


async def test_a_server_in_the_middle_reads_a_room_without_a_secret(tmp_path):
    """This is what the secret prevents; without one, nothing is noticed."""
    _, worker, middle = await read_along(tmp_path, None)
    assert worker.received == CONTENT
    assert b"".join(message for message in middle.seen if isinstance(message, bytes)) == CONTENT


async def test_a_server_in_the_middle_is_noticed_before_any_file(tmp_path):
    client, worker, middle = await read_along(tmp_path, SECRET)
    for end in (client, worker):
        assert isinstance(end.error, PeerNotProvenError)
        assert "between the two" in str(end.error)
        assert SECRET.text not in str(end.error)
    assert worker.received is None
    assert all(isinstance(message, str) for message in middle.seen)
    assert {json.loads(m)["type"] for m in middle.seen} <= {"proof_nonce", "proof_tag", "file_abort"}


@pytest.mark.parametrize("which", ["offer", "answer"])
async def test_one_fingerprint_more_in_a_description_is_noticed(tmp_path, which):
    """The right one is still there, so DTLS accepts it if any of several is enough."""
    more = "a=fingerprint:md5 BA:D0\r\n"

    def add(message: Message) -> list[Message]:
        return [attrs.evolve(message, sdp=message.sdp + more) if message.type == which else message]

    for end in await run_ends(tmp_path, SECRET, SECRET, signaling=Signaling(add)):
        assert isinstance(end.error, PeerNotProvenError)
