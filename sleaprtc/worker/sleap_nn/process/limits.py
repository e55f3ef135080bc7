"""The owner's limits for one training: hours, memory, disk."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import attrs
import psutil
import trio

from ....errors import TrainerError
from ....protocol.limits import MIB
from ....protocol.vocabulary import ErrorCode

CHECK_INTERVAL_SEC: Final = 2.0
"""The time between two measurements, each of which takes a few milliseconds of one core."""

STOP_GRACE_SEC: Final = 15 * 60.0
"""How long a training whose time is over may take to finish its epoch and keep its best model."""

SECONDS_AN_HOUR: Final = 3600.0


@attrs.frozen
class TrainingLimits:
    """The owner's limits for one training; infinite means none.

    Attributes:
        max_sec: When it's over, training ends with the best model so far.
        max_memory_bytes: Resident memory of all its processes together.
        max_disk_bytes: What lies in the job's folder, its dataset included.
    """

    max_sec: float = math.inf
    max_memory_bytes: float = math.inf
    max_disk_bytes: float = math.inf

    @property
    def time_sentence(self) -> str:
        """The beginning of the sentence for a client whose time is over."""
        return f"The worker's owner allows {self.max_sec / SECONDS_AN_HOUR:g} hours per job, which are over"

    def excess(self, memory_bytes: float, disk_bytes: float) -> TrainerError | None:
        """Returns the error for a training that takes too much now, or None."""
        if memory_bytes > self.max_memory_bytes:
            return TrainerError(
                f"The job took {memory_bytes / MIB:.0f} MiB of memory, and the worker's owner allows "
                f"{self.max_memory_bytes / MIB:.0f}: a smaller batch or smaller images take less.",
                error_code=ErrorCode.MEMORY_LIMIT,
            )
        if disk_bytes > self.max_disk_bytes:
            return TrainerError(
                f"The job took {disk_bytes / MIB:.0f} MiB of disk, and the worker's owner allows "
                f"{self.max_disk_bytes / MIB:.0f}.",
                error_code=ErrorCode.DISK_LIMIT,
            )
        return None


NO_LIMITS: Final = TrainingLimits()
LACKS_DISK: Final = TrainerError(
    "The job takes more of the worker's disk than it reserved, and other jobs have reserved the rest.",
    error_code=ErrorCode.DISK_FULL,
    recoverable=True,
)


def memory_of_group(group: int) -> int:
    """Returns the resident bytes of a process group. Shared pages count once for each process."""
    total = 0
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group:
                total += process.memory_info().rss
        except (psutil.Error, OSError):
            continue  # ended meanwhile
    return total


def disk_of(path: Path) -> int:
    """Returns the bytes that a file, or the files below a folder, occupy. Links aren't followed."""
    if not path.is_dir():
        return _occupied_bytes(path)
    return sum(
        _occupied_bytes(Path(directory, name)) for directory, _, names in os.walk(path) for name in names
    )


def _occupied_bytes(path: Path) -> int:
    try:
        status = path.lstat()
    except OSError:
        return 0  # gone meanwhile
    return status.st_blocks * 512 if stat.S_ISREG(status.st_mode) else 0


async def wait_for_excess(
    limits: TrainingLimits,
    *,
    group: int,
    files: Sequence[Path],
    lacks_disk: Callable[[], bool],
    end_early: Callable[[], None],
    spent_sec: float = 0.0,
) -> TrainerError:
    """Waits until a training exceeds a limit; returns the error to end it with.

    A failure to watch is raised and costs the job: the owner's limits hold.

    Args:
        limits: The owner's.
        group: The process group that trains.
        files: The job's files and folders; their sizes are added up.
        lacks_disk: Whether the job takes disk that others have reserved; called in a thread.
        end_early: Called when the time is over. Only a training that then doesn't end exceeds the limit.
        spent_sec: Time that earlier processes of the same training took.
    """
    send, receive = trio.open_memory_channel[TrainerError](2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch_time, limits, spent_sec, end_early, send)
        nursery.start_soon(_watch_size, limits, group, files, lacks_disk, send)
        excess = await receive.receive()
        nursery.cancel_scope.cancel()
    return excess


async def _watch_size(
    limits: TrainingLimits,
    group: int,
    files: Sequence[Path],
    lacks_disk: Callable[[], bool],
    send: trio.MemorySendChannel[TrainerError],
) -> None:
    def look() -> TrainerError | None:
        memory_bytes = memory_of_group(group) if limits.max_memory_bytes < math.inf else 0
        disk_bytes = sum(map(disk_of, files)) if limits.max_disk_bytes < math.inf else 0
        excess = limits.excess(memory_bytes, disk_bytes)
        return LACKS_DISK if excess is None and lacks_disk() else excess

    while True:
        excess = await trio.to_thread.run_sync(look)
        if excess is not None:
            await send.send(excess)
            return
        await trio.sleep(CHECK_INTERVAL_SEC)


async def _watch_time(
    limits: TrainingLimits,
    spent_sec: float,
    end_early: Callable[[], None],
    send: trio.MemorySendChannel[TrainerError],
) -> None:
    await trio.sleep(max(0.0, limits.max_sec - spent_sec))
    end_early()
    await trio.sleep(STOP_GRACE_SEC)
    sentence = f"{limits.time_sentence}; nothing was finished {STOP_GRACE_SEC / 60:.0f} minutes later."
    await send.send(TrainerError(sentence, error_code=ErrorCode.TIME_LIMIT))
