"""A long path between two network namespaces, in user space: ``with open_path(PathSettings()) as path``.

Each namespace has a TUN device. A process of its own reads packets from one, holds them as a line of some
rate and length would, and writes them into the other. Kernels without netem can't do it themselves. Needs
root and iproute2. Nothing outside the two namespaces is touched.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

_CLONE_NEWNET = 0x40000000  # sched.h
_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_IFF_TUN_NO_PI = 0x1001
_LEAST_QUEUE_BYTES = 15_000
"""Ten packets, as routers have at least."""
_TURN_PACKETS = 64
_REST_SEC = 0.05
_PATIENCE_SEC = 10


def missing_for_emulation() -> str | None:
    """Returns why a path can't be emulated here, or None if it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "there is no command `ip` (Debian: iproute2)"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    return None


@attrs.frozen
class PathSettings:
    """The path, the same in both directions.

    Attributes:
        rtt_ms: The round trip of an empty path, in milliseconds.
        mbit: The rate of the line, in Mbit/s.
        queue_bdp: The room before the line, in products of rate and round trip.
        loss: The share of packets that the path loses at random.
    """

    rtt_ms: float = 50
    mbit: float = 200
    queue_bdp: float = 1
    loss: float = 0

    @property
    def bytes_per_sec(self) -> float:
        """The rate of the line."""
        return self.mbit * 1e6 / 8

    @property
    def bdp_bytes(self) -> float:
        """What the empty path holds."""
        return self.bytes_per_sec * self.rtt_ms / 1000


@attrs.frozen
class Counts:
    """Packets and bytes so far, from the first namespace to the second."""

    passed_packets: int
    lost_packets: int
    dropped_packets: int
    dropped_bytes: int


class _Way:
    """One direction: a queue of limited size, a line, and a delay."""

    def __init__(self, settings: PathSettings, seed: int) -> None:
        self._random = random.Random(seed)
        self._line_free_at = 0.0
        self.waiting: deque[tuple[float, bytes]] = deque()
        self.passed = self.lost = self.dropped = self.dropped_bytes = 0
        self.set(settings)

    def set(self, settings: PathSettings) -> None:
        self._rate, self._delay, self._loss = settings.bytes_per_sec, settings.rtt_ms / 2000, settings.loss
        self._room_sec = max(settings.bdp_bytes * settings.queue_bdp, _LEAST_QUEUE_BYTES) / self._rate

    def take(self, packet: bytes, now: float) -> None:
        if self._loss and self._random.random() < self._loss:
            self.lost += 1
            return
        begins = max(now, self._line_free_at)
        if begins - now > self._room_sec:
            self.dropped += 1
            self.dropped_bytes += len(packet)
            return
        self._line_free_at = begins + len(packet) / self._rate
        self.waiting.append((self._line_free_at + self._delay, packet))

    def counts(self) -> Counts:
        return Counts(self.passed, self.lost, self.dropped, self.dropped_bytes)


def _in_namespace(namespace: str, name: str) -> int:
    """Opens a TUN device in a namespace, from a thread, whose namespace alone changes."""
    libc = ctypes.CDLL(None, use_errno=True)
    opened: list[int | OSError] = []

    def inside() -> None:
        try:
            place = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
            failed = libc.setns(place, _CLONE_NEWNET)
            tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN_NO_PI))
            opened.append(OSError(ctypes.get_errno(), "setns") if failed else tun)
        except OSError as error:
            opened.append(error)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    if isinstance(opened[0], OSError):
        raise opened[0]
    return opened[0]


class _Commands:
    """Carries out what the parent asks for: lines of JSON, each a path's settings, or null for counts."""

    def __init__(self, file: int, ways: tuple[_Way, _Way]) -> None:
        self._file = file
        self._ways = ways
        self._unread = b""

    def read(self) -> bool:
        """Returns whether there may be more."""
        read = os.read(self._file, 65536)
        *lines, self._unread = (self._unread + read).split(b"\n")
        for line in lines:
            asked = json.loads(line)
            for way in self._ways:
                if asked is not None:
                    way.set(PathSettings(**asked))
            print(json.dumps(attrs.asdict(self._ways[0].counts())), flush=True)
        return bool(read)


