"""Ends the process groups of an owner that is gone, even if the owner was killed.

It runs as a script with a pipe as standard input. Each line is ``+PGID`` for a group that was started, or
``-PGID`` for one that has ended. The end of the pipe means that the owner is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

GRACE_SEC = 10.0
"""How long a program has after SIGTERM to end its own children."""


def end_groups(groups: set[int]) -> None:
    """Sends SIGTERM to the groups, and SIGKILL to those that remain after :data:`GRACE_SEC`."""
    deadline = time.monotonic() + GRACE_SEC
    signaled = {group for group in groups if send(group, signal.SIGTERM)}
    while signaled and time.monotonic() < deadline:
        time.sleep(0.1)
        signaled = {group for group in signaled if send(group, 0)}
    for group in signaled:
        send(group, signal.SIGKILL)


def send(group: int, number: int) -> bool:
    """Sends a signal to a group; returns whether the group still existed."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        return True
    return False


def main() -> None:
    """Reads the owner's list until its end, then ends the groups that are left on it."""
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    end_groups(groups)


if __name__ == "__main__":
    main()
