"""How much a sender keeps in flight: as much as the path carries, and little that waits in its queues.

The congestion control of SCTP (RFC 9260, section 7.2) notices a full queue by the packets that it loses, many
of them at once after slow start, and takes minutes to recover on a long path. This window, above SCTP, reads
the round trip instead, and keeps what is in flight below the point where anything is lost. Pure: callers pass
the time, and report what they sent and what arrived.

Where a queue stays full although this sender gave way, others fill it. Then TCP's rules are the fair ones,
and SCTP follows them: the window opens as far as SCTP sends at once.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from typing import Final

from ..protocol.limits import CHUNK_BYTES, MAX_UNACKNOWLEDGED_BYTES

FIRST_WINDOW_BYTES: Final = 2 * CHUNK_BYTES
"""At the start, about twice TCP's initial window (RFC 6928): two messages."""

LEAST_MESSAGES: Final = 2
"""In flight at least: one that arrives, and the next one."""

LEAST_MESSAGE_BYTES: Final = 4 * 1024
"""Three packets or four. Smaller messages cost more than they help a slow line."""

MESSAGE_SEC: Final = 0.003
"""What one message may take on the line, so that it isn't mistaken for a queue."""

STARTUP_GROWTH: Final = 0.25
"""For each byte that arrives in the startup phase. Doubling, as TCP does, would overshoot the path by as much
again as it holds: more than the queue of many a router."""

CAREFUL_GROWTH: Final = 0.1
"""The same once the first sign of a queue was seen."""

SIGN_OF_QUEUE: Final = 0.8
"""The first sign: as much of the queue that makes the window yield is still free."""

STEP_BYTES: Final = 4 * 1024
"""Added in each round trip without a queue. The same for everybody, so that two senders come to equal shares
(Chiu and Jain, 1989)."""

ROUNDS_PER_STEP: Final = 8
"""After as many round trips without a queue, the step doubles: the path has become wider."""

MOST_GROWTH: Final = 0.25
"""Of the window, in one round trip."""

YIELD: Final = 0.8
"""What is left of the window when a queue has formed; below the share that the queue itself takes, so that it
empties, and everybody who uses the path sees its least round trip."""

LEAST_YIELD: Final = 0.4
"""What is left at least when the queue is long, for example because the line has become slower."""

QUEUE_SHARE: Final = 0.15
"""A standing queue of this share of the least round trip makes the window yield."""

QUEUE_WINDOW_BYTES: Final = 2**20
MOST_QUEUE_SHARE: Final = 0.22
"""That share belongs to a window of a mebibyte. It is a little less for a larger window and more for a
smaller one: of two senders on one path, the one that has more of it yields first."""

LEAST_QUEUE_SEC: Final = 0.006
"""Shorter delays may be the scheduling of either side's threads."""

MOST_OWN_QUEUE_SEC: Final = 0.1
"""On a slow line the least window is a queue by itself, since a message takes longer than a round trip. That
isn't the queue of others; but what takes longer than this is."""

BEST_RATE_SEC: Final = 20.0
"""What a message takes is reckoned by the best rate of about as long: the present one also falls when others
take more of the line."""

JITTER_GAIN: Final = 1 / 16
MOST_JITTER_SEC: Final = 0.025
"""Where round trips differ from one message to the next (RFC 3550, section 6.4.1), a queue that is no longer
than the difference can't be told from a busy program. It never counts for more than a round trip, or this."""

STANDING_SEC: Final = 0.024
"""A queue must stand for as long: delays that are over sooner are those of a busy program. On short paths
half a round trip is too short to tell one from the other."""

LOCAL_RTT_SEC: Final = 0.003
LOCAL_QUEUE_SEC: Final = 0.02
"""On paths as short as a laboratory's own network, what delays a message is a busy program, not a router."""

YIELDS_IN_VAIN: Final = 3
"""After as many yields in a row the queue isn't this sender's."""

EMPTY_QUEUE: Final = 0.4
"""A queue of this share of the one that made the window yield has emptied, so the yield wasn't in vain."""

LEAST_RTT_SEC: Final = 10.0
"""How long a round trip counts as the least one: the path may have changed (as in BBR)."""

COMPETING_RTT_SEC: Final = 30.0
"""The same while others fill the queue, so that their queue doesn't soon count as the path."""

RTT_BUCKET_SEC: Final = 2.0

COMPETING_FLIGHT_SEC: Final = 0.75
COMPETING_FLIGHT_BYTES: Final = 64 * 1024
"""In flight at most while others fill the queue, as time at the present rate; these bytes in any case. SCTP
fills the largest of queues, which hold many seconds of a slow line: a stop would come as late, and it takes
SCTP minutes to recover from the losses when they overflow."""

