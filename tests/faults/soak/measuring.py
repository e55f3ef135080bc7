"""Resident memory, descriptors and threads of each process over its life (Linux, proc(5))."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import attrs
import trio

INTERVAL_SEC = 1.0
STARTED_SEC = 4.0
"""After this time a process counts as started: it has imported all of its modules."""

WARM_JOBS = 4
"""Jobs before growth is measured, since a process may keep what it allocates in its first ones."""

CALMEST_OF = 10
"""Of this many samples the least counts, since a running job has descriptors and threads of its own."""

ENOUGH_JOBS = 20
"""Growth over fewer jobs of one process isn't judged: one-time allocations would outweigh it."""

MOST_DESCRIPTORS_PER_JOB = 0.2
MOST_THREADS_PER_JOB = 0.2
MOST_MEMORY_MB_PER_JOB = 1.0


@attrs.frozen
class Sample:
    """A process at one moment."""

    memory_mb: float
    descriptors: int
    threads: int


def sample(pid: int) -> Sample | None:
    """Measures a process; returns None if it has ended."""
    with suppress(OSError, ValueError, IndexError):
        folder = Path(f"/proc/{pid}")
        pages = int((folder / "statm").read_text().split()[1])
        descriptors = len(list((folder / "fd").iterdir()))
        threads = len(list((folder / "task").iterdir()))
        if threads:
            return Sample(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, descriptors, threads)
    return None


def least(samples: Iterable[Sample]) -> Sample:
    """Returns the minimum of each figure."""
    figures = zip(*map(attrs.astuple, samples), strict=True)
    return Sample(*map(min, figures))


def most(samples: Iterable[Sample]) -> Sample:
    """Returns the maximum of each figure."""
    figures = zip(*map(attrs.astuple, samples), strict=True)
    return Sample(*map(max, figures))


@attrs.define
class Life:
    """One process from its start to its end.

    Attributes:
        name: The server's, worker's or client's name.
        pid: Its process id.
        born_at: When it was first seen, on Trio's clock.
        start: The sample taken once it had started.
        warm: The sample taken once it had done its first jobs.
        latest: The last samples.
        peak: The maximum of each figure.
        jobs: How many jobs it has done.
        warm_jobs: How many of them it had done when ``warm`` was taken.
    """

    name: str
    pid: int
    born_at: float
    start: Sample | None = None
    warm: Sample | None = None
    latest: deque[Sample] = attrs.field(factory=lambda: deque(maxlen=CALMEST_OF))
    peak: Sample | None = None
    jobs: int = 0
    warm_jobs: int = 0

    @property
    def end(self) -> Sample:
        """The figures at its end, or now if it still runs."""
        return least(self.latest)

    def see(self, seen: Sample, now: float) -> None:
        """Adds a sample of the process."""
        self.latest.append(seen)
        self.peak = most([self.peak or seen, seen])
        if self.start is None and now - self.born_at >= STARTED_SEC:
            self.start = seen
        if self.warm is None and self.jobs >= WARM_JOBS:
            self.warm, self.warm_jobs = self.end, self.jobs


@attrs.define
class Census:
    """All processes of a soak, past and present."""

    lives: list[Life] = attrs.field(factory=list)
    _now: dict[str, Life] = attrs.field(factory=dict)

    def see(self, pids: Mapping[str, int], now: float) -> None:
        """Samples all running processes."""
        for name, pid in pids.items():
            life = self._now.get(name)
            if life is None or life.pid != pid:
                life = self._now[name] = Life(name, pid, now)
                self.lives.append(life)
            seen = sample(pid)
            if seen is not None:
                life.see(seen, now)

    def job_done(self, *names: str) -> None:
        """Counts a job for the processes that took part in it."""
        for name in names:
            if name in self._now:
                self._now[name].jobs += 1

    async def run(self, pids: Callable[[], Mapping[str, int]]) -> None:
        """Samples repeatedly until cancelled."""
        while True:
            self.see(pids(), trio.current_time())
            await trio.sleep(INTERVAL_SEC)


@attrs.frozen
class Growth:
    """The figures of all processes of one name, or of one kind.

    Attributes:
        name: The processes' name, or ``client`` for all clients.
        lives: The number of processes.
        jobs: The number of jobs that they have done together.
        start: The first process's figures once it had started.
        end: The last process's figures at its end.
        peak: The maximum of each figure.
        jobs_counted: The number of jobs over which the growth is measured.
        per_job: The growth for each job, over the processes that have done enough jobs, if there are any.
        is_judged: Whether there are such processes.
    """

    name: str
    lives: int
    jobs: int
    start: Sample | None
    end: Sample | None
    peak: Sample | None
    jobs_counted: int = 0
    per_job: tuple[float, float, float] | None = None
    is_judged: bool = False


def growth_of(name: str, lives: list[Life]) -> Growth:
    """Combines the lives of one process and of those that replaced it."""
    seen = [life for life in lives if life.latest]
    grown = [life for life in seen if life.warm is not None and life.jobs > life.warm_jobs]
    long = [life for life in grown if life.jobs - life.warm_jobs >= ENOUGH_JOBS]
    grown = long or grown
    jobs = sum(life.jobs - life.warm_jobs for life in grown)
    per_job = None
    if jobs:
        sums = [
            sum(getattr(life.end, figure) - getattr(life.warm, figure) for life in grown) / jobs
            for figure in ("memory_mb", "descriptors", "threads")
        ]
        per_job = (sums[0], sums[1], sums[2])
    peaks = [life.peak for life in seen if life.peak is not None]
    return Growth(
        name,
        lives=len(seen),
        jobs=sum(life.jobs for life in seen),
        start=next((life.start for life in seen if life.start is not None), None),
        end=seen[-1].end if seen else None,
        peak=most(peaks) if peaks else None,
        jobs_counted=jobs,
        per_job=per_job,
        is_judged=bool(long),
    )


def clients_of(lives: list[Life]) -> Growth:
    """Combines clients, each of which does one job: the peaks of the first, of the last, and of any."""
    peaks = [life.peak for life in lives if life.peak is not None and life.start is not None]
    first, last, highest = (peaks[0], peaks[-1], most(peaks)) if peaks else (None, None, None)
    return Growth("clients", len(lives), sum(life.jobs for life in lives), first, last, highest)


def leaks_in(growth: Growth) -> list[str]:
    """Returns a sentence for each figure that grows with every job but shouldn't."""
    if growth.per_job is None or not growth.is_judged:
        return []
    limits = (MOST_MEMORY_MB_PER_JOB, MOST_DESCRIPTORS_PER_JOB, MOST_THREADS_PER_JOB)
    names = ("MiB of memory", "descriptors", "threads")
    return [
        f"{growth.name} keeps {grown:.2f} {what} of every job, over {growth.jobs_counted} jobs"
        for grown, most, what in zip(growth.per_job, limits, names, strict=True)
        if grown > most
    ]
