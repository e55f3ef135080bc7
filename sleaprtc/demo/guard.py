"""Ends process groups whose owner is gone, even if the owner was killed without a chance to do it.

Run as a file with a pipe as standard input. Each line is ``+PGID`` or ``-PGID``, a group that was started
or has ended; the end of the pipe means that the owner is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

GRACE_SEC = 10.0
"""What a program gets to end its own children in, after SIGTERM."""


def end_groups(groups: set[int]) -> None:
    """Asks the groups to end, and kills what remains of them after :data:`GRACE_SEC`."""
    deadline = time.monotonic() + GRACE_SEC
    signaled = {group for group in groups if send(group, signal.SIGTERM)}
    while signaled and time.monotonic() < deadline:
        time.sleep(0.1)
        signaled = {group for group in signaled if send(group, 0)}
    for group in signaled:
        send(group, signal.SIGKILL)


def send(group: int, number: int) -> bool:
    """Signals a group; returns whether there still was one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        return True
    return False


def main() -> None:
    """Follows the owner's list to its end, then ends what is left on it."""
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
