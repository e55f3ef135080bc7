"""Transfers a file with magic-wormhole, with a mailbox server of its own, for comparison.

Its programs are searched for beside this Python and on PATH (``pip install magic-wormhole
magic-wormhole-mailbox-server``, best into a separate environment).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_TIMEOUT_SEC = 20
TRANSFER_TIMEOUT_SEC = 120
CODE = "1-benchmark-transfer"
ON_ADDRESS = """
import sys
from wormhole import ipaddrs
address = sys.argv.pop(1)
ipaddrs.find_addresses = lambda: [address]
from wormhole.cli.cli import wormhole
sys.argv[0] = "wormhole"
wormhole()
"""
"""Runs wormhole with one change: it uses only the address that is its first argument."""
LOOPBACK = "127.0.0.1"


def find(name: str) -> str | None:
    """Returns the path of one of its programs, or None."""
    return shutil.which(name, path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))


def is_installed() -> bool:
    """Whether both of its programs can be found."""
    return find("wormhole") is not None and find("twist") is not None


@contextmanager
def open_mailbox(host: str = LOOPBACK, *, at: tuple[str, ...] = ()) -> Iterator[str]:
    """Runs a mailbox server; yields its URL.

    Args:
        host: Its address.
        at: The words before its command, which may put it into a network namespace.
    """
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [*at, str(find("twist")), "wormhole-mailbox", f"--port=tcp:{port}:interface={host}"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(host, port, at)
            yield f"ws://{host}:{port}/v1"
        finally:
            process.kill()
            process.wait()


def _wait_for(host: str, port: int, at: tuple[str, ...]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SEC
    connect = f"import socket; socket.create_connection(({host!r}, {port}), 1).close()"
    while subprocess.run([*at, sys.executable, "-c", connect], capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            raise TimeoutError("magic-wormhole's mailbox server didn't start")
        time.sleep(0.05)


def transfer_sec(
    mailbox_url: str,
    path: Path,
    *,
    addresses: tuple[str, str] = (LOOPBACK, LOOPBACK),
    at: tuple[tuple[str, ...], tuple[str, ...]] = ((), ()),
) -> float:
    """Returns the seconds from the first byte in the receiver's folder to the end of the receiver.

    Args:
        mailbox_url: The mailbox server.
        path: The file.
        addresses: The only address that the sender uses, and the receiver's.
        at: The words before the sender's command, and the receiver's.
    """
    python = str(Path(str(find("wormhole"))).with_name("python"))
    sender_words, receiver_words = (
        [*words, python, "-c", ON_ADDRESS, address, "--relay-url", mailbox_url, "--transit-helper", ""]
        for words, address in zip(at, addresses, strict=True)
    )
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        sender = subprocess.Popen(
            [*sender_words, "send", "--hide-progress", "--no-qr", "--code", CODE, str(path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        receiver = subprocess.Popen(
            [*receiver_words, "receive", "--hide-progress", "--accept-file", CODE],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return _time(receiver, Path(folder), path.stat().st_size)
        finally:
            for process in (sender, receiver):
                process.kill()
                process.wait()


def _time(receiver: subprocess.Popen[bytes], folder: Path, size_bytes: int) -> float:
    deadline = time.monotonic() + TRANSFER_TIMEOUT_SEC
    started: float | None = None
    while True:
        sizes = [entry.stat().st_size for entry in folder.iterdir()]
        if started is None and any(sizes):
            started = time.perf_counter()
        if started is not None and size_bytes in sizes and receiver.poll() is not None:
            return time.perf_counter() - started
        if time.monotonic() > deadline or (receiver.poll() is not None and size_bytes not in sizes):
            raise TimeoutError("magic-wormhole didn't transfer the file")
        time.sleep(0.005)
