"""The way to a worker, over a real server and real data channels, whatever make the worker is of."""

from __future__ import annotations

from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from sleaprtc.doctor import worker_check
from sleaprtc.protocol.features import ATTACH_FEATURE
from sleaprtc.protocol.jobs import AppError, ConnectionCheckAnswer
from sleaprtc.protocol.messages import Metadata, PeerInfo, PeerMessage, Register
from sleaprtc.rtc.engines.base import Path
from sleaprtc.rtc.peer import IceSettings
from sleaprtc.rtc.secret import RoomSecret
from sleaprtc.signaling.session import open_session
from sleaprtc.transfer.rate import Rate

from ..support.lab import LOOPBACK

SECRET = RoomSecret.parse("AAECAwQFBgcICQoLDA0ODw")


@asynccontextmanager
async def session(lab):
    register = Register(
        "doctor", lab.room.room_id, lab.room.token, lab.account.id_token, "client", Metadata()
    )
    async with open_session(lab.endpoints.ws_url, register) as opened:
        yield opened


async def check(lab, *, secret=None, worker="gpu-1"):
    async with session(lab) as opened:
        return await worker_check.check_worker(
            opened, worker, ice=IceSettings(loopback=True), engine="aiortc", secret=secret
        )


async def test_one_of_ours_is_measured(lab):
    async with lab.worker("gpu-1"):
        found = await check(lab)
    assert found.status == "ok"
    assert found.facts["path"] == "direct"
    assert found.facts["download_mib_per_sec"] > 0


async def test_what_the_worker_says_of_itself_is_said_too(lab):
    async with lab.worker("gpu-1") as agent:
        await agent._link.update_metadata(Metadata(properties={"problems": ["The GPU\x1b[2J is hot.", 7]}))
        found = await check(lab)
    assert found.status == "warning"
    assert found.facts["worker_problems"] == ["The GPU\N{REPLACEMENT CHARACTER}[2J is hot."]


@pytest.mark.parametrize(
    ("worker_secret", "own_secret"), [(SECRET, None), (None, SECRET), (SECRET, RoomSecret(bytes(16)))]
)
async def test_a_secret_that_only_one_side_has(lab, worker_secret, own_secret):
    async with lab.worker("gpu-1", connection=attrs.evolve(LOOPBACK, secret=worker_secret)):
        found = await check(lab, secret=own_secret)
    assert found.status == "failed"
    assert found.facts["code"] in ("ROOM_SECRET_MISSING", "PEER_NOT_PROVEN")
    assert "invite" in found.remedy


async def test_a_secret_that_both_have(lab):
    async with lab.worker("gpu-1", connection=attrs.evolve(LOOPBACK, secret=SECRET)):
        assert (await check(lab, secret=SECRET)).status == "ok"


async def test_one_of_ours_that_is_silent_hangs(lab, monkeypatch):
    monkeypatch.setattr(worker_check, "ANSWER_SEC", 0.3)
    async with lab.peer("gpu-1", "worker", features=[ATTACH_FEATURE]):
        found = await check(lab)
    assert (found.status, found.sentence) == ("warning", "gpu-1 is in the room and doesn't answer: it hangs.")
    assert "restart" in found.remedy


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (None, "warning", "doesn't answer: it may hang, or be another implementation or version."),
        (AppError("UNKNOWN_MESSAGE_TYPE", "What?"), "skipped", "doesn't know"),
        (ConnectionCheckAnswer("", False, "busy"), "skipped", "by somebody else"),
        (ConnectionCheckAnswer("", True), "failed", "No answer to the connection offer"),
    ],
    ids=["silent", "another implementation", "busy", "mute afterwards"],
)
async def test_one_that_does_not_let_itself_be_measured(lab, nursery, monkeypatch, answer, status, words):
    monkeypatch.setattr(worker_check, "ANSWER_SEC", 0.3 if answer is None else 60)
    monkeypatch.setattr(worker_check, "CONNECT_TIMEOUT_SEC", 0.5)

    async def be_foreign(task_status):
        async with lab.peer("gpu-1", "worker") as link:
            task_status.started()
            while True:
                message = await link.receive()
                if isinstance(message, PeerMessage) and answer is not None:
                    reply = attrs.evolve(answer, job_id=message.payload["job_id"])
                    await link.send_job_message("doctor", reply)

    await nursery.start(be_foreign)
    with trio.fail_after(60):
        found = await check(lab)
    assert (found.status, words in found.sentence) == (status, True), found


@pytest.mark.parametrize(
    ("engine", "kind", "remedy"),
    [
        ("libwebrtc", "direct", "The network between the two is slow"),
        ("libwebrtc", "relayed", "Open a path without a relay."),
        ("aiortc", "direct", "Give both sides the fast engine"),
        ("aiortc", "relayed", "fast engine (sleap-rooms[fast]), and open a path without a relay."),
    ],
)
async def test_a_slow_way_s_remedy_is_one_that_is_left(engine, kind, remedy):
    rate = Rate(0.2, 0.9, 2**20, 2**20)
    measured = worker_check.Measured(rate, Path(kind, "10.77.0.1:1", "10.77.0.2:1"), engine)
    finding = worker_check.judge_way(PeerInfo("gpu-1", "worker", Metadata(), 0.0), measured)
    assert "That is slow." in finding.sentence
    assert remedy in finding.remedy
