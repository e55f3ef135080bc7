"""Runs a command on a terminal of a given size, and hands back what a person would have seen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import attrs

TIMEOUT_SEC = 120


@attrs.frozen
class Shown:
    """How a command ended on its terminal.

    Attributes:
        status: Its exit status.
        text: All that it wrote, escape sequences included.
    """

    status: int
    text: str


def run_on_terminal(command, *, env, columns=80, lines=24, cwd=None, until=None, encoding="utf-8"):
    """Runs a command to its end, or until it has written ``until``, upon which it gets a SIGINT."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    with subprocess.Popen(
        [str(word) for word in command],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=env,
        cwd=cwd,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        try:
            text = _read(controller, process, until, encoding)
            return Shown(process.wait(TIMEOUT_SEC), text)
        finally:
            process.kill()
            os.close(controller)


def _read(controller, process, until, encoding):
    written, deadline = b"", time.monotonic() + TIMEOUT_SEC
    while True:
        assert time.monotonic() < deadline, written.decode(encoding, "replace")
        if not select.select([controller], [], [], 1)[0]:
            continue
        try:
            chunk = os.read(controller, 65536)
        except OSError:  # EIO: everyone at the other end is gone
            chunk = b""
        if not chunk:
            return written.decode(encoding, "replace")
        written += chunk
        if until is not None and until in written.decode(encoding, "replace"):
            process.send_signal(signal.SIGINT)
            until = None
