"""Mistakes in this program where a message, peer or job meets them: each costs that alone, and is logged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import attrs
import pytest
import trio

from sleaprtc.base import nurseries
from sleaprtc.client.jobs.follower.progress import JobProgress
from sleaprtc.errors import ConnectionFailedError, ProtocolError
from sleaprtc.protocol.jobs import (
    AppError,
    JobAssignment,
    JobAttach,
    JobCancel,
    JobFailed,
    JobLogRequest,
    JobPurge,
    JobRequest,
    JobResponse,
    JobStatus,
    JobStop,
)
from sleaprtc.protocol.messages import Offer
from sleaprtc.rooms.registry import Registry
from sleaprtc.rtc.engines import sdp
from sleaprtc.server.frames import FrameReader
from sleaprtc.server.hub import Hub
from sleaprtc.signaling.link import Link
from sleaprtc.signaling.post import Post
from sleaprtc.signaling.session import Session
from sleaprtc.worker.agent import Agent
from sleaprtc.worker.jobs.connection import ClientConnection
from sleaprtc.worker.jobs.roster import Roster
from sleaprtc.worker.journal.store import Journal

from ..rtc.pairs import Signaling, open_side
from ..server.trio_peer import open_lab as open_raw_lab
from ..server.trio_peer import to
from ..support.job_messages import answer, status_becomes
from ..support.lab import Lab, ScriptedTrainer, make_labels

pytestmark = pytest.mark.logs_error("MistakeError")


class MistakeError(Exception):
    """What nobody expects."""


@attrs.define
class Fault:
    """A method that fails when it is called with something, and otherwise does as ever."""

    count: int = 0

    def put_into(
        self,
        monkeypatch: pytest.MonkeyPatch,
        owner: Any,
        name: str,
        when: Callable[..., bool] = lambda *_: True,
    ) -> None:
        original = getattr(owner, name)

        def failing(*args: Any, **options: Any) -> Any:
            if when(*args):
                self.count += 1
                raise MistakeError(name)
            return original(*args, **options)

        monkeypatch.setattr(owner, name, failing)


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fault]:
    """A fault that has to be met, and logged as an error with its traceback."""
    monkeypatch.setattr(nurseries, "RESTART_SEC", 0.01)
    put = Fault()
    yield put
    assert put.count


def first_time_only() -> Callable[..., bool]:
    calls = iter([True])
    return lambda *_: next(calls, False)


def is_odd(*args: Any) -> bool:
    return any("odd" in str(arg) for arg in args)


@pytest.mark.parametrize(
    ("owner", "name", "message"),
    [
        (Journal, "find", JobAttach("odd", "k")),
        (Journal, "find", JobLogRequest("odd", "k")),
        (Journal, "find", JobCancel("odd", attach_key="k")),
        (Journal, "find", JobPurge("odd", "k")),
        (Roster, "stop", JobStop("odd")),
        (Agent, "_assign", JobAssignment("odd")),
        (Agent, "_judge_request", JobRequest("odd", "training")),
    ],
)
async def test_a_message_costs_itself(
    lab: Lab, fault: Fault, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, message: Any
) -> None:
    fault.put_into(monkeypatch, owner, name, is_odd)
    trainer = ScriptedTrainer(hold=True)
    labels = make_labels(lab.tmp_path / "flies.pkg.slp")
    async with lab.worker("gpu-1", trainer, max_jobs=2), lab.peer("stranger") as stranger:

        async def meddle() -> None:
            await trainer.started.wait()
            await stranger.send_job_message("gpu-1", message)
            told = await answer(stranger, of=AppError)
            assert (told.error_code, told.job_id) == ("INTERNAL", "odd")
            trainer.go_on.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(meddle)
            completed = await lab.train(labels)
    assert completed.worker == "gpu-1"


async def test_a_signal_costs_itself(lab: Lab, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    fault.put_into(monkeypatch, Roster, "take_signal", lambda _, signal: signal.sender == "stranger")
    async with lab.worker("gpu-1"), lab.peer("stranger") as stranger:
        await stranger.send(Offer("stranger", "gpu-1", "sdp"))
        await stranger.send_job_message("gpu-1", JobRequest("job-1", "training"))
        assert (await answer(stranger, of=JobResponse)).accepted


async def test_a_job_costs_itself_and_its_slot_is_free(
    lab: Lab, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault.put_into(monkeypatch, Roster, "_begin", lambda _, client_id, request: request.job_id == "odd")
    async with lab.worker("gpu-1", max_jobs=1), lab.peer("client") as client:
        for job_id in ("odd", "odd", "plain"):
            await client.send_job_message("gpu-1", JobRequest(job_id, "training"))
            assert (await answer(client, of=JobResponse)).accepted
            await client.send_job_message("gpu-1", JobAssignment(job_id))
            if job_id == "odd":
                assert (await answer(client, of=JobFailed)).error.code == "INTERNAL"
                await status_becomes(client, "available")
        assert (await answer(client, of=JobStatus)).job_id == "plain"


async def test_the_status_is_kept_true_again(lab: Lab, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    fault.put_into(monkeypatch, Link, "update_metadata", first_time_only())
    async with lab.worker("gpu-1"), lab.peer("client") as client:
        await client.send_job_message("gpu-1", JobRequest("job-1", "training"))
        await answer(client)
        await trio.sleep(0.1)
        await client.send_job_message("gpu-1", JobAssignment("job-1"))
        await status_becomes(client, "busy")


async def train(lab: Lab, trainer: ScriptedTrainer | None = None) -> None:
    labels = make_labels(lab.tmp_path / "flies.pkg.slp")
    async with lab.worker("gpu-1", trainer):
        assert (await lab.train(labels)).worker == "gpu-1"


async def test_a_connection_of_the_worker_s_costs_itself(
    lab: Lab, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault.put_into(monkeypatch, ClientConnection, "_use", first_time_only())
    await train(lab)


async def test_a_status_costs_itself(lab: Lab, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    fault.put_into(monkeypatch, Journal, "add_status", lambda _, status: status.seq == 2)
    await train(lab)


async def test_a_message_to_a_client_costs_itself(
    lab: Lab, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault.put_into(monkeypatch, JobProgress, "_take_status", first_time_only())
    await train(lab)


async def test_a_message_that_cannot_be_sorted_costs_itself(
    lab: Lab, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault.put_into(
        monkeypatch, Post, "_sort_job_message", lambda _, m: m.payload["app_message_type"] == "job_status"
    )
    await train(lab)


async def test_a_message_of_the_server_costs_itself(
    lab: Lab, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault.put_into(monkeypatch, Session, "_dispatch", is_odd)
    async with lab.peer("one") as one, lab.peer("two") as two:
        for job_id in ("odd", "plain"):
            await one.send_job_message("two", JobStop(job_id))
        assert (await answer(two)).job_id == "plain"


async def test_a_connection_to_the_server_costs_itself(
    lab: Lab, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = first_time_only()
    fault.put_into(monkeypatch, Session, "receive", lambda session: session.peer_id == "two" and once())
    async with lab.peer("one") as one, lab.peer("two") as two:
        with trio.fail_after(60):
            while True:
                with suppress(ProtocolError):
                    await one.send_job_message("two", JobStop("plain"))
                with trio.move_on_after(0.2):
                    assert (await answer(two)).job_id == "plain"
                    return


async def test_negotiating_a_connection_costs_the_connection(
    fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault.put_into(monkeypatch, sdp, "without_candidates", lambda _: True)
    signaling = Signaling()
    failed = []

    async def connect(name: str) -> None:
        with pytest.raises(ConnectionFailedError):
            async with open_side(name, signaling, connect_timeout_sec=60):
                raise AssertionError("unreachable")
        failed.append(name)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connect, "a")
        nursery.start_soon(connect, "b")
    assert failed == ["b"]


@pytest.mark.parametrize(("owner", "name"), [(Hub, "receive"), (FrameReader, "feed")])
async def test_what_a_peer_says_to_the_server_costs_its_connection(
    start_server: Any, fault: Fault, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    server = await start_server()
    fault.put_into(monkeypatch, owner, name, lambda *args: any("odd" in str(_unmasked(arg)) for arg in args))
    async with (
        open_raw_lab(server.ws_url, server.http_url) as lab,
        lab.peer("one") as one,
        lab.peer("two") as two,
        lab.peer("three") as three,
    ):
        await three.send(to("one", "three", text="odd"))
        assert await three.close_code() == 1011
        await one.send(to("two", "one", text="plain"))
        assert (await two.receive())["payload"] == {"text": "plain"}


async def test_the_end_of_a_room_costs_the_room(
    start_server: Any, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await start_server(room_ttl_sec=0.5)
    fault.put_into(monkeypatch, Registry, "end_room", first_time_only())
    async with open_raw_lab(server.ws_url, server.http_url) as lab, lab.peer("one") as one:
        assert (await one.receive())["type"] == "room_closed"
        assert (await lab.post("/create-room")).status_code == 200


def _unmasked(argument: Any) -> Any:
    if not isinstance(argument, bytes) or len(argument) < 8:
        return argument
    start = {126: 8, 127: 14}.get(argument[1] & 0x7F, 6)
    mask = argument[start - 4 : start]
    return bytes(byte ^ mask[number % 4] for number, byte in enumerate(argument[start:]))
