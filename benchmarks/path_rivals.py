"""iperf3 and ping over an emulated path, at the same time as a transfer or in turns with it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from .emulation import LongPath
from .path_figures import Echo

PATIENCE_SEC = 20
MOST_SEC = 600
TCP_BUFFERS = "4096 131072 67108864"
"""Least, first and most bytes of a socket: enough for every path here, so that only CUBIC sets the window."""
_ECHO = re.compile(r"^\[(?P<at>[\d.]+)\].* time=(?P<rtt>[\d.]+) ms")


class RivalFailedError(Exception):
    """iperf3 ended without a result."""


def has_iperf() -> bool:
    """Whether iperf3 is installed."""
    return shutil.which("iperf3") is not None


def has_ping() -> bool:
    """Whether ping is installed."""
    return shutil.which("ping") is not None


def give_tcp_buffers(path: LongPath) -> None:
    """Lets the kernel's TCP fill the path, in the path's two namespaces alone."""
    for end in (0, 1):
        for name in ("tcp_rmem", "tcp_wmem"):
            script = f"echo {TCP_BUFFERS} > /proc/sys/net/ipv4/{name}"
            subprocess.run([*path.at(end), "sh", "-c", script], check=True)


# --- iperf3 -----------------------------------------------------------------------------------


@attrs.frozen
class Stream:
    """What one TCP stream carried.

    Attributes:
        bytes_per_sec: Its rate, as the receiver counted.
        began_sec: When it began, in seconds since the epoch.
        ended_sec: When it ended.
    """

    bytes_per_sec: float
    began_sec: float
    ended_sec: float


def run_iperf(
    path: LongPath, *, byte_count: int | None = None, seconds: int = 0, backwards: bool = False
) -> Stream:
    """Runs one stream with CUBIC to its end.

    Args:
        path: The path.
        byte_count: How much to send; None for as much as it can in ``seconds``.
        seconds: How long to send, if ``byte_count`` is None.
        backwards: From the second end to the first.

    Raises:
        RivalFailedError: iperf3 ended without a result.
    """
    amount = ("-t", str(seconds)) if byte_count is None else ("-n", str(byte_count))
    words = ("-c", path.addresses[1], "-C", "cubic", "-J", *amount, *(("-R",) if backwards else ()))
    with _serving(path):
        began_sec = time.time()
        try:
            ended = subprocess.run(
                [*path.at(0), "iperf3", *words], capture_output=True, text=True, timeout=MOST_SEC, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise RivalFailedError(f"iperf3 took longer than {MOST_SEC} s.") from error
        ended_sec = time.time()
    said: dict[str, Any] = json.loads(ended.stdout or "{}")
    if "sum_received" not in said.get("end", {}):
        raise RivalFailedError(f"iperf3 failed: {said.get('error', ended.stderr.strip())}")
    return Stream(said["end"]["sum_received"]["bits_per_second"] / 8, began_sec, ended_sec)


@contextmanager
def _serving(path: LongPath) -> Iterator[None]:
    process = subprocess.Popen(
        [*path.at(1), "iperf3", "-s", "-1", "--forceflush"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "listening" in line:
                break
        yield
    finally:
        _end(process)


# --- ping -------------------------------------------------------------------------------------


@contextmanager
def pinging(path: LongPath) -> Iterator[list[Echo]]:
    """Sends a ping every 100 ms, through the path's queue; yields a list that grows with the answers."""
    echoes: list[Echo] = []
    process = subprocess.Popen(
        [*path.at(0), "ping", "-n", "-D", "-i", "0.1", path.addresses[1]], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = process.stdout

    def read() -> None:
        for found in map(_ECHO.match, lines):
            if found is not None:
                echoes.append(Echo(float(found["at"]), float(found["rtt"])))  # noqa: PERF401 - while it grows

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield echoes
    finally:
        process.terminate()
        thread.join(PATIENCE_SEC)
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE_SEC)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
