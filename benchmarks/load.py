"""A load generator that is as cheap as Python allows: raw sockets, and frames prepared in advance.

It shares two cores with the server that it measures, so it doesn't parse answers: it knows their sizes.
"""

from __future__ import annotations

import heapq
import select
import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence

import attrs

HOST = "127.0.0.1"
PATIENCE_SEC = 60
MASK = b"\x37\xfa\x21\x3d"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
AT_ONCE = 64
"""How many connections are opened at the same time."""


def _header(length: int, *, masked: bool) -> bytes:
    bit = 0x80 if masked else 0
    if length < 126:
        return struct.pack("!BB", 0x81, bit | length)
    if length < 2**16:
        return struct.pack("!BBH", 0x81, bit | 126, length)
    return struct.pack("!BBQ", 0x81, bit | 127, length)


def client_frame(text: str) -> bytes:
    """Returns a text message as a masked client frame (RFC 6455, section 5.2)."""
    payload = text.encode()
    key = int.from_bytes((MASK * (len(payload) // 4 + 1))[: len(payload)], "big")
    masked = (int.from_bytes(payload, "big") ^ key).to_bytes(len(payload), "big")
    return _header(len(payload), masked=True) + MASK + masked


def server_frame_size(text: str) -> int:
    """Returns the size in bytes of the same message as a server frame."""
    length = len(text.encode())
    return len(_header(length, masked=False)) + length


@attrs.define
class Peer:
    """One connection: a blocking socket, and what has been read of the next frame."""

    sock: socket.socket
    rest: bytearray = attrs.field(factory=bytearray)

    def send(self, frame: bytes) -> None:
        """Sends all of it."""
        self.sock.sendall(frame)

    def receive(self) -> bytes:
        """Reads one message."""
        while (end := self._end_of_frame()) is None:
            data = self.sock.recv(2**20)
            if not data:
                raise ConnectionError("The server closed the connection.")
            self.rest += data
        start, stop = end
        payload = bytes(self.rest[start:stop])
        del self.rest[:stop]
        return payload

    def _end_of_frame(self) -> tuple[int, int] | None:
        if len(self.rest) < 2:
            return None
        size, start = self.rest[1], 2
        if size >= 126:
            start = 4 if size == 126 else 10
            if len(self.rest) < start:
                return None
            size = int.from_bytes(self.rest[2:start], "big")
        return (start, start + size) if len(self.rest) >= start + size else None


def open_peers(port: int, first_messages: Sequence[bytes]) -> list[Peer]:
    """Opens connections, sends the first message on each, and waits for the answers."""
    peers = []
    for start in range(0, len(first_messages), AT_ONCE):
        batch = [_connect(port) for _ in first_messages[start : start + AT_ONCE]]
        for peer in batch:
            peer.send(UPGRADE)
        for peer, message in zip(batch, first_messages[start:], strict=False):
            _finish_upgrade(peer)
            peer.send(message)
        for peer in batch:
            answer = peer.receive()
            if b'"error"' in answer:
                raise RuntimeError(answer.decode())
        peers += batch
    return peers


def close_peers(peers: Iterable[Peer]) -> None:
    """Closes all connections, without a close frame."""
    for peer in peers:
        peer.sock.close()


def _connect(port: int) -> Peer:
    sock = socket.create_connection((HOST, port), timeout=PATIENCE_SEC)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Peer(sock)


def _finish_upgrade(peer: Peer) -> None:
    while b"\r\n\r\n" not in peer.rest:
        data = peer.sock.recv(4096)
        if not data:
            raise ConnectionError("The server refused the connection.")
        peer.rest += data
    if b" 101 " not in peer.rest[:16]:
        raise ConnectionError(bytes(peer.rest[:60]).decode())
    del peer.rest[: peer.rest.index(b"\r\n\r\n") + 4]


# --- routing --------------------------------------------------------------------------------


def exchange(
    peers: Sequence[Peer], frames: Sequence[bytes], answer_size: int, *, window: int, messages: int
) -> float:
    """Lets every peer answer each message with one of its own, until ``messages`` have arrived.

    Args:
        peers: Registered connections.
        frames: The frame that each peer sends.
        answer_size: The size in bytes of every frame that arrives.
        window: How many messages of each peer are in flight at the same time.
        messages: How many messages must arrive.

    Returns:
        The time that it took, in seconds.
    """
    epoll = select.epoll()
    socks = {peer.sock.fileno(): peer.sock for peer in peers}
    frame_by_fd = {peer.sock.fileno(): frame for peer, frame in zip(peers, frames, strict=True)}
    surplus = dict.fromkeys(socks, 0)
    for fd in socks:
        epoll.register(fd, select.EPOLLIN)
    started_at = time.perf_counter()
    to_send, to_receive = messages, messages
    for fd, sock in socks.items():
        sock.sendall(frame_by_fd[fd] * window)
        to_send -= window
    while to_receive > 0:
        ready = epoll.poll(PATIENCE_SEC)
        if not ready:
            raise TimeoutError(f"{to_receive} messages didn't arrive.")
        for fd, _ in ready:
            data = socks[fd].recv(65536)
            if not data:
                raise ConnectionError("The server closed a connection.")
            count, surplus[fd] = divmod(surplus[fd] + len(data), answer_size)
            to_receive -= count
            if (again := min(count, to_send)) > 0:
                socks[fd].sendall(frame_by_fd[fd] * again)
                to_send -= again
    seconds = time.perf_counter() - started_at
    epoll.close()
    return seconds


@attrs.define
class Flights:
    """Messages in flight between pairs of peers, at most one for each pair.

    Attributes:
        pairs: For each pair the sender, its frame, and the receiver.
        answer_size: The size in bytes of every frame that arrives.
        ignored: Peers whose incoming bytes are read and dropped.
        measured: The latency of each message, in seconds.
    """

    pairs: Sequence[tuple[Peer, bytes, Peer]]
    answer_size: int
    ignored: Sequence[Peer] = ()
    measured: list[float] = attrs.field(factory=list)
    _sent_at: list[float] = attrs.field(init=False)
    _arrived_bytes: list[int] = attrs.field(init=False)
    _number_by_fd: dict[int, int] = attrs.field(init=False)
    _dropped: dict[int, socket.socket] = attrs.field(init=False)
    _epoll: select.epoll = attrs.field(init=False, factory=select.epoll)

    def __attrs_post_init__(self) -> None:
        self._sent_at = [0.0] * len(self.pairs)
        self._arrived_bytes = [0] * len(self.pairs)
        self._number_by_fd = {pair[2].sock.fileno(): number for number, pair in enumerate(self.pairs)}
        self._dropped = {peer.sock.fileno(): peer.sock for peer in self.ignored}
        for fd in (*self._dropped, *self._number_by_fd):
            self._epoll.register(fd, select.EPOLLIN)

    def send(self, number: int) -> None:
        """Sends a pair's message, unless its previous one hasn't arrived yet."""
        if not self._sent_at[number]:
            sender, frame, _ = self.pairs[number]
            self._sent_at[number] = time.perf_counter()
            sender.send(frame)

    def receive(self, timeout_sec: float) -> None:
        """Waits for something to arrive."""
        for fd, _ in self._epoll.poll(max(0.0, timeout_sec)):
            if fd in self._dropped:
                self._dropped[fd].recv(2**20)
            else:
                self._take_in(self._number_by_fd[fd])

    def land(self) -> None:
        """Waits until no message is in flight."""
        give_up_at = time.perf_counter() + PATIENCE_SEC
        while any(self._sent_at):
            if time.perf_counter() > give_up_at:
                raise TimeoutError("Messages didn't arrive.")
            self.receive(1)
        self._epoll.close()

    def _take_in(self, number: int) -> None:
        self._arrived_bytes[number] += len(self.pairs[number][2].sock.recv(65536))
        if self._arrived_bytes[number] >= self.answer_size:
            self._arrived_bytes[number] -= self.answer_size
            self.measured.append(time.perf_counter() - self._sent_at[number])
            self._sent_at[number] = 0.0


def latencies(
    flights: Flights,
    *,
    per_sec: float,
    seconds: float,
    meanwhile: Callable[[], None],
    meanwhile_per_sec: float,
) -> list[float]:
    """Sends messages at a steady rate and measures their latency.

    Args:
        flights: The pairs of peers.
        per_sec: Messages a second, over all pairs.
        seconds: How long to send.
        meanwhile: Called ``meanwhile_per_sec`` times a second.
        meanwhile_per_sec: See ``meanwhile``; 0 means never.

    Returns:
        The latency of each message, in seconds.
    """
    count = len(flights.pairs)
    started_at = time.perf_counter()
    due = [(started_at + number / per_sec, number) for number in range(count)]
    if meanwhile_per_sec:
        due.append((started_at, count))
    heapq.heapify(due)
    while (now := time.perf_counter()) < started_at + seconds:
        while due[0][0] <= now:
            at, number = due[0]
            if number == count:
                heapq.heapreplace(due, (at + 1 / meanwhile_per_sec, number))
                meanwhile()
            else:
                heapq.heapreplace(due, (at + count / per_sec, number))
                flights.send(number)
        flights.receive(due[0][0] - time.perf_counter())
    flights.land()
    return flights.measured


def percentile(values: Sequence[float], share: float) -> float:
    """Returns the value below which ``share`` of the values lie; ``share`` is from 0 to 1."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
