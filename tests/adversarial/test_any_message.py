"""Whatever a peer or server says, it costs nobody else: a job that runs ends right, no fault is logged."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from hypothesis import strategies as st
from trio_websocket import ConnectionClosed, serve_websocket

from sleaprtc.client.display import PlainDisplay
from sleaprtc.client.events.job import StatusChanged
from sleaprtc.client.jobs.follower.last_words import end_of
from sleaprtc.errors import ProtocolError
from sleaprtc.jobs.salvage import last_word
from sleaprtc.protocol.codec import decode_job_message
from sleaprtc.protocol.jobs import JobComplete
from sleaprtc.protocol.messages import Metadata, PeerMessage
from sleaprtc.signaling.http import Endpoints, Room
from sleaprtc.signaling.link import Membership, open_link

from ..server.trio_peer import Lab as RawLab
from ..server.trio_peer import TrioPeer, to
from ..support.foreign_worker import COMPLETE, ForeignWorker
from ..support.lab import Lab, ScriptedTrainer, make_labels, open_lab
from ..support.waiting import until
from .any_json import KNOWN_JOB, SIGNALING_TYPES, examples_of, frames, job_payloads, values

pytestmark = pytest.mark.hypothesis  # by examples_of(); the mark is for the fresh run

UNLIMITED = {
    "messages_per_sec": 1e6,
    "message_burst": 10**6,
    "refused_messages_per_sec": 1e6,
    "refused_message_burst": 10**6,
    "max_connections_per_address": 10**6,
}
StartServer = Callable[..., Any]


@pytest.fixture
async def busy_lab(start_server: StartServer, tmp_path: Path) -> Lab:
    """A lab whose server lets a peer talk as much as it likes."""
    return await open_lab(await start_server(**UNLIMITED), tmp_path)


@pytest.fixture
def no_faults(caplog: pytest.LogCaptureFixture) -> Callable[[], None]:
    """Fails over what was logged as a fault of this program."""

    def check() -> None:
        faults = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert not faults, caplog.text[-5000:]

    return check


def raw_peer(lab: Lab, name: str) -> AbstractAsyncContextManager[TrioPeer]:
    """A peer of the lab's room that writes its frames by hand."""
    room = {"room_id": lab.room.room_id, "token": lab.room.token}
    return RawLab(lab.endpoints.ws_url, httpx.AsyncClient(), lab.account.id_token, room).peer(name)


class Running:
    """A job that an honest client has on a worker."""

    def __init__(self, lab: Lab, trainer: ScriptedTrainer) -> None:
        self._lab = lab
        self._trainer = trainer
        self._events: list[Any] = []
        self.completed: Any = None

    @property
    def job_id(self) -> str:
        return next(event.job_id for event in self._events if hasattr(event, "job_id"))

    async def run(self) -> None:
        labels = make_labels(self._lab.tmp_path / "flies.pkg.slp")
        self.completed = await self._lab.train(labels, self._events.append)


@asynccontextmanager
async def running_job(lab: Lab) -> AsyncIterator[Running]:
    """Has a worker train until the block is left, when the job has to end with its model."""
    trainer = ScriptedTrainer(hold=True)
    async with lab.worker("gpu-1", trainer, max_jobs=3), trio.open_nursery() as nursery:
        job = Running(lab, trainer)
        nursery.start_soon(job.run)
        await trainer.started.wait()
        yield job
        trainer.go_on.set()
        await until(lambda: job.completed is not None)
        assert job.completed.worker == "gpu-1"
        assert not trainer.stopped_early


LONE_SURROGATES = [
    {"app_message_type": "job_attach", "job_id": "\ud800", "attach_key": "k", "after_seq": 0},
    {"app_message_type": "job_log_request", "job_id": "\ud800", "attach_key": "k", "after_seq": 0},
    {"app_message_type": "job_cancel", "job_id": "\ud800", "attach_key": "k"},
    {"app_message_type": "job_cancel", "job_id": "x", "attach_key": "\ud800"},
    {"\ud800": 1},
]


async def test_a_lone_surrogate_is_refused_to_its_sender(busy_lab: Lab) -> None:
    async with running_job(busy_lab), raw_peer(busy_lab, "stranger") as stranger:
        for payload in LONE_SURROGATES:
            answer = await stranger.ask(to("gpu-1", "stranger", **payload))
            assert (answer["type"], answer["code"]) == ("error", "INVALID_MESSAGE")


