"""Runs a command several times while other processes keep all cores busy: ``tox -e py311-steady -- 5``.

It ends with 0 if every run did.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def busy_cores() -> Iterator[None]:
    """Keeps a process for each core counting."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main(runs: int, command: list[str]) -> int:
    statuses: list[int] = []
    with busy_cores():
        for number in range(1, runs + 1):
            started = time.monotonic()
            statuses.append(subprocess.run(command, check=False).returncode)
            took_sec = time.monotonic() - started
            print(f"run {number} of {runs}: exit status {statuses[-1]} after {took_sec:.0f} s", flush=True)
    return int(any(statuses))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