LOOK_AGAIN_SEC: Final = 10.0
"""While others seem to fill the queue, this sender gives way for a round trip as often, to see whether it
is so (as BBR does for the least round trip)."""

IDLE_SEC: Final = 1.0
"""After a longer pause the window starts anew (RFC 5681, section 4.1)."""

COMPETED_SEC: Final = 30.0
"""After as long without competition, others are looked for as carefully as at the start."""


class Phase(enum.Enum):
    """How the window changes: it grows until a queue forms; it follows the path; it leaves SCTP its way."""

    STARTUP = "startup"
    FOLLOWING = "following"
    COMPETING = "competing"


class LeastRoundTrip:
    """The least round trip of the last seconds."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[float, float]] = deque()
        self.value_sec = math.inf

    def add(self, rtt_sec: float, now_sec: float, *, memory_sec: float) -> None:
        """Counts one measured round trip; those older than ``memory_sec`` don't count any more."""
        if not self._buckets or now_sec - self._buckets[-1][0] >= RTT_BUCKET_SEC:
            self._buckets.append((now_sec, rtt_sec))
            while now_sec - self._buckets[0][0] > memory_sec:
                self._buckets.popleft()
        elif rtt_sec < self._buckets[-1][1]:
            self._buckets[-1] = (self._buckets[-1][0], rtt_sec)
        else:
            return
        self.value_sec = min(rtt for _, rtt in self._buckets)


