"""Runs a worker from start to shutdown: folders, GPU, trainer, room, agent."""

from __future__ import annotations

import functools
import math
import signal
from pathlib import Path

import attrs
import trio

from ..access.joined_room import RememberedRoom
from ..access.kept_room import KeptRoom, KeptRoomFile, go_back
from ..access.place import ConnectionOptions, PeerOptions
from ..access.renewal import keep_room_open
from ..base.exception_groups import single_error
from ..base.folder_lock import lock_folder
from ..base.logs import get_logger
from ..base.nurseries import contained, keep_running
from ..base.printable import printable
from ..base.sentences import as_clause, as_sentence
from ..errors import (
    NetworkError,
    RefusedError,
    RoomExpiredError,
    RoomNotFoundError,
    SignalingResetError,
    StorageError,
    UsageError,
)
from ..jobs.properties import WORKER_ROLE
from ..rtc.secret import RoomSecret
from ..signaling.http import Account, Room, SignalingHTTP, open_http
from ..signaling.link import Link, Membership, backoff_delays, open_link
from ..transfer.limit_file import limited
from ..transfer.proven import SERVER_IS_TRUSTED
from .agent import Agent
from .invitation import say_how_to_join
from .jobs.cache import FileCache
from .jobs.disk import WorkerDisk
from .jobs.roster import Roster
from .jobs.settings import WorkerSettings
from .journal.past_trainings import History
from .journal.recovery import ResumeTokenFile, make_jobs_dir, note_restart, remove_orphans
from .journal.store import Journal, JournalEntry
from .limit import limit_file
from .machine.description import introduction, worker_metadata
from .machine.gpu import read_gpu
from .machine.watch import ProblemWatch
from .sleap_nn.process.limits import NO_LIMITS, TrainingLimits
from .sleap_nn.trainer import SleapNNTrainer

_log = get_logger(__name__)


@attrs.frozen
class WorkerOptions:
    """The options of the worker program.

    Attributes:
        with_secret: Whether a room that the worker makes has a secret.
        with_qr: Whether the invite to such a room is drawn, too, on a terminal.
        goes_back: Whether the worker returns to the room that it made before, if that still exists.
        keep_results_sec: How long ended jobs, and models that nobody fetched, are kept.
        keep_data_sec: How long datasets and models of earlier jobs are kept after their last use.
        disk_quota_bytes: What the work folder may take in all.
        cache_bytes: What datasets of earlier jobs may take on disk; 0 keeps none.
        max_dataset_bytes: The largest dataset that is taken.
        resumes: Whether interrupted jobs are resumed; otherwise what there is of them is their result.
        training_limits: What one training may take.
    """

    peer: PeerOptions
    name: str
    with_secret: bool
    with_qr: bool
    goes_back: bool
    work_dir: Path
    max_jobs: int
    threads: int
    gpu_index: int | None
    trainer_python: Path | None
    keep_results_sec: float
    keep_data_sec: float
    cache_bytes: int
    max_dataset_bytes: float = math.inf
    disk_quota_bytes: float = math.inf
    resumes: bool = True
    training_limits: TrainingLimits = NO_LIMITS


async def run_worker(options: WorkerOptions) -> int:
    """Runs a worker until SIGINT or SIGTERM; returns its exit status.

    Raises:
        StorageError: The work folder can't be used.
        OpenFolderError: Others have access to it.
        NetworkError: The server can't be reached at the start. One that is there and cuts the connection, as
            it does while it restarts, is tried again.
        RefusedError: The server doesn't let the worker in, or a room that isn't its own has ended.
    """
    with lock_folder(options.work_dir, "worker", "--work-dir"):
        jobs_dir = make_jobs_dir(options.work_dir)
        _forget_limit(options.work_dir)
        journal = Journal(options.work_dir / "journal.sqlite3")
        failed = note_restart(journal)
        remove_orphans(journal, jobs_dir)
        try:
            return await _run_in_rooms(options, jobs_dir, journal, failed)
        finally:
            journal.close()