async def test_any_message_to_a_worker(
    busy_lab: Lab, no_faults: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # All are to be heard, however fast they come: what a worker leaves unheard has no answer.
    monkeypatch.setattr("sleaprtc.worker.agent.HEARD_MESSAGE_BURST", 10**9)
    examples = examples_of(frames("stranger", "gpu-1"), 80)
    async with running_job(busy_lab) as job, raw_peer(busy_lab, "stranger") as stranger:
        for number, texts in enumerate(examples):
            for text in texts:
                await stranger.websocket.send_message(text.replace(KNOWN_JOB, job.job_id))
            ping = {"app_message_type": "job_log_request", "job_id": f"ping-{number}", "attach_key": ""}
            await stranger.send(to("gpu-1", "stranger", **ping))
            answer = await stranger.receive()
            while answer.get("payload", {}).get("job_id") != ping["job_id"]:
                answer = await stranger.receive()
            assert answer["payload"]["error_code"] == "UNKNOWN_JOB", texts
            no_faults()
    no_faults()


async def test_any_message_to_a_server(busy_lab: Lab, no_faults: Callable[[], None]) -> None:
    examples = examples_of(frames("stranger", "two"), 50)
    async with raw_peer(busy_lab, "one") as one, raw_peer(busy_lab, "two") as two:
        for number, texts in enumerate(examples):
            name = f"stranger-{number}"
            async with raw_peer(busy_lab, name) as stranger:
                with suppress(ConnectionClosed):
                    for text in texts:
                        await stranger.websocket.send_message(text.replace("stranger", name))
                    while (await stranger.ask(to(name, name, bye=1))).get("payload") != {"bye": 1}:
                        pass
            message = to("two", "one", ping=name)
            await one.send(message)
            while await two.receive() != message:
                pass
            no_faults()


PATHS = ["/anonymous-signin", "/create-room", "/renew-room", "/delete-peers-and-room", "/metrics"]
BODIES = st.one_of(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("room_id", "peer_id"), values)).map(json.dumps),
    values.map(json.dumps),
    st.text(max_size=10),
).map(lambda body: body.encode("utf-8", "replace"))
HEADERS = st.dictionaries(
    st.sampled_from(["Authorization", "Accept", "X-Forwarded-For", "Content-Type"]),
    st.sampled_from(["Bearer", "Bearer a.b.c", "text/plain;q=nan", "a;b,c;;=", "é", "Bearer " + "e" * 5000]),
).map(lambda fields: {name: value.encode("latin-1") for name, value in fields.items()})
NO_REQUESTS = st.binary(max_size=50) | st.tuples(
    st.sampled_from([b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSM", b"POST /create-room HTTP/1.1\r\n"]),
    st.sampled_from([b"", b"Upgrade: h2c\r\nHTTP2-Settings: x\r\n", b"Transfer-Encoding: chunked\r\n\r\nz"]),
    st.binary(max_size=20),
).map(b"".join)


async def test_any_request_to_a_server(busy_lab: Lab, no_faults: Callable[[], None]) -> None:
    requests = st.tuples(st.sampled_from(PATHS), BODIES, HEADERS, st.booleans(), NO_REQUESTS)
    signed_in = {"Authorization": f"Bearer {busy_lab.account.id_token}".encode()}
    url = httpx.URL(busy_lab.endpoints.http_url)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        for path, body, headers, is_signed_in, garbage in chain(*examples_of(requests, 30)):
            answer = await http.post(
                path, content=body, headers={**headers, **(signed_in if is_signed_in else {})}
            )
            assert answer.status_code < 500, (path, body, headers)
            async with await trio.open_tcp_stream(url.host, url.port or 80) as stream:
                with suppress(trio.BrokenResourceError):
                    await stream.send_all(garbage + b"\r\n\r\n")
                    await stream.send_eof()
                    while await stream.receive_some():
                        pass
            assert (await http.get("/health")).status_code == 200, garbage
            no_faults()


class LyingWorker(ForeignWorker):
    """Says whatever it likes between its first status and its last word."""

    def __init__(self, lab: Lab, results: list[Path], lie: Callable[[LyingWorker], Awaitable[None]]) -> None:
        super().__init__(lab, results, [COMPLETE])
        self._lie = lie

    async def say(self, payload: Any) -> None:
        await self.link.send(PeerMessage("foreign", self.client, payload))

    async def _say(self, payload: Any) -> None:
        if payload is COMPLETE:
            await self._lie(self)
        await super()._say(payload)


def is_object(value: Any) -> bool:
    """Whether a link can send it: what JSON hasn't is for those who write their own frames."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return isinstance(value, dict)


def ends_the_job(payload: Any) -> bool:
    """Whether a worker's message is its last word on the job, which it may say at any time."""
    try:
        message = decode_job_message(payload)
    except ProtocolError:
        message = last_word(payload)
    if message is None or message.job_id not in (None, KNOWN_JOB):
        return False
    return isinstance(message, JobComplete) or end_of(message, KNOWN_JOB) is not None


async def test_any_message_to_a_client(busy_lab: Lab, no_faults: Callable[[], None]) -> None:
    lies = job_payloads().filter(lambda payload: is_object(payload) and not ends_the_job(payload))
    examples = examples_of(lies, 80)
    labels = make_labels(busy_lab.tmp_path / "flies.pkg.slp")
    (busy_lab.tmp_path / "foreign").mkdir()
    model = busy_lab.tmp_path / "best.ckpt"
    model.write_bytes(b"weights")
    shown = PlainDisplay(io.StringIO())
    heard: dict[str | None, trio.Event] = {}

    def show(event: Any) -> None:
        shown.show(event)
        if isinstance(event, StatusChanged) and event.message in heard:
            heard[event.message].set()

    async def lie(worker: LyingWorker) -> None:
        for number, payloads in enumerate(examples):
            for payload in payloads:
                await worker.say(json.loads(json.dumps(payload).replace(KNOWN_JOB, worker.job_id)))
            ping = f"ping-{number}"
            heard[ping] = trio.Event()
            status = {"app_message_type": "job_status", "job_id": worker.job_id, "status": "running"}
            await worker.say({**status, "progress": 0.5, "message": ping})
            await heard[ping].wait()
            no_faults()

    async with trio.open_nursery() as nursery:
        await nursery.start(LyingWorker(busy_lab, [model], lie).run)
        completed = await busy_lab.train(labels, show)
        nursery.cancel_scope.cancel()
    assert completed.worker == "foreign"
    no_faults()


async def test_any_message_of_a_server(no_faults: Callable[[], None], lab: Lab) -> None:
    """A server that lets a peer in and then says anything, before what it should."""
    fields = ["code", "message", "count", "peers", "metadata", "to_peer_id", "payload", "sdp", "sender"]
    # The end of the room is the server's to say.
    kinds = st.sampled_from([kind for kind in SIGNALING_TYPES if kind != "room_closed"])
    words = st.fixed_dictionaries({"type": kinds}, optional=dict.fromkeys(fields, values))
    examples = examples_of((words | values).map(json.dumps), 100)
    registered = {"type": "registered_auth", "room_id": "r", "token": "t", "peer_id": "me"}
    connections: list[Any] = []

    async def let_in(request: Any) -> None:
        websocket = await request.accept()
        await websocket.get_message()
        await websocket.send_message(json.dumps(registered))
        connections.append(websocket)
        with suppress(ConnectionClosed):
            while True:
                await websocket.get_message()

    async with trio.open_nursery() as nursery:
        liar = await nursery.start(serve_websocket, let_in, "127.0.0.1", 0, None)
        endpoints = Endpoints(f"ws://127.0.0.1:{liar.port}/", lab.endpoints.http_url)
        membership = Membership(endpoints, Room("r", "t"), "me", "worker", Metadata())
        async with open_link(membership, lab.account) as link:
            for number, texts in enumerate(examples):
                for text in texts:
                    await connections[-1].send_message(text)
                ping = {"ping": number}
                await connections[-1].send_message(json.dumps(to("me", "other", **ping)))
                while getattr(await link.receive(), "payload", None) != ping:
                    pass
                no_faults()
            assert len(connections) == 1
        nursery.cancel_scope.cancel()