class PathWindow:
    """The window of one direction of one channel.

    Offsets count the bytes that this side has handed to the channel since it was opened.

    Attributes:
        phase: See :class:`Phase`.
        window_bytes: How much may be in flight: handed over, and not known to have arrived.
        rate_bytes_per_sec: What arrived in the last round trip, per second; 0 before the first.
    """

    def __init__(self, *, message_bytes: int = CHUNK_BYTES) -> None:
        self._most_message_bytes = message_bytes
        self.phase = Phase.STARTUP
        self.window_bytes: float = FIRST_WINDOW_BYTES
        self.rate_bytes_per_sec = 0.0
        self._best_rate_bytes_per_sec = 0.0
        self._sent_bytes = 0
        self._arrived_bytes = 0
        self._in_flight: deque[tuple[int, float, int]] = deque()
        self._most_in_flight_bytes = 0
        self._has_seen_queue = False
        self._jitter_sec = 0.0
        self._queue_since_sec = math.inf
        self._is_looking = False
        self._looks_at_sec = math.inf
        self._competed_sec = -math.inf
        self._least = LeastRoundTrip()
        self._round_ends_at_bytes = 0
        self._round_began_sec = -math.inf
        self._round_began_bytes = 0
        self._round_rtt_sec = math.inf
        self._recent_rtts_sec: deque[float] = deque(maxlen=4)
        self._was_full = False
        self._was_held = False
        self._quiet_rounds = 0
        self._yields = 0
        self._settles_at_bytes = 0
        self._window_before_yields: float = 0

    # --- what the sender asks ---------------------------------------------------------------

    @property
    def in_flight_bytes(self) -> int:
        """What was handed over and isn't known to have arrived."""
        return self._sent_bytes - self._arrived_bytes

    @property
    def least_rtt_sec(self) -> float:
        """The least round trip of the last seconds; infinite before the first."""
        return self._least.value_sec

    @property
    def is_open(self) -> bool:
        """Whether SCTP alone decides how much is in flight, up to :data:`COMPETING_FLIGHT_SEC`."""
        return self.phase is Phase.COMPETING and not self._is_looking

    @property
    def message_bytes(self) -> int:
        """The size of the next message: a power of two that takes a slow line no longer than a few ms.

        The window always holds :data:`LEAST_MESSAGES` of them.
        """
        wanted_bytes = self.rate_bytes_per_sec * MESSAGE_SEC if self.rate_bytes_per_sec else CHUNK_BYTES
        most_bytes = min(wanted_bytes, self.window_bytes / LEAST_MESSAGES)
        size_bytes = LEAST_MESSAGE_BYTES
        while size_bytes * 2 <= most_bytes:
            size_bytes *= 2
        return min(size_bytes, self._most_message_bytes)

    @property
    def sendable_bytes(self) -> int:
        """How much may be handed over now."""
        window_bytes = self.window_bytes
        if self.is_open:
            window_bytes = max(self.rate_bytes_per_sec * COMPETING_FLIGHT_SEC, COMPETING_FLIGHT_BYTES)
        return max(int(window_bytes) - self.in_flight_bytes, 0)

    # --- what happened ----------------------------------------------------------------------

    def forget(self, *, most_message_bytes: int) -> None:
        """Begins another file: what was in flight of the last one won't be acknowledged any more."""
        self._most_message_bytes = most_message_bytes
        self._arrived_bytes = self._sent_bytes
        self._settles_at_bytes = self._sent_bytes
        self._in_flight.clear()

    def hold(self) -> None:
        """Records that the window keeps the sender from sending more."""
        self._was_full = True

    def sent(self, byte_count: int, now_sec: float, *, waiting_bytes: int = 0) -> None:
        """Records a message that was handed over.

        Args:
            byte_count: Its size.
            now_sec: The time.
            waiting_bytes: What SCTP had yet to send then. A message behind it says nothing about the path.
        """
        if not self._in_flight:
            self._begin_flight(byte_count, now_sec)
        self._sent_bytes += byte_count
        self._most_in_flight_bytes = max(self._most_in_flight_bytes, self.in_flight_bytes)
        self._in_flight.append((self._sent_bytes, now_sec, waiting_bytes))

    def arrived(self, byte_count: int, now_sec: float) -> None:
        """Records that ``byte_count`` further bytes have arrived; no more than are in flight."""
        self._arrived_bytes += byte_count
        while self._in_flight and self._in_flight[0][0] <= self._arrived_bytes:
            _, sent_sec, waiting_bytes = self._in_flight.popleft()
            self._measure(now_sec - sent_sec, waiting_bytes, now_sec)
        if self.phase is not Phase.COMPETING and self._was_full:
            self._grow(byte_count)
        if self._arrived_bytes >= self._round_ends_at_bytes:
            self._end_round(now_sec)

    def _measure(self, rtt_sec: float, waiting_bytes: int, now_sec: float) -> None:
        if waiting_bytes:
            self._was_held = True
            if self.phase is not Phase.COMPETING or not self._best_rate_bytes_per_sec:
                return
            rtt_sec = max(rtt_sec - waiting_bytes / self._best_rate_bytes_per_sec, self._least.value_sec)
        else:
            is_competing = self.phase is Phase.COMPETING
            memory_sec = COMPETING_RTT_SEC if is_competing else LEAST_RTT_SEC
            self._least.add(rtt_sec, now_sec, memory_sec=memory_sec)
        if self._recent_rtts_sec:
            difference_sec = abs(rtt_sec - self._recent_rtts_sec[-1])
            self._jitter_sec += (difference_sec - self._jitter_sec) * JITTER_GAIN
        self._round_rtt_sec = min(self._round_rtt_sec, rtt_sec)
        self._recent_rtts_sec.append(rtt_sec)

    # --- decisions --------------------------------------------------------------------------

    @property
    def _queue_limit_sec(self) -> float:
        least_sec = self._least.value_sec
        if least_sec < LOCAL_RTT_SEC:
            return LOCAL_QUEUE_SEC
        share = QUEUE_SHARE * math.pow(QUEUE_WINDOW_BYTES / self.window_bytes, 0.25)
        own_sec = LEAST_MESSAGES * LEAST_MESSAGE_BYTES / max(self._best_rate_bytes_per_sec, 1)
        return max(
            least_sec * min(share, MOST_QUEUE_SHARE),
            LEAST_QUEUE_SEC,
            min(own_sec, MOST_OWN_QUEUE_SEC),
            min(self._jitter_sec, max(least_sec, MOST_JITTER_SEC)),
        )

    @property
    def _room(self) -> float:
        """How much of the queue that would make the window yield is still free now: from 0 to 1."""
        if not self._recent_rtts_sec:
            return 1.0
        queue_sec = min(self._recent_rtts_sec) - self._least.value_sec
        return min(max(1 - queue_sec / self._queue_limit_sec, 0.0), 1.0)

    def _grow(self, byte_count: int) -> None:
        """Grows for bytes that arrived: by a share of them at the start, and by a step a round trip later."""
        if self.phase is Phase.FOLLOWING:
            step_bytes = STEP_BYTES * 2.0 ** min(self._quiet_rounds // ROUNDS_PER_STEP, 16)
            growth = min(step_bytes / self.window_bytes, MOST_GROWTH)
        else:
            self._has_seen_queue |= self._room < SIGN_OF_QUEUE
            growth = CAREFUL_GROWTH if self._has_seen_queue else STARTUP_GROWTH
        self.window_bytes = self._bounded(self.window_bytes + byte_count * growth * self._room)

    def _begin_flight(self, byte_count: int, now_sec: float) -> None:
        """Begins after a pause. The window of a flight that ended a while ago would come all at once."""
        if now_sec - self._round_began_sec > IDLE_SEC:
            self.phase = Phase.STARTUP
            self.window_bytes = FIRST_WINDOW_BYTES
            self._is_looking = False
            self._yields = self._quiet_rounds = 0
        self._begin_round(now_sec)
        self._round_ends_at_bytes = self._sent_bytes + byte_count

    def _begin_round(self, now_sec: float) -> None:
        """Begins half a round trip: short enough for two senders to see the same queue in it."""
        self._round_ends_at_bytes = self._arrived_bytes + max(self.in_flight_bytes // 2, 1)
        self._round_began_sec = now_sec
        self._round_began_bytes = self._arrived_bytes
        self._round_rtt_sec = math.inf
        self._was_full = self._was_held = False
        self._most_in_flight_bytes = self.in_flight_bytes

    def _end_round(self, now_sec: float) -> None:
        # Half of a window's bytes take half a round trip, even if they come together after a pause.
        rtt_sec = self._least.value_sec if self._round_rtt_sec is math.inf else self._round_rtt_sec
        elapsed_sec = max(now_sec - self._round_began_sec, min(rtt_sec, 10.0) / 2, 1e-6)
        self.rate_bytes_per_sec = (self._arrived_bytes - self._round_began_bytes) / elapsed_sec
        faded = self._best_rate_bytes_per_sec * max(1 - elapsed_sec / BEST_RATE_SEC, 0)
        self._best_rate_bytes_per_sec = max(self.rate_bytes_per_sec, faded)
        if self._round_rtt_sec is not math.inf:
            self._decide(now_sec)
        if self._was_held and not self._was_full and self.phase is not Phase.COMPETING:
            # What SCTP didn't let through has never been tried.
            self.window_bytes = self._bounded(min(self.window_bytes, self._most_in_flight_bytes * 1.25))
        self._begin_round(now_sec)

    def _decide(self, now_sec: float) -> None:
        queue_sec = self._round_rtt_sec - self._least.value_sec
        has_queue = queue_sec > self._queue_limit_sec
        has_settled = self._arrived_bytes >= self._settles_at_bytes
        if self.phase is Phase.COMPETING:
            self._compete(now_sec, has_queue=has_queue, has_settled=has_settled)
        elif not has_queue:
            if queue_sec < self._queue_limit_sec * EMPTY_QUEUE:
                self._yields = 0
            self._quiet_rounds += 1
            self._queue_since_sec = math.inf
        else:
            self._queue_since_sec = min(self._queue_since_sec, self._round_began_sec)
            if has_settled and now_sec - self._queue_since_sec >= STANDING_SEC:
                self._queue_since_sec = math.inf
                self._yield(queue_sec, now_sec)

    def _compete(self, now_sec: float, *, has_queue: bool, has_settled: bool) -> None:
        self._competed_sec = now_sec
        if not has_queue:
            if self._is_looking:  # the queue was this sender's alone
                self._competed_sec = -math.inf
            self._follow()
        elif self._is_looking and has_settled:
            self._is_looking = False
            self._looks_at_sec = now_sec + LOOK_AGAIN_SEC
        elif not self._is_looking and now_sec >= self._looks_at_sec:
            self._is_looking = True
            self.window_bytes = self._bounded(self.rate_bytes_per_sec * self._least.value_sec / 2)
            self._settles_at_bytes = self._sent_bytes + 1

    def _follow(self) -> None:
        self.phase = Phase.FOLLOWING
        self._is_looking = False
        self._yields = 0
        self._quiet_rounds = 0
        carried_bytes = self.rate_bytes_per_sec * self._round_rtt_sec
        lately_bytes = self._best_rate_bytes_per_sec * self._least.value_sec
        self.window_bytes = self._bounded(max(carried_bytes, lately_bytes / 2))

    def _yield(self, queue_sec: float, now_sec: float) -> None:
        self.phase = Phase.FOLLOWING
        self._quiet_rounds = 0
        if self._yields == 0:
            self._window_before_yields = self.window_bytes
        self._yields += 1
        has_competed = now_sec - self._competed_sec < COMPETED_SEC
        if self._yields > (1 if has_competed else YIELDS_IN_VAIN):
            self.phase = Phase.COMPETING
            self._looks_at_sec = now_sec + LOOK_AGAIN_SEC
            self.window_bytes = self._window_before_yields
            return
        least_sec = self._least.value_sec
        share = min(YIELD, least_sec / (least_sec + queue_sec))
        self.window_bytes = self._bounded(self.window_bytes * max(share, LEAST_YIELD))
        # What is in flight now still has the old queue before it.
        self._settles_at_bytes = self._sent_bytes + 1

    def _bounded(self, window_bytes: float) -> float:
        return min(max(window_bytes, LEAST_MESSAGES * LEAST_MESSAGE_BYTES), MAX_UNACKNOWLEDGED_BYTES)
