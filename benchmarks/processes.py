"""Runs a server in a process of its own, and measures its processor time and memory."""

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
    """A running server.

    Attributes:
        pid: Its process id.
        ports: The ports that it printed: the WebSocket port, and for our server the HTTP port.
    """

    pid: int
    ports: tuple[int, ...]

    def cpu_sec(self) -> float:
        """Returns the processor time of all its threads so far, in nanosecond resolution (Linux, proc(5))."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def resident_kib(self) -> float:
        """Returns its resident memory in KiB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1024


@contextmanager
def running(*arguments: str) -> Iterator[Running]:
    """Runs ``python -m ARGUMENTS`` during the block, which starts once it has printed its ports."""
    process = subprocess.Popen([sys.executable, "-m", *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Running(process.pid, tuple(map(int, process.stdout.readline().split())))
    finally:
        process.kill()
        process.wait(PATIENCE_SEC)


def raise_file_limit(count: int) -> None:
    """Raises the limit of open files, for this process and those that it starts, up to the hard limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
