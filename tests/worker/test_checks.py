"""A worker's connection is measured without a job, and whoever measures can't take more than their share."""

from __future__ import annotations

import attrs
import pytest
import trio

from sleaprtc.errors import ChannelClosedError, RoomSecretMissingError
from sleaprtc.jobs.request_proof import request_proof
from sleaprtc.protocol.codec import decode_job_message
from sleaprtc.protocol.jobs import (
    ConnectionCheck,
    ConnectionCheckAnswer,
    JobRequest,
    JobResponse,
)
from sleaprtc.protocol.limits import MIB, RATE_PROBE_BYTES
from sleaprtc.protocol.messages import PeerMessage
from sleaprtc.rtc.peer import IceSettings, open_peer
from sleaprtc.rtc.proof import Role
from sleaprtc.rtc.secret import RoomSecret
from sleaprtc.transfer.proven import prove_membership
from sleaprtc.transfer.rate import measure_rate
from sleaprtc.worker.jobs import checks

from ..support.lab import LOOPBACK
from ..support.waiting import until

SECRET = RoomSecret.parse("AAECAwQFBgcICQoLDA0ODw")
WITH_SECRET = attrs.evolve(LOOPBACK, secret=SECRET)


class Asker:
    """A peer that asks for a check by hand."""

    def __init__(self, link):
        self.link = link
        self._words, self.words = trio.open_memory_channel(100)
        self._signals, self.signals = trio.open_memory_channel(100)

    async def read(self):
        while True:
            message = await self.link.receive()
            if isinstance(message, PeerMessage):
                self._words.send_nowait(decode_job_message(message.payload))
            elif hasattr(message, "sender"):
                self._signals.send_nowait(message)

    async def ask(self, check_id="check-1", *, worker="gpu-1", secret=None):
        check = ConnectionCheck(check_id)
        if secret is not None:
            names = {"client_id": self.link.peer_id, "worker_id": worker}
            check = attrs.evolve(check, proof=request_proof(secret.key, check, **names))
        await self.link.send_job_message(worker, check)
        return await self.words.receive()

    def connect(self, *, worker="gpu-1"):
        return open_peer(
            local_id=self.link.peer_id,
            remote_id=worker,
            initiator=True,
            send=self.link.send,
            incoming=self.signals,
            ice=IceSettings(loopback=True),
            engine="aiortc",
        )


async def asked_by(lab, nursery, name):
    link = await nursery.start(stay, lab, name)
    asker = Asker(link)
    nursery.start_soon(asker.read)
    return asker


async def stay(lab, name, task_status):
    async with lab.peer(name) as link:
        task_status.started(link)
        await trio.sleep_forever()


async def test_it_is_measured_and_takes_no_slot(lab, nursery):
    async with lab.worker("gpu-1") as agent:
        asker = await asked_by(lab, nursery, "a")
        assert await asker.ask() == ConnectionCheckAnswer("check-1", accepted=True)
        async with asker.connect() as peer:
            rate = await measure_rate(peer.channel, size_bytes=MIB)
            await asker.link.send_job_message("gpu-1", JobRequest("job-1", "training"))
            answer = await asker.words.receive()
        assert (rate.upload_bytes, rate.download_bytes) == (MIB, MIB)
        assert isinstance(answer, JobResponse)
        assert answer.accepted
        assert list(agent.jobs_dir.iterdir()) == []


async def is_accepted(asker, check_id):
    return (await asker.ask(check_id)).accepted


async def test_there_is_one_at_a_time_and_then_another(lab, nursery):
    async with lab.worker("gpu-1"):
        first, second = [await asked_by(lab, nursery, name) for name in ("a", "b")]
        assert (await first.ask()).accepted
        assert await second.ask("check-2") == ConnectionCheckAnswer("check-2", False, "busy")
        async with first.connect() as peer:
            await measure_rate(peer.channel, size_bytes=1000)
        await until(lambda: is_accepted(second, "check-3"))


async def test_one_that_proves_the_secret_takes_the_place_of_one_that_does_not(lab, nursery):
    async with lab.worker("gpu-1", connection=WITH_SECRET):
        stranger, member, other = [await asked_by(lab, nursery, name) for name in ("a", "b", "c")]
        assert (await stranger.ask()).accepted
        assert not (await other.ask("check-2")).accepted
        assert (await member.ask("check-3", secret=SECRET)).accepted
        assert not (await stranger.ask("check-4")).accepted
        assert not (await other.ask("check-5", secret=SECRET)).accepted
        async with member.connect() as peer:
            await prove_membership(peer, role=Role.CLIENT, secret=SECRET)
            await measure_rate(peer.channel, size_bytes=1000)


async def test_one_that_never_connects_ends_in_time(lab, nursery, monkeypatch):
    monkeypatch.setattr(checks, "RATE_PROBE_SEC", 0.2)
    async with lab.worker("gpu-1"):
        first, second = [await asked_by(lab, nursery, name) for name in ("a", "b")]
        assert (await first.ask()).accepted
        await until(lambda: is_accepted(second, "check-2"))


@pytest.mark.parametrize(
    "flood",
    [
        lambda channel: channel.send('{"type": "rate_probe", "download_bytes": 999999999999}'),
        lambda channel: channel.send(b"bytes before a word"),
        lambda channel: send_too_much(channel),
        lambda channel: channel.send('{"type": "file_offer"}'),
    ],
    ids=["asks for too much", "no beginning", "sends too much", "a file"],
)
async def test_whoever_does_otherwise_is_cut_off(lab, nursery, flood):
    async with lab.worker("gpu-1") as agent:
        asker = await asked_by(lab, nursery, "a")
        assert (await asker.ask()).accepted
        with trio.fail_after(60):
            async with asker.connect() as peer:
                with pytest.raises(ChannelClosedError):
                    await do_and_read_on(flood, peer.channel)
        assert list(agent.jobs_dir.iterdir()) == []


async def do_and_read_on(flood, channel):
    await flood(channel)
    while True:
        await channel.receive()


async def send_too_much(channel):
    await channel.send('{"type": "rate_probe", "download_bytes": 0}')
    for _ in range(RATE_PROBE_BYTES // 16384 + 1):
        await channel.send(bytes(16384))


async def test_a_secret_has_to_be_proven_first(lab, nursery):
    async with lab.worker("gpu-1", connection=WITH_SECRET):
        asker = await asked_by(lab, nursery, "a")
        assert (await asker.ask()).accepted
        async with asker.connect() as peer:
            with pytest.raises(RoomSecretMissingError):
                await measure_rate(peer.channel, size_bytes=1000)
        await until(lambda: is_accepted(asker, "check-2"))
        async with asker.connect() as peer:
            await prove_membership(peer, role=Role.CLIENT, secret=SECRET)
            assert (await measure_rate(peer.channel, size_bytes=1000)).download_bytes == 1000


async def test_a_secret_that_the_worker_has_not_is_said(lab, nursery):
    async with lab.worker("gpu-1"):
        asker = await asked_by(lab, nursery, "a")
        assert (await asker.ask()).accepted
        async with asker.connect() as peer:
            with pytest.raises(RoomSecretMissingError):
                await prove_membership(peer, role=Role.CLIENT, secret=SECRET)
