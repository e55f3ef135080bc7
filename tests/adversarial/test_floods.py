"""Peers that have the room's token and send a worker as much as the server lets them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sleaprtc.base.limited_log import LimitedLog
from sleaprtc.base.rate import KeyedBuckets, TokenBucket
from sleaprtc.client.jobs.order.persistence import Persistence
from sleaprtc.protocol.jobs import AppError, JobLogRequest, JobMessage, JobRequest, JobResponse
from sleaprtc.protocol.messages import ErrorMessage, PeerMessage, Register
from sleaprtc.signaling.session import MESSAGES_WAITING, open_session
from sleaprtc.worker.agent import LINE_BURST

from ..support.job_messages import answer
from ..support.lab import WITH_SECRET, Lab, make_labels, open_lab

StartServer = Callable[..., Any]

LARGE_JUNK = AppError("X", "x" * 100_000, job_id="x")
JUNK = AppError("X", "x", job_id="x")
UNKNOWN = JobRequest("x", "no such type")
AT_ONCE = 100


async def flood(lab: Lab, name: str, *, task_status: trio.TaskStatus[None]) -> None:
    """Sends more at once, again and again, than sockets and outbox hold, and reads what comes back."""
    refused = 0
    async with lab.peer(name) as link, trio.open_nursery() as nursery:

        async def read() -> None:
            nonlocal refused
            while True:
                message = await link.receive()
                if isinstance(message, ErrorMessage) and message.code == "DELIVERY_FAILED":
                    refused += 1
                    if refused == 1:
                        task_status.started()

        nursery.start_soon(read)
        while True:
            for _ in range(AT_ONCE):
                await link.send_job_message("gpu-1", LARGE_JUNK)
            await trio.sleep(0.2)


async def test_a_member_gets_its_job_whatever_strangers_send(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = await start_server(outbox_messages=32)
    lab = await open_lab(server, tmp_path)
    labels = make_labels(lab.tmp_path / "flies.pkg.slp")
    async with lab.worker("gpu-1", connection=WITH_SECRET) as agent, trio.open_nursery() as nursery:
        for number in range(2):
            await nursery.start(flood, lab, f"stranger-{number}")
        # A busy machine may need more than one connection; what is shown is that the job is done.
        completed = await lab.train(
            labels, connection=WITH_SECRET, response_timeout_sec=60, persistence=Persistence(retries=5)
        )
        assert len(completed.model_dirs) == 1
        assert agent._link._back_at == -math.inf  # it never lost its place
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("message", [JUNK, UNKNOWN])
async def test_a_stranger_does_not_fill_the_log(
    lab: Lab, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, message: JobMessage
) -> None:
    monkeypatch.setattr("sleaprtc.worker.agent.LINES_PER_SEC", 1e-6)
    caplog.set_level(logging.INFO)
    async with lab.worker("gpu-1", connection=WITH_SECRET), lab.peer("stranger") as stranger:
        for _ in range(30):
            await stranger.send_job_message("gpu-1", message)
            await stranger.send_job_message("gpu-1", JobLogRequest("job", "key"))
            await answer(stranger, of=AppError)  # so that none of them counts as a flood
    lines = [record for record in caplog.records if record.name == "sleaprtc.worker.agent"]
    assert len(lines) == LINE_BURST + 1


async def test_a_worker_hears_so_many_messages_of_a_peer(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sleaprtc.worker.agent.HEARD_MESSAGES_PER_SEC", 1e-6)
    monkeypatch.setattr("sleaprtc.worker.agent.HEARD_MESSAGE_BURST", 5)
    async with lab.worker("gpu-1"), lab.peer("loud") as loud, lab.peer("quiet") as quiet:
        for number in range(10):
            await loud.send_job_message("gpu-1", JobRequest(f"job-{number}", "no such type"))
        await quiet.send_job_message("gpu-1", JobRequest("job", "no such type"))
        assert (await answer(quiet, of=JobResponse)).job_id == "job"
        heard = []
        with trio.move_on_after(0.5):
            while True:
                heard.append((await answer(loud, of=JobResponse)).job_id)
        assert len(heard) == 5


async def test_a_flood_leaves_others_a_place_among_what_waits_to_be_read(lab: Lab) -> None:
    room = lab.room
    register = Register("reader", room.room_id, room.token, lab.account.id_token)
    async with (
        open_session(lab.endpoints.ws_url, register) as reader,
        lab.peer("loud") as loud,
        lab.peer("quiet") as quiet,
    ):

        async def read_errors() -> None:
            while True:
                await loud.receive()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_errors)
            for _ in range(MESSAGES_WAITING):
                await loud.send_job_message("reader", JUNK)
            await loud.discover({})
            nursery.cancel_scope.cancel()
        await quiet.send_job_message("reader", UNKNOWN)
        senders = []
        while "quiet" not in senders:
            message = await reader.receive()
            assert isinstance(message, PeerMessage)
            senders.append(message.from_peer_id)
        assert len(senders) <= MESSAGES_WAITING // 2 + 1


@given(st.lists(st.sampled_from("abc"), max_size=60))
def test_the_log_of_all_together_has_a_limit(names: list[str]) -> None:
    written: list[str] = []

    class Kept:
        def info(self, event: str, **fields: object) -> None:
            written.append(event)

        warning = info

    log = LimitedLog(Kept(), KeyedBuckets(1, 3), TokenBucket(1, 5))  # type: ignore[arg-type]
    for name in names:
        log.info("said", name, 0.0, about={"peer": name})
    assert written.count("said") <= 5
    assert len(written) <= 6
