"""Runs a command several times while other processes keep all cores busy: ``tox -e py311-steady -- 5``.

It ends with 0 if every run did, and the cores were busy all the while.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def busy_cores() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Keeps a process for each core counting."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main(runs: int, command: list[str]) -> int:
    is_steady = True
    for number in range(1, runs + 1):
        started = time.monotonic()
        with busy_cores() as busy:
            status = subprocess.run(command, check=False).returncode
            is_busy = all(process.poll() is None for process in busy)
        took_sec = time.monotonic() - started
        ended = "" if is_busy else ", which shows nothing: somebody has ended a busy process"
        print(f"run {number} of {runs}: exit status {status} after {took_sec:.0f} s{ended}", flush=True)
        is_steady &= status == 0 and is_busy
    return int(not is_steady)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the busy processes are ended
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
