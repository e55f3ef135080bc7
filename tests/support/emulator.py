"""A terminal that is read back: a pseudo-terminal with an emulator behind it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pyte

LIMIT_SEC = 120
OWN_TERMINAL = """
import fcntl, runpy, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""Runs a module with the terminal for its own, as a shell does, so that keys become signals."""

BEGIN_OF_UPDATE = b"\x1b[?2026h"
END_OF_UPDATE = b"\x1b[?2026l"

WARNINGS: Final = (
    *("-W", "error"),
    # as in pyproject.toml: what trio-asyncio imports is deprecated since Python 3.12
    *("-W", "ignore:'AbstractChildWatcher' is deprecated:DeprecationWarning"),
    *("-W", "ignore:'ThreadChildWatcher' is deprecated:DeprecationWarning"),
)


class Terminal:
    """A terminal with a process in it."""

    def __init__(
        self,
        columns: int,
        rows: int,
        command: Sequence[object],
        cwd: Any = None,
        inside: Sequence[str] = (),
        **environment: str,
    ) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=1000, ratio=0.1)
        self.raw = b""
        self._seen: list[str] = []
        self._stream = pyte.ByteStream(self.screen)
        self._fd, child_fd = pty.openpty()
        self.resize(columns)
        kept = {
            key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "LINES")
        }
        self.process = subprocess.Popen(
            [*inside, sys.executable, *WARNINGS, *map(str, command)],
            stdin=child_fd,
            stdout=child_fd,
            stderr=child_fd,
            start_new_session=True,
            cwd=cwd,
            env={**kept, "TERM": "xterm-256color", "COLORTERM": "", **environment},
        )
        os.close(child_fd)

    def type(self, keys: bytes) -> None:
        """Presses keys; Ctrl-C (``\\x03``) is a signal to a process that has this terminal for its own."""
        os.write(self._fd, keys)

    def resize(self, columns: int) -> None:
        rows = self.screen.lines
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)
        self._seen = self._drawn()

    def read(self) -> bool:
        """Reads what there is; False at the process' end."""
        ready, _, _ = select.select([self._fd], [], [], 0.1)
        try:
            data = os.read(self._fd, 65536) if ready else None
        except OSError:  # Linux' way to say that the other end is closed
            return False
        if data == b"":
            return False
        # Looking at the screen takes far longer than feeding it: once for each time of reading, or twice.
        end = -1 if data is None else data.rfind(END_OF_UPDATE)
        whole_bytes = end + len(END_OF_UPDATE) if end >= 0 else 0
        for piece in (data[:whole_bytes], data[whole_bytes:]) if data else ():
            self.raw += piece
            self._stream.feed(piece)
            if piece and self.raw.rfind(BEGIN_OF_UPDATE) <= self.raw.rfind(END_OF_UPDATE):
                self._seen = self._drawn()
        return True

    def lines(self) -> list[str]:
        """What can be seen, with what has been scrolled away above it: never half an update."""
        return self._seen

    def _drawn(self) -> list[str]:
        columns = range(self.screen.columns)
        above = ["".join(line[column].data for column in columns) for line in self.screen.history.top]
        return [line.rstrip() for line in [*above, *self.screen.display]]

    def wait_for(self, condition: Any, limit_sec: float = LIMIT_SEC) -> list[str]:
        deadline = time.monotonic() + limit_sec
        while not condition(self.lines()):
            assert time.monotonic() < deadline, "\n".join(self.lines())
            assert self.read(), "\n".join(self.lines())
        return self.lines()

    def finish(self, limit_sec: float = LIMIT_SEC) -> list[str]:
        deadline = time.monotonic() + limit_sec
        while self.read():
            assert time.monotonic() < deadline
        assert self.process.wait(LIMIT_SEC) == 0, "\n".join(self.lines())
        return self.lines()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)


@contextmanager
def opened_terminal(
    columns: int,
    rows: int,
    command: Sequence[object],
    cwd: Any = None,
    inside: Sequence[str] = (),
    **environment: str,
) -> Iterator[Terminal]:
    """A terminal in which this Python runs with a command's arguments, behind words that choose where."""
    opened = Terminal(columns, rows, command, cwd, inside, **environment)
    try:
        yield opened
    finally:
        opened.close()
