"""``python -m sleaprtc.worker``: offers this machine to the people in a room."""

from __future__ import annotations

import logging
import math
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import click
from click.core import ParameterSource

from ..access.place import PeerOptions
from ..base.printable import printable
from ..commandline.log_options import log_options, start_log
from ..commandline.numbers import FiniteRange, rate_argument
from ..commandline.options import peer_options
from ..commandline.programs import ProgramGroup
from ..commandline.run import run
from ..commandline.settings_option import config_file_option
from ..errors import UsageError
from ..protocol.limits import MIB

if TYPE_CHECKING:
    from .program import WorkerOptions

MAX_THREADS_BY_DEFAULT: Final = 8
SECONDS_A_DAY: Final = 86_400.0


def default_threads(core_count: int, max_jobs: int) -> int:
    """Leaves one core for transfers. More threads than free cores slow training down a lot."""
    return min(max((core_count - 1) // max_jobs, 1), MAX_THREADS_BY_DEFAULT)


def _checked_name(name: str) -> str:
    """Makes sure that a worker's name can be a peer id.

    Raises:
        UsageError: It is empty, too long, or has characters that don't print.
    """
    if not name.isprintable() or not 1 <= len(name) <= 128:
        raise UsageError("A worker's name has 1 to 128 printable characters.")
    return name


_HELP: Final = {"help_option_names": ["-h", "--help"]}
_name_option = click.option(
    "--name", envvar="SLEAP_RTC_WORKER_NAME", help="Name in the room.  [default: this host's name]"
)
_work_dir_option = click.option(
    "--work-dir",
    envvar="SLEAP_RTC_WORK_DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where jobs keep their files while they run.",
)


@click.group(
    cls=ProgramGroup,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND [ARGS]...]",
    context_settings=_HELP,
)
@config_file_option("worker")
@peer_options
@_name_option
@_work_dir_option
@click.option("--max-jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Jobs at once.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads per job.  [default: all cores but one]")
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
@click.option(
    "--keep-results",
    type=FiniteRange(min=0),
    default=7.0,
    show_default=True,
    metavar="DAYS",
    help="How long to keep models that nobody has fetched.",
)
@click.option(
    "--keep-data",
    type=FiniteRange(min=0),
    default=30.0,
    show_default=True,
    metavar="DAYS",
    help="How long to keep datasets and models of earlier jobs after their last use; 0 keeps none.",
)
@click.option(
    "--cache-size-mb",
    envvar="SLEAP_RTC_CACHE_SIZE_MB",
    type=click.IntRange(min=0),
    default=10_240,
    show_default=True,
    metavar="MIB",
    help="Disk for datasets of earlier jobs, which needn't be sent again; 0 keeps none.",
)
@click.option(
    "--no-secret",
    is_flag=True,
    help="Make a room without a secret, for clients that don't know one; the signaling server is then "
    "trusted.",
)
@click.option(
    "--qr/--no-qr",
    default=True,
    help="Draw the invite to a room that the worker makes as a QR code, on a terminal.  [default: yes]",
)
@click.option("--new-room", is_flag=True, help="Make a new room, whatever was joined here or made before.")
@click.option(
    "--no-resume",
    is_flag=True,
    help="Don't resume interrupted jobs: their best models so far become their results.",
)
@click.option(
    "--max-hours",
    envvar="SLEAP_RTC_MAX_HOURS",
    type=FiniteRange(min=0),
    default=168.0,
    show_default=True,
    metavar="HOURS",
    help="Time for one training, which then ends with the best model so far; 0 for no limit.",
)
@click.option(
    "--max-dataset-mb",
    envvar="SLEAP_RTC_MAX_DATASET_MB",
    type=click.IntRange(min=0),
    default=51_200,
    show_default=True,
    metavar="MIB",
    help="The largest dataset to accept; 0 for no limit.",
)
@click.option(
    "--max-job-mb",
    envvar="SLEAP_RTC_MAX_JOB_MB",
    type=click.IntRange(min=0),
    default=102_400,
    show_default=True,
    metavar="MIB",
    help="Disk for one job, its dataset included; 0 for no limit.",
)
@click.option(
    "--disk-quota",
    envvar="SLEAP_RTC_DISK_QUOTA",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="MIB",
    help="Disk for everything in the work folder, shared by all jobs; 0 for what the disk has.",
)
@click.option(
    "--max-memory-mb",
    envvar="SLEAP_RTC_MAX_MEMORY_MB",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="MIB",
    help="Main memory for the processes of one training; 0 for no limit.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log every detail.")
@log_options
@click.pass_context
def main(
    context: click.Context, /, log_format: str, log_level: str | None, verbose: bool, **given: Any
) -> None:
    """Take training jobs from the people in a room.

    Without --invite, the worker enters the room that was joined here with `sleap-rtc join`. If there is none,
    it makes a room of its own, prints what to paste on the machine with the labels, and returns to that room
    after a restart.
    """
    if context.invoked_subcommand is not None:
        return
    start_log(log_format, log_level, logging.INFO, verbose=verbose)

    async def command() -> int:
        from .program import run_worker  # so that --help and completion are quick

        return await run_worker(_worker_options(given))

    run(command)


@main.command("limit", context_settings=_HELP)
@rate_argument
@_name_option
@_work_dir_option
@click.pass_context
def limit(
    context: click.Context, bytes_per_sec: float | None, name: str | None, work_dir: Path | None
) -> None:
    """Change the rate at which the worker that runs here transfers files.

    RATE is what may be sent in a second, and received: 500K or 2M; none lifts the limit. It holds until the
    worker ends. --work-dir, or --name, is that of the worker.
    """
    program = context.parent.params if context.parent is not None else {}
    if context.get_parameter_source("work_dir") is not ParameterSource.COMMANDLINE:
        work_dir = program.get("work_dir")
    if context.get_parameter_source("name") is not ParameterSource.COMMANDLINE:
        name = program.get("name")

    async def command() -> None:
        from .journal.recovery import default_work_dir
        from .limit import set_limit

        folder = work_dir or default_work_dir(_checked_name(name or socket.gethostname()))
        click.echo(printable(set_limit(folder, bytes_per_sec)))

    run(command)


def _limit(amount: float, unit: float) -> float:
    """Returns a limit; zero (or "nan", which click accepts) means none."""
    return amount * unit if amount > 0 else math.inf


def _peer_or_new_room(peer: PeerOptions, *, new_room: bool) -> PeerOptions:
    """Returns which room to be in; without one, the worker makes its own.

    Raises:
        UsageError: A room was named besides --new-room.
    """
    if peer.to_remember is not None:
        click.echo(
            "Warning: --invite on the command line can be read by everyone on this machine; use "
            "SLEAP_RTC_INVITE, or `sleap-rtc join -`.",
            err=True,
        )
    if not new_room:
        return peer
    if peer.room is not None and not peer.is_remembered:
        raise UsageError("Either --new-room or the room that is named besides (--invite, --room).")
    return attrs.evolve(peer, room=None, is_remembered=False)


def _worker_options(given: Mapping[str, Any]) -> WorkerOptions:
    """Makes the program's options of what click collected; nothing else reads that dictionary.

    Raises:
        UsageError: An option can't be as it is, or two of them exclude each other.
    """
    from .journal.recovery import default_work_dir
    from .program import WorkerOptions
    from .sleap_nn.process.limits import SECONDS_AN_HOUR, TrainingLimits

    max_jobs = given["max_jobs"]
    name = _checked_name(given["name"] or socket.gethostname())
    return WorkerOptions(
        peer=_peer_or_new_room(given["peer"], new_room=given["new_room"]),
        name=name,
        with_secret=not given["no_secret"],
        with_qr=given["qr"],
        goes_back=not given["new_room"],
        work_dir=given["work_dir"] or default_work_dir(name),
        max_jobs=max_jobs,
        threads=given["threads"] or default_threads(os.cpu_count() or 1, max_jobs),
        gpu_index=given["gpu_index"],
        trainer_python=given["trainer_python"],
        keep_results_sec=given["keep_results"] * SECONDS_A_DAY,
        keep_data_sec=given["keep_data"] * SECONDS_A_DAY,
        cache_bytes=given["cache_size_mb"] * MIB,
        max_dataset_bytes=_limit(given["max_dataset_mb"], MIB),
        disk_quota_bytes=_limit(given["disk_quota"], MIB),
        resumes=not given["no_resume"],
        training_limits=TrainingLimits(
            max_sec=_limit(given["max_hours"], SECONDS_AN_HOUR),
            max_memory_bytes=_limit(given["max_memory_mb"], MIB),
            max_disk_bytes=_limit(given["max_job_mb"], MIB),
        ),
    )


if __name__ == "__main__":
    main()
