"""``python -m sleaprtc.worker``: offers this machine to the people in a room."""

from __future__ import annotations

import functools
import logging
import os
import re
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import click
import platformdirs
import trio

from ..config_options import (
    PeerOptions,
    config_file_option,
    connection_options,
    peer_options,
    room_options,
)
from ..entrypoint import run
from ..errors import RoomExpiredError, RoomNotFoundError, StorageError, UsageError
from ..exception_groups import single_error
from ..signaling.http import Account, Room, open_http
from ..signaling.link import Link, Membership, open_link
from .agent import Agent, WorkerSettings
from .description import introduction, worker_metadata
from .gpu import read_gpu
from .history import History
from .own_room import keep_room_open
from .trainers.sleap_nn import SleapNNTrainer

MAX_THREADS_BY_DEFAULT: Final = 8


@attrs.frozen
class WorkerOptions:
    """What the command line says."""

    peer: PeerOptions
    name: str
    work_dir: Path
    max_jobs: int
    threads: int
    gpu_index: int | None
    trainer_python: Path | None


def default_threads(core_count: int, max_jobs: int) -> int:
    """One core stays free for the transfers; more threads than free cores slow training down a lot."""
    return min(max((core_count - 1) // max_jobs, 1), MAX_THREADS_BY_DEFAULT)


def _say(sentence: str) -> None:
    click.echo(sentence)


def _prepare_folders(options: WorkerOptions) -> Path:
    jobs_dir = options.work_dir / "jobs"
    try:
        jobs_dir.mkdir(parents=True, exist_ok=True)
        (jobs_dir / ".writable").touch()
    except OSError as error:
        raise StorageError(
            f"The work folder {options.work_dir} can't be written: {error.strerror}."
        ) from error
    return jobs_dir


async def _enter_room(options: WorkerOptions) -> tuple[Account, Room, bool]:
    """Signs in and returns the room to be in, and whether it is the worker's own."""
    async with open_http(options.peer.endpoints.http_url) as http:
        account = await http.sign_in()
        if options.peer.room is not None:
            return account, options.peer.room, False
        room = await http.create_room(account)
    _say(f"Made room {room.room_id}. Hand these to whoever trains here, and to further workers:")
    _say(f"  export SLEAP_RTC_ROOM_ID={room.room_id} SLEAP_RTC_TOKEN={room.token}")
    endpoints = options.peer.endpoints
    _say(f"  export SLEAP_RTC_SIGNALING_WS={endpoints.ws_url} SLEAP_RTC_SIGNALING_HTTP={endpoints.http_url}")
    return account, room, True


async def _leave_on_signal(agent: Agent, leave_scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            _say("Leaving.")
            await agent.leave()
            leave_scope.cancel()
            return


async def _serve(
    agent: Agent, link: Link, account: Account, room: Room, options: WorkerOptions, own: bool
) -> bool:
    """Works in one room until told to leave (True) or until a room of the worker's own has ended (False)."""
    try:
        with single_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_leave_on_signal, agent, nursery.cancel_scope)
                if own:
                    nursery.start_soon(keep_room_open, options.peer.endpoints, account, room)
                _say(f"{link.peer_id} is in room {room.room_id} and waits for jobs.")
                await agent.run()
    except (RoomExpiredError, RoomNotFoundError) as error:
        if not own:
            raise
        _say(f"{error} Making a new room.")
        return False
    return True


async def _work(options: WorkerOptions) -> int:
    jobs_dir = _prepare_folders(options)
    gpu_reader = functools.partial(read_gpu, options.gpu_index)
    gpu = await trio.to_thread.run_sync(gpu_reader)
    trainer = SleapNNTrainer(options.trainer_python, gpu_uuid=gpu.uuid)
    capabilities = await trainer.probe()
    for line in introduction(options.name, gpu, capabilities):
        _say(line)
    history = History(options.work_dir / "history.jsonl")
    settings = WorkerSettings(
        jobs_dir,
        options.max_jobs,
        options.threads,
        options.peer.ice_loopback,
        options.peer.ice_servers,
        options.peer.engine,
    )
    while True:
        account, room, own = await _enter_room(options)
        metadata = worker_metadata(gpu, capabilities, options.max_jobs)
        membership = Membership(options.peer.endpoints, room, options.name, "worker", metadata)
        async with open_link(membership, account, on_change=_say) as link:
            agent = Agent(
                link=link,
                trainer=trainer,
                trainer_capabilities=capabilities,
                read_gpu=gpu_reader,
                history=history,
                settings=settings,
            )
            if await _serve(agent, link, account, room, options, own):
                return 0


def _checked_name(name: str) -> str:
    """Makes sure that a worker's name can be a peer id.

    Raises:
        UsageError: It is empty, too long, or has characters that don't print.
    """
    if not name.isprintable() or not 1 <= len(name) <= 128:
        raise UsageError("A worker's name has 1 to 128 printable characters.")
    return name


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@config_file_option("worker")
@room_options
@connection_options
@click.option("--name", envvar="SLEAP_RTC_WORKER_NAME", help="Name in the room.  [default: this host's name]")
@click.option(
    "--work-dir",
    envvar="SLEAP_RTC_WORK_DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where jobs keep their files while they run.",
)
@click.option("--max-jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Jobs at once.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads a job.  [default: all cores but one]")
@click.option(
    "--gpu",
    "gpu_index",
    type=click.IntRange(0),
    help="Index of the GPU.  [default: most free memory]",
)
@click.option(
    "--trainer-python",
    envvar="SLEAP_RTC_TRAINER_PYTHON",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The Python in which sleap-nn is installed.  [default: this one]",
)
@click.option("-v", "--verbose", is_flag=True, help="Say more about what happens.")
def main(**given: Any) -> None:
    """Take training jobs from the people in a room.

    Without --room, a new room is made, and what to hand to others is printed.
    """
    logging.basicConfig(
        level=logging.DEBUG if given.pop("verbose") else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for noisy in ("aioice", "aiortc", "httpx", "httpcore", "trio-websocket"):
        logging.getLogger(noisy).setLevel(logging.WARNING)

    async def command() -> int:
        return await _work(_options(given))

    run(command)


def _default_work_dir(name: str) -> Path:
    return platformdirs.user_data_path("sleap-rtc") / "worker" / re.sub(r"[^\w-]", "_", name)


def _options(given: Mapping[str, Any]) -> WorkerOptions:
    max_jobs = given["max_jobs"]
    name = _checked_name(given["name"] or socket.gethostname())
    return WorkerOptions(
        peer=peer_options(given),
        name=name,
        work_dir=given["work_dir"] or _default_work_dir(name),
        max_jobs=max_jobs,
        threads=given["threads"] or default_threads(os.cpu_count() or 1, max_jobs),
        gpu_index=given["gpu_index"],
        trainer_python=given["trainer_python"],
    )


if __name__ == "__main__":
    main()
