"""A simulated path: a line with a queue before it, our window above a simplified SCTP, and CUBIC beside it.

Packets are events in time; nothing is random. SCTP here is what RFC 9260, section 7.2, says of its congestion
window: slow start, a packet more in each round trip, half of it after a loss.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs

from sleaprtc.protocol.limits import MAX_UNACKNOWLEDGED_BYTES
from sleaprtc.transfer.flow import most_unsent_bytes
from sleaprtc.transfer.path_window import PathWindow

HEADER_BYTES = 70
LEAST_QUEUE_BYTES = 15_000
FIRST_PACKETS = 10
TIMEOUT_SEC = 1.0


class Clock:
    """Runs what was planned, in order of time."""

    def __init__(self) -> None:
        self.now_sec = 0.0
        self._plans: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._planned = 0

    def at(self, time_sec: float, action: Callable[..., None], *args: Any) -> None:
        self._planned += 1
        heapq.heappush(self._plans, (time_sec, self._planned, action, args))

    def run_until(self, time_sec: float) -> None:
        while self._plans and self._plans[0][0] <= time_sec:
            self.now_sec, _, action, args = heapq.heappop(self._plans)
            action(*args)
        self.now_sec = time_sec


class Line:
    """A line of some rate, with a queue that drops what finds no room."""

    def __init__(self, clock: Clock, *, mbit: float, rtt_sec: float, queue_bdp: float) -> None:
        self._clock = clock
        self._queue_bdp = queue_bdp
        self._free_at_sec = 0.0
        self.drops: list[tuple[float, int]] = []
        self.set(mbit=mbit, rtt_sec=rtt_sec)

    def set(self, *, mbit: float, rtt_sec: float) -> None:
        self.bytes_per_sec, self.rtt_sec = mbit * 1e6 / 8, rtt_sec

    @property
    def bdp_bytes(self) -> float:
        return self.bytes_per_sec * self.rtt_sec

    @property
    def queue_sec(self) -> float:
        return max(self._free_at_sec - self._clock.now_sec, 0)

    def carry(self, size_bytes: int, arrive: Callable[..., None], *args: Any) -> None:
        room_bytes = max(self.bdp_bytes * self._queue_bdp, LEAST_QUEUE_BYTES)
        if self.queue_sec * self.bytes_per_sec > room_bytes:
            self.drops.append((self._clock.now_sec, size_bytes))
            return
        self._free_at_sec = self._clock.now_sec + self.queue_sec + size_bytes / self.bytes_per_sec
        self._clock.at(self._free_at_sec + self.rtt_sec / 2, arrive, *args)


@attrs.define
class Packet:
    number: int
    size_bytes: int
    message: Message | None
    sent_sec: float = 0.0


@attrs.define
class Message:
    size_bytes: int
    missing_packets: int


class Transport:
    """A reliable sender of packets; how its window changes is up to the subclass."""

    def __init__(self, clock: Clock, line: Line) -> None:
        self.clock, self.line = clock, line
        self.window_packets = float(FIRST_PACKETS)
        self.threshold_packets = math.inf
        self._in_flight: dict[int, Packet] = {}
        self._lost: deque[Packet] = deque()
        self._sent = 0
        self._recovers_at = -1
        self._acknowledged = 0
        self._is_timed = False

    def next_packet(self) -> Packet | None:
        raise NotImplementedError

    def arrived(self, packet: Packet) -> None:
        raise NotImplementedError

    def grow(self) -> None:
        raise NotImplementedError

    def shrink(self) -> None:
        raise NotImplementedError

    def send_what_may(self) -> None:
        while len(self._in_flight) < self.window_packets:
            packet = self._lost.popleft() if self._lost else self.next_packet()
            if packet is None:
                break
            packet.number, packet.sent_sec = self._sent, self.clock.now_sec
            self._sent += 1
            self._in_flight[packet.number] = packet
            self.line.carry(packet.size_bytes, self._deliver, packet, packet.number)
        if self._in_flight and not self._is_timed:
            self._is_timed = True
            self.clock.at(self.clock.now_sec + TIMEOUT_SEC, self._time_out, self._acknowledged)

    def _deliver(self, packet: Packet, number: int) -> None:
        self.arrived(packet)
        self.clock.at(self.clock.now_sec + self.line.rtt_sec / 2, self._acknowledge, number)

    def _acknowledge(self, number: int) -> None:
        self._acknowledged += 1
        is_full = len(self._in_flight) + 2 >= self.window_packets
        if self._in_flight.pop(number, None) is not None:
            overtaken = []
            for earlier in self._in_flight:  # in the order of sending
                if earlier >= number - 3:
                    break
                overtaken.append(earlier)
            if overtaken:
                self._lose(overtaken)
            elif is_full:
                self.grow()
        self.send_what_may()

    def _lose(self, numbers: list[int]) -> None:
        for number in numbers:
            self._lost.append(self._in_flight.pop(number))
        if numbers[0] > self._recovers_at:
            self._recovers_at = self._sent
            self.shrink()

    def _time_out(self, acknowledged: int) -> None:
        self._is_timed = False
        if self._in_flight and self._acknowledged == acknowledged:
            self._lose(list(self._in_flight))
            self.window_packets = 4.0
        self.send_what_may()


class Sctp(Transport):
    """Carries messages in order (RFC 9260, section 7.2, Reno's rules)."""

    def __init__(self, clock: Clock, line: Line, packet_bytes: int, receive: Callable[[int], None]) -> None:
        super().__init__(clock, line)
        self._packet_bytes = packet_bytes
        self._receive = receive
        self._unsent: deque[Packet] = deque()
        self._messages: deque[Message] = deque()
        self.unsent_bytes = 0

    def submit(self, size_bytes: int) -> None:
        count = math.ceil(size_bytes / self._packet_bytes)
        message = Message(size_bytes, count)
        self._messages.append(message)
        each_bytes = math.ceil(size_bytes / count) + HEADER_BYTES
        self._unsent.extend(Packet(0, each_bytes, message) for _ in range(count))
        self.unsent_bytes += each_bytes * count
        self.send_what_may()

    def next_packet(self) -> Packet | None:
        if not self._unsent:
            return None
        packet = self._unsent.popleft()
        self.unsent_bytes -= packet.size_bytes
        return packet

    def arrived(self, packet: Packet) -> None:
        assert packet.message is not None
        packet.message.missing_packets -= 1
        while self._messages and self._messages[0].missing_packets == 0:
            self._receive(self._messages.popleft().size_bytes)

    def grow(self) -> None:
        is_slow_start = self.window_packets < self.threshold_packets
        self.window_packets += 0.5 if is_slow_start else 1 / self.window_packets

    def shrink(self) -> None:
        self.threshold_packets = self.window_packets = max(self.window_packets / 2, 4)


class Cubic(Transport):
    """An endless TCP stream (RFC 9438), with the end of slow start that Linux has (HyStart)."""

    PACKET_BYTES = 1500

    def __init__(self, clock: Clock, line: Line) -> None:
        super().__init__(clock, line)
        self._top_packets = 0.0
        self._bottom_packets = 0.0
        self._back_at_sec = 0.0
        self._shrank_sec: float | None = None
        self.received_bytes = 0

    def next_packet(self) -> Packet | None:
        return Packet(0, self.PACKET_BYTES, None)

    def arrived(self, packet: Packet) -> None:
        self.received_bytes += packet.size_bytes

    def grow(self) -> None:
        if self.window_packets < self.threshold_packets:
            self.window_packets += 1
            if self.line.queue_sec > self.line.rtt_sec / 8:
                self.threshold_packets = self.window_packets
            return
        if self._shrank_sec is None:
            self._shrank_sec, self._top_packets = self.clock.now_sec, self.window_packets
            self._bottom_packets = self.window_packets
        since_sec = self.clock.now_sec - self._shrank_sec
        rtt_sec = self.line.rtt_sec + self.line.queue_sec
        cubic = 0.4 * (since_sec + self.line.rtt_sec - self._back_at_sec) ** 3 + self._top_packets
        target = max(cubic, self._bottom_packets + 0.53 * since_sec / rtt_sec)
        if target > self.window_packets:
            self.window_packets += min((target - self.window_packets) / self.window_packets, 0.5)

    def shrink(self) -> None:
        is_lower = self.window_packets < self._top_packets
        self._top_packets = self.window_packets * (0.85 if is_lower else 1)
        self.window_packets = self._bottom_packets = max(self.window_packets * 0.7, 4)
        self.threshold_packets = self.window_packets
        self._back_at_sec = (max(self._top_packets - self.window_packets, 0) / 0.4) ** (1 / 3)
        self._shrank_sec = self.clock.now_sec


class Sender:
    """Our window above SCTP, with as much to send as it lets through (see :mod:`sleaprtc.transfer.flow`).

    Attributes:
        received_bytes: What has arrived, as the receiver counts it.
        delay_sec: What the path adds to an acknowledgement, by time; for programs that are slow to read.
    """

    def __init__(
        self, clock: Clock, line: Line, *, packet_bytes: int, delay_sec: Callable[[], float]
    ) -> None:
        self._clock, self._line = clock, line
        self._delay_sec = delay_sec
        self.window = PathWindow(message_bytes=256 * 1024)
        self.sctp = Sctp(clock, line, packet_bytes, self._arrived)
        self.received_bytes = 0

    def send_what_may(self) -> None:
        while True:
            window = self.window
            size_bytes = window.message_bytes
            if self.sctp.unsent_bytes > most_unsent_bytes(window.rate_bytes_per_sec):
                return
            if window.in_flight_bytes + size_bytes > MAX_UNACKNOWLEDGED_BYTES:
                return
            if window.sendable_bytes < size_bytes:
                window.hold()
                return
            window.sent(size_bytes, self._clock.now_sec, waiting_bytes=self.sctp.unsent_bytes)
            self.sctp.submit(size_bytes)

    def _arrived(self, size_bytes: int) -> None:
        self.received_bytes += size_bytes
        back_sec = self._clock.now_sec + self._line.rtt_sec / 2 + self._delay_sec()
        self._clock.at(back_sec, self._acknowledged, size_bytes)

    def _acknowledged(self, size_bytes: int) -> None:
        self.window.arrived(size_bytes, self._clock.now_sec)
        self.send_what_may()


class Simulation:
    """One line with our senders and CUBIC streams."""

    def __init__(
        self,
        *,
        mbit: float,
        rtt_sec: float,
        queue_bdp: float,
        packet_bytes: int = 1160,
        delay_sec: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.clock = Clock()
        self.line = Line(self.clock, mbit=mbit, rtt_sec=rtt_sec, queue_bdp=queue_bdp)
        self.payload_share = packet_bytes / (packet_bytes + HEADER_BYTES)
        self._packet_bytes = packet_bytes
        self._delay_sec = delay_sec

    def add_sender(self, at_sec: float = 0.0) -> Sender:
        sender = Sender(self.clock, self.line, packet_bytes=self._packet_bytes, delay_sec=self._delay_sec)
        self.clock.at(at_sec, sender.send_what_may)
        return sender

    def add_cubic(self, at_sec: float = 0.0) -> Cubic:
        cubic = Cubic(self.clock, self.line)
        self.clock.at(at_sec, cubic.send_what_may)
        return cubic

    def run(self, until_sec: float, *, each_sec: float = 0.02) -> list[float]:
        """Runs until then; returns the path's round trips, as a packet beside the transfer would see them."""
        round_trips_sec = []
        while self.clock.now_sec < until_sec:
            self.clock.run_until(min(self.clock.now_sec + each_sec, until_sec))
            round_trips_sec.append(self.line.rtt_sec + self.line.queue_sec)
        return round_trips_sec

    def share(self, sender: Sender | Cubic, until_sec: float) -> float:
        """Runs until then; returns the sender's share of what the line can carry in that time."""
        before, began_sec = sender.received_bytes, self.clock.now_sec
        self.run(until_sec)
        carried_bytes = self.line.bytes_per_sec * (until_sec - began_sec) * self.payload_share
        return (sender.received_bytes - before) / carried_bytes

    def dropped_bytes(self, *, before_sec: float = math.inf) -> int:
        """What the queue dropped until then."""
        return sum(size for time, size in self.line.drops if time < before_sec)