async def _run_in_rooms(
    options: WorkerOptions, jobs_dir: Path, journal: Journal, failed: list[JournalEntry]
) -> int:
    read_own_gpu = functools.partial(read_gpu, options.gpu_index)
    gpu = await trio.to_thread.run_sync(read_own_gpu)
    if options.gpu_index is not None and not gpu.memory_mb:
        raise UsageError(
            f"There is no GPU {options.gpu_index}: {as_sentence(gpu.problem or 'none was found')}"
        )
    trainer = SleapNNTrainer(options.trainer_python, gpu_uuid=gpu.uuid, limits=options.training_limits)
    capabilities = await trainer.probe()
    watch = ProblemWatch(read_own_gpu, capabilities)
    problems = await watch.look()
    for line in introduction(options.name, gpu, capabilities, problems):
        _say(line)
    history = History(options.work_dir / "history.jsonl")
    options = _with_own_room(options)
    if options.peer.is_remembered:
        _say("This worker enters the room that was joined here; --new-room makes one of its own.")
    account, room, connection = await _enter_room_in_time(options, SignalingResetError)
    while True:
        metadata = worker_metadata(gpu, capabilities, options.max_jobs, await watch.look())
        token_file = ResumeTokenFile(options.work_dir, room.room_id, options.name)
        membership = Membership(
            options.peer.endpoints, room, options.name, WORKER_ROLE, metadata, token_file.read()
        )
        try:
            with single_error():
                async with open_link(membership, account, on_change=_say, outlives_first_reset=True) as link:
                    token_file.write(link.resume_token)
                    _log.info(
                        "The worker is in the room.",
                        room=room.room_id,
                        worker=link.peer_id,
                        gpu=gpu.model,
                        torch_device=capabilities.torch_device,
                        problems=[problem.code for problem in problems],
                    )
                    roster = Roster(
                        link=link,
                        trainer=trainer,
                        history=history,
                        journal=journal,
                        failed=failed,
                        settings=_roster_settings(options, jobs_dir, connection),
                    )
                    failed = []
                    agent = Agent(
                        link=link,
                        roster=roster,
                        trainer_capabilities=capabilities,
                        read_gpu=read_own_gpu,
                        history=history,
                        max_jobs=options.max_jobs,
                        secret=connection.secret,
                    )
                    await _stay_in_room(agent, watch, link, account, room, options)
                    return 0
        except (RoomExpiredError, RoomNotFoundError) as error:
            options = _for_a_new_room(options, error)
        account, room, connection = await _enter_room_in_time(options, NetworkError)


def _forget_limit(work_dir: Path) -> None:
    """Forgets the limit that the worker had when it last ran: that of its settings holds again.

    Raises:
        StorageError: The folder can't be written.
    """
    try:
        limit_file(work_dir).clear()
    except OSError as error:
        raise StorageError(f"The folder {work_dir} can't be written: {as_clause(error)}.") from error


async def _obey_limit(options: WorkerOptions) -> None:
    await limit_file(options.work_dir).obey(
        options.peer.connection.limit, lambda rate: _say(limited("This worker", rate))
    )


def _for_a_new_room(options: WorkerOptions, error: RefusedError) -> WorkerOptions:
    """Returns the options to continue with after the room has ended.

    Raises:
        RefusedError: The room was named by the user, so the worker ends.
    """
    if options.peer.room is not None and not options.peer.is_remembered:
        raise error
    _say(f"{as_sentence(error)} Making a new room.")
    return attrs.evolve(options, peer=attrs.evolve(options.peer, room=None, is_remembered=False))


def _roster_settings(options: WorkerOptions, jobs_dir: Path, connection: ConnectionOptions) -> WorkerSettings:
    cache = FileCache(options.work_dir / "datasets", options.cache_bytes, options.keep_data_sec)
    cache.clean()
    kept = cache if options.cache_bytes and options.keep_data_sec else None
    return WorkerSettings(
        jobs_dir=jobs_dir,
        keep_results_sec=options.keep_results_sec,
        threads_per_job=options.threads,
        connection=connection,
        cache=kept,
        disk=WorkerDisk(options.work_dir, options.disk_quota_bytes, kept),
        max_dataset_bytes=options.max_dataset_bytes,
        resumes=options.resumes,
    )


