"""A server in a process of its own, and what it costs."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

PATIENCE_SEC = 20


@attrs.frozen
class Running:
    """A server that serves.

    Attributes:
        pid: Its process.
        ports: What it printed: the WebSocket port, and ours the HTTP port too.
    """

    pid: int
    ports: tuple[int, ...]

    def cpu_sec(self) -> float:
        """Processor time of all its threads so far, to the nanosecond (Linux, proc(5))."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def resident_kib(self) -> float:
        """Resident memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1024


@contextmanager
def running(*arguments: str) -> Iterator[Running]:
    """Runs ``python -m ARGUMENTS`` from its line of ports to the end of the block."""
    process = subprocess.Popen([sys.executable, "-m", *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Running(process.pid, tuple(map(int, process.stdout.readline().split())))
    finally:
        process.kill()
        process.wait(PATIENCE_SEC)


def raise_file_limit(count: int) -> None:
    """Lets this process and those that it starts have so many sockets."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
