"""Simulates a long network path between two loopback ports: datagrams are delayed, and some are lost."""

from __future__ import annotations

import heapq
import itertools
import random
import re
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

IDLE_SEC = 0.05
DATAGRAM_BYTES = 2048
BUFFER_BYTES = 4 * 2**20

_LINE = re.compile(r"a=candidate:[^\\\r\n]*(?:\\r\\n|\r\n)")
_MESSAGE = re.compile(r'"candidate": ?"[^"]+"')
_USABLE = re.compile(r"(candidate:\S+ \d+ udp \d+) 127\.0\.0\.1 (\d+) typ host", re.IGNORECASE)


def only_127_0_0_1(_: str, text: str) -> str | None:
    """Removes candidates that aren't UDP on 127.0.0.1 from a signaling message.

    Returns:
        The message, or None if it consists of such a candidate.
    """
    if any(not _USABLE.search(message) for message in _MESSAGE.findall(text)):
        return None
    return _LINE.sub(lambda line: line[0] if _USABLE.search(line[0]) else "", text)


class LongPath:
    """Relays datagrams between the sides of any number of connections. Use :func:`open_long_path`.

    In signaling, each candidate is replaced by a port of the path. Datagrams that arrive there are forwarded
    to the candidate, from the port that replaces their sender.
    """

    def __init__(self, rtt_sec: float, loss: float, seed: int) -> None:
        self._delay_sec = rtt_sec / 2
        self._loss = loss
        self._random = random.Random(seed)
        self._selector = selectors.DefaultSelector()
        self._stand_ins: dict[int, socket.socket] = {}
        self._ports: dict[int, int] = {}
        self._queue: list[tuple[float, int, socket.socket, bytes, int]] = []
        self._order = itertools.count()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.passed = self.lost = 0

    def rewrite(self, role: str, text: str) -> str | None:
        """Replaces candidates by ports of the path; removes those that aren't UDP on 127.0.0.1."""
        usable = only_127_0_0_1(role, text)
        return usable and _USABLE.sub(
            lambda match: f"{match[1]} 127.0.0.1 {self._stand_in(int(match[2]))} typ host", usable
        )

    def _stand_in(self, port: int) -> int:
        """Returns the port of the path that replaces a candidate's port."""
        if port not in self._stand_ins:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
            sock.setblocking(False)
            sock.bind(("127.0.0.1", 0))
            self._stand_ins[port] = sock
            self._selector.register(sock, selectors.EVENT_READ, port)
        return int(self._stand_ins[port].getsockname()[1])

    def start(self) -> None:
        """Starts to forward datagrams."""
        self._thread.start()

    def end(self) -> None:
        """Stops, and frees the ports."""
        self._ended.set()
        self._thread.join()
        for sock in self._stand_ins.values():
            sock.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            wait_sec = IDLE_SEC
            if self._queue:
                wait_sec = min(max(self._queue[0][0] - time.monotonic(), 0), IDLE_SEC)
            if not self._stand_ins:
                time.sleep(IDLE_SEC)
                continue
            for key, _ in self._selector.select(wait_sec):
                assert isinstance(key.fileobj, socket.socket)
                self._read(key.fileobj, key.data)
            self._send_due()

    def _read(self, sock: socket.socket, port: int) -> None:
        due_sec = time.monotonic() + self._delay_sec
        for _ in range(64):
            try:
                datagram, (_, source) = sock.recvfrom(DATAGRAM_BYTES)
            except OSError:
                return
            stand_in = self._stand_ins.get(source)
            if stand_in is None or self._random.random() < self._loss:
                self.lost += 1
                continue
            heapq.heappush(self._queue, (due_sec, next(self._order), stand_in, datagram, port))

    def _send_due(self) -> None:
        now = time.monotonic()
        while self._queue and self._queue[0][0] <= now:
            _, _, sock, datagram, port = heapq.heappop(self._queue)
            self.passed += 1
            try:
                sock.sendto(datagram, ("127.0.0.1", port))
            except OSError:
                continue  # the receiver's socket is closed


@contextmanager
def open_long_path(*, rtt_sec: float, loss: float, seed: int = 1) -> Iterator[LongPath]:
    """Runs a path in a thread while the block runs."""
    path = LongPath(rtt_sec, loss, seed)
    path.start()
    try:
        yield path
    finally:
        path.end()