def _with_own_room(options: WorkerOptions) -> WorkerOptions:
    """Treats a room that was joined here as the worker's own if the worker made it."""
    kept, peer = KeptRoomFile(options.work_dir).read(), options.peer
    if kept is None or not peer.is_remembered or peer.room is None:
        return options
    if not kept.is_same(RememberedRoom(peer.endpoints, peer.room, peer.connection.secret)):
        return options
    own = attrs.evolve(peer, endpoints=kept.place.endpoints, room=None, is_remembered=False)
    return attrs.evolve(options, peer=own)


async def _enter_room(options: WorkerOptions) -> tuple[Account, Room, ConnectionOptions]:
    """Signs in. Without a given room, makes or reopens the worker's own, with its secret."""
    endpoints, connection = options.peer.endpoints, options.peer.connection
    async with open_http(endpoints.http_url, endpoints.ca_file) as http:
        if options.peer.room is not None:
            account, room = await http.sign_in(), options.peer.room
        else:
            kept = await _enter_own_room(options, http)
            KeptRoomFile(options.work_dir).write(kept)
            account, room = kept.account, kept.place.room
            connection = attrs.evolve(connection, secret=kept.place.secret)
    if connection.secret is None:
        _say(SERVER_IS_TRUSTED)
    return account, room, connection


async def _enter_own_room(options: WorkerOptions, http: SignalingHTTP) -> KeptRoom:
    """Returns the room that the worker made before, or a new one, and prints how to join it."""
    endpoints, kept = options.peer.endpoints, KeptRoomFile(options.work_dir).read()
    own = None
    if (
        kept is not None
        and options.goes_back
        and kept.place.is_at(endpoints.ws_url, endpoints.http_url)
        and (kept.place.secret is not None) == options.with_secret
    ):
        own = await go_back(kept, http)
    if own is None:
        account = await http.sign_in()
        room = await http.create_room(account)
        secret = RoomSecret.generate() if options.with_secret else None
        own = KeptRoom(RememberedRoom(endpoints, room, secret), account)
        _say(f"Made room {room.room_id}.")
    else:
        _say(f"Back in room {own.place.room.room_id}, which this worker made: its invite is still valid.")
    await say_how_to_join(endpoints, own.account, own.place.room, own.place.secret, with_qr=options.with_qr)
    return own


async def _enter_room_in_time(
    options: WorkerOptions, passing: type[NetworkError]
) -> tuple[Account, Room, ConnectionOptions]:
    """Enters a room, retrying for as long as only ``passing`` errors prevent it."""
    delays, said = iter(backoff_delays()), ""
    while True:
        try:
            return await _enter_room(options)
        except passing as error:
            if str(error) != said:
                said = str(error)
                _say(f"{as_sentence(error)} Trying again until it works.")
            await trio.sleep(next(delays))


async def _stay_in_room(
    agent: Agent, watch: ProblemWatch, link: Link, account: Account, room: Room, options: WorkerOptions
) -> None:
    """Serves one room until the worker is told to leave.

    A failure of the watch for problems, or of the room's renewal, costs some seconds of it.
    """
    async with trio.open_nursery() as nursery:
        # The agent and the signals are essential: a failure of theirs ends the worker.
        await nursery.start(_leave_on_signal, agent, nursery.cancel_scope)
        nursery.start_soon(keep_running, "The watch for problems failed.", watch.run, link)
        nursery.start_soon(keep_running, "The limit can't be changed.", _obey_limit, options)
        if options.peer.room is None:
            file = KeptRoomFile(options.work_dir)
            renewal = (options.peer.endpoints, account, room, file.renewed)
            nursery.start_soon(keep_running, "The room can't be kept open.", keep_room_open, *renewal)
        _say(f"{link.peer_id} is in room {room.room_id} and waits for jobs.")
        await agent.run()


async def _leave_on_signal(
    agent: Agent, leave_scope: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            _say("Leaving.")
            with contained("The clients can't be told."):  # a failure costs them that, and nobody the leaving
                for job in await agent.leave():
                    _say(
                        f"Job {job.job_id[:8]} is interrupted{job.place}. It continues when this worker "
                        "is started again; with --no-resume, its result is what it has so far."
                    )
            leave_scope.cancel()
            return


def _say(sentence: str) -> None:
    print(printable(sentence), flush=True)