def _read_packets(source: int, way: _Way, now: float) -> None:
    with suppress(BlockingIOError):
        for _ in range(_TURN_PACKETS):
            way.take(os.read(source, 65536), now)


def _write_packets(target: int, way: _Way, now: float) -> None:
    waiting = way.waiting
    while waiting and waiting[0][0] <= now:
        way.passed += 1
        try:
            os.write(target, waiting.popleft()[1])
        except OSError:  # its end takes no more, or isn't up yet
            way.dropped += 1


def _forward(tuns: tuple[int, int], ways: tuple[_Way, _Way], commands_file: int) -> None:
    """Forwards until the parent has ended."""
    commands = _Commands(commands_file, ways)
    pairs = ((tuns[0], ways[0], tuns[1]), (tuns[1], ways[1], tuns[0]))
    while True:
        due = [way.waiting[0][0] for way in ways if way.waiting]
        rest = min(max(min(due) - time.monotonic(), 0), _REST_SEC) if due else _REST_SEC
        readable, _, _ = select.select([*tuns, commands_file], [], [], rest)
        if commands_file in readable and not commands.read():
            return
        for source, way, target in pairs:
            now = time.monotonic()
            if source in readable:
                _read_packets(source, way, now)
            _write_packets(target, way, now)


class LongPath:
    """A running path. Use :func:`open_path`.

    Attributes:
        settings: What it is now.
        namespaces: The names of its two ends.
        addresses: Their IPv4 addresses.
    """

    addresses = ("10.79.0.1", "10.79.0.2")

    def __init__(
        self, settings: PathSettings, namespaces: tuple[str, str], process: subprocess.Popen[str]
    ) -> None:
        self.settings = settings
        self.namespaces = namespaces
        self._process = process

    def at(self, end: int) -> tuple[str, ...]:
        """Returns the words before a command that runs it at an end, 0 or 1."""
        return ("ip", "netns", "exec", self.namespaces[end])

    def change(self, **settings: float) -> None:
        """Changes the path while packets pass."""
        self.settings = attrs.evolve(self.settings, **settings)
        self._ask(attrs.asdict(self.settings))

    def counts(self) -> Counts:
        """Returns what has passed so far."""
        return self._ask(None)

    def _ask(self, what: dict[str, Any] | None) -> Counts:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return Counts(**json.loads(self._process.stdout.readline()))


@contextmanager
def open_path(settings: PathSettings) -> Iterator[LongPath]:
    """Makes two namespaces and a path between them; removes both at the end."""
    namespaces = (f"path{os.getpid()}a", f"path{os.getpid()}b")
    try:
        for namespace in namespaces:
            _ip("netns", "add", namespace)
            _ip("-n", namespace, "link", "set", "lo", "up")
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.emulation", *namespaces, json.dumps(attrs.asdict(settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # Ctrl-C is for its parent, which ends it last
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if process.stdout.readline() != "ready\n":
                raise OSError("The emulation didn't start.")
            for namespace, address in zip(namespaces, LongPath.addresses, strict=True):
                _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", "path0")
                _ip("-n", namespace, "link", "set", "path0", "txqueuelen", "10000", "up")
            yield LongPath(settings, namespaces, process)
        finally:
            process.stdin.close()
            process.wait(_PATIENCE_SEC)
            process.stdout.close()
    finally:
        for namespace in namespaces:
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _main(first: str, second: str, settings: str) -> None:
    path = PathSettings(**json.loads(settings))
    tuns = (_in_namespace(first, "path0"), _in_namespace(second, "path0"))
    print("ready", flush=True)
    _forward(tuns, (_Way(path, 1), _Way(path, 2)), 0)


if __name__ == "__main__":
    _main(*sys.argv[1:])
