"""The fuzz target of a worker: any job messages from any peers, with a real journal and real folders."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import trio
import trio.testing

from sleaprtc.access.place import ConnectionOptions
from sleaprtc.base.json_text import format_json
from sleaprtc.errors import ProtocolError
from sleaprtc.jobs.keys import attach_digest
from sleaprtc.jobs.life import Cause
from sleaprtc.protocol import codec
from sleaprtc.protocol.jobs import (
    AppError,
    DatasetInfo,
    JobAssignment,
    JobAttach,
    JobCancel,
    JobLogRequest,
    JobMessage,
    JobPurge,
    JobRequest,
    JobStop,
)
from sleaprtc.protocol.messages import Metadata, PeerInfo, PeerMessage
from sleaprtc.worker.agent import Agent
from sleaprtc.worker.jobs.roster import Roster
from sleaprtc.worker.jobs.settings import WorkerSettings
from sleaprtc.worker.journal.past_trainings import History
from sleaprtc.worker.journal.store import Journal
from sleaprtc.worker.machine.gpu import GpuInfo
from sleaprtc.worker.trainer import Trainer, TrainerCapabilities

PEERS: Final = ("client", "stranger")
JOBS: Final = ("job-1", "job-2")
KEY: Final = "k"
PING: Final = JobLogRequest("ping", KEY)
PATIENCE_SEC: Final = 30.0
CAPABILITIES: Final = TrainerCapabilities(("base", "centroid"), ("training", "inference"), "1.3.0", "cuda")

_SHORTHANDS: Final[tuple[JobMessage, ...]] = tuple(
    message
    for job_id in JOBS
    for message in (
        JobRequest(job_id, "training", DatasetInfo("slp", 10, "fly", 1), attach_digest=attach_digest(KEY)),
        JobAssignment(job_id),
        JobAttach(job_id, KEY),
        JobAttach(job_id, KEY, follow=False),
        JobLogRequest(job_id, KEY),
        JobStop(job_id, attach_key=KEY),
        JobCancel(job_id),
        JobCancel(job_id, attach_key=KEY),
        JobPurge(job_id, KEY),
        JobRequest(
            job_id,
            "training",
            DatasetInfo("slp", 10, "fly", 1),
            attach_digest=attach_digest(KEY),
            ephemeral=True,
        ),
    )
)
"""What a mutation alone finds late: messages that belong together."""


class _Faults(logging.Handler):
    """Keeps what this program logs as a fault of its own."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[BaseException | str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.found.append(error or record.getMessage())


class _Link:
    """The worker's place in a room without a server: what it is told, and what it says."""

    peer_id = "worker"
    ice_servers = ()

    def __init__(self) -> None:
        self.tell, self._told = trio.open_memory_channel[PeerMessage](math.inf)
        self.answered = trio.Event()

    async def receive(self) -> PeerMessage:
        return await self._told.receive()

    async def send_job_message(self, to_peer_id: str, message: JobMessage) -> None:
        text = format_json(codec.encode_job_message(message))
        codec.decode_job_message(codec.decode_json_object(text))
        if isinstance(message, AppError) and message.job_id == PING.job_id:
            self.answered.set()

    deliver_job_message = send_job_message

    async def send(self, message: object) -> None:
        raise AssertionError("no connection is made")

    async def discover(self, filters: object) -> tuple[PeerInfo, ...]:
        return (PeerInfo("client", "client", Metadata(properties={"sleap_version": 5}), 0.0),)

    async def update_metadata(self, metadata: Metadata) -> None:
        pass


class _NoTrainer(Trainer):
    """Never comes to its work: no dataset arrives."""

    async def probe(self) -> TrainerCapabilities:
        raise AssertionError

    async def train(self, job: Any, *, report: Any, stop: Any) -> Any:
        raise AssertionError

    async def predict(self, job: Any, *, report: Any, stop: Any) -> Any:
        raise AssertionError


@cache
def _folder() -> tuple[tempfile.TemporaryDirectory[str], Path, Journal, _Faults]:
    """A work folder for all inputs; each leaves it empty."""
    keeper = tempfile.TemporaryDirectory(prefix="sleap-rtc-fuzz-")
    work_dir = Path(keeper.name)
    (work_dir / "jobs").mkdir()
    faults = _Faults()
    logging.getLogger("sleaprtc").addHandler(faults)
    return keeper, work_dir, Journal(work_dir / "journal.sqlite3"), faults


def fuzz_worker(data: bytes) -> None:
    """Whatever peers say, the worker goes on: it answers what comes next, and meets no fault of its own.

    The data are messages, each a byte for its kind and sender, then either the number of a shorthand or two
    bytes for the length of the JSON that follows.
    """
    _, work_dir, journal, faults = _folder()
    faults.found.clear()
    try:
        trio.run(_serve, list(_messages(data)), work_dir, journal, strict_exception_groups=True)
    finally:
        for entry in journal.entries():
            journal.move(entry.job_id, Cause.WITHDRAWN)
    assert not faults.found, faults.found
    assert not list((work_dir / "jobs").iterdir())


def _messages(data: bytes) -> Iterator[PeerMessage]:
    source = iter(data)
    for kind in source:
        sender = PEERS[kind % 2]
        if kind < 128:
            shorthand = _SHORTHANDS[next(source, 0) % len(_SHORTHANDS)]
            yield PeerMessage(sender, "worker", codec.encode_job_message(shorthand))
            continue
        size = next(source, 0) * 256 + next(source, 0)
        text = bytes(byte for byte, _ in zip(source, range(size), strict=False))
        try:
            yield PeerMessage(sender, "worker", codec.decode_json_object(text))
        except ProtocolError:
            continue  # of which the server tells its sender, and nobody else


async def _serve(messages: list[PeerMessage], work_dir: Path, journal: Journal) -> None:
    link = _Link()
    gpu = GpuInfo(model="GPU", memory_mb=16384, utilization=0.1, available_memory_mb=14000)
    history = History(work_dir / "history.jsonl")
    roster = Roster(
        link=link,  # type: ignore[arg-type]
        trainer=_NoTrainer(),
        history=history,
        journal=journal,
        failed=(),
        settings=WorkerSettings(
            jobs_dir=work_dir / "jobs",
            keep_results_sec=3600,
            threads_per_job=1,
            connection=ConnectionOptions(ice_loopback=True),
        ),
    )
    agent = Agent(
        link=link,  # type: ignore[arg-type]
        roster=roster,
        trainer_capabilities=CAPABILITIES,
        read_gpu=lambda: gpu,
        history=history,
        secret=None,
        max_jobs=2,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(agent.run)
        for message in messages:
            link.tell.send_nowait(message)
            if message.payload.get("app_message_type") in ("job_request", "job_assignment"):
                await trio.testing.wait_all_tasks_blocked()
        link.tell.send_nowait(PeerMessage("pinger", "worker", codec.encode_job_message(PING)))
        with trio.fail_after(PATIENCE_SEC):
            await link.answered.wait()
        nursery.cancel_scope.cancel()
