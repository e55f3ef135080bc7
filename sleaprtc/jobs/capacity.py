"""Decides whether a worker accepts a job: what it can run, and which of its slots are free.

Time is an argument, in seconds on any clock that only moves forward.
"""

from __future__ import annotations

import enum
import re
from typing import Final

import attrs

from ..protocol.jobs import JobRequest
from ..protocol.limits import CONNECT_SEC, RESERVATION_SEC, UNPROVEN_CONNECT_SEC
from ..protocol.vocabulary import Refusal, WorkerStatus
from .hold_budget import Hold, HoldBudget

MAX_ACCEPTED: Final = 64
MAX_ACCEPTED_PER_PEER: Final = 4
"""Unproven requests accepted at a time; each is kept until it is assigned or expires."""

REFUSED_SEC: Final = 60.0
"""How long a peer is refused after it didn't connect to its assigned job."""

MAX_REFUSED_PEERS: Final = 256

_LEADING_NUMBERS = re.compile(r"v?(\d+)(?:\.(\d+))?")


@attrs.frozen
class Capability:
    """What a worker can run, whether or not it has room now."""

    gpu_memory_mb: float
    supported_models: tuple[str, ...]
    supported_job_types: tuple[str, ...]
    sleap_version: str | None


def refusal_reason(request: JobRequest, capability: Capability, client_version: str | None) -> Refusal | None:
    """Returns why a worker can never run this job, or None if it can.

    A request without ``config.model_type`` leaves the choice to the worker, which then
    needs any model at all.
    """
    if request.job_type not in capability.supported_job_types:
        return Refusal.UNSUPPORTED_JOB_TYPE
    model_type = request.config.get("model_type") or (request.model_info or {}).get("model_type")
    if not capability.supported_models or (
        model_type is not None and model_type not in capability.supported_models
    ):
        return Refusal.UNSUPPORTED_MODEL
    if not is_compatible(capability.sleap_version, request.requirements.sleap_version or client_version):
        return Refusal.INCOMPATIBLE_VERSION
    if request.requirements.min_gpu_memory_mb > capability.gpu_memory_mb:
        return Refusal.INSUFFICIENT_MEMORY
    return None


def is_compatible(worker_version: str | None, client_version: str | None) -> bool:
    """Whether the majors are equal and the worker's minor isn't below the client's. Unknown versions pass.

    The rule is the protocol reference's, section 3.
    """
    worker = _LEADING_NUMBERS.match(worker_version or "")
    client = _LEADING_NUMBERS.match(client_version or "")
    if worker is None or client is None:
        return True
    return int(worker[1]) == int(client[1]) and int(worker[2] or 0) >= int(client[2] or 0)


class Loss(enum.Enum):
    """Why a job loses its slot."""

    NOT_CONNECTED = enum.auto()
    """Its client didn't connect, or didn't prove itself, in time."""

    DISPLACED = enum.auto()
    """A client that had proved itself got the slot; this one hadn't."""


@attrs.define
class _Acceptance:
    """A request that was accepted; ``hold`` is the slot held for it, if one is."""

    expires_at: float
    is_proven: bool
    hold: Hold | None


@attrs.define
class _Occupant:
    """An assigned job. Until it is settled, its client has proved nothing: it has until ``connect_by``."""

    client_id: str
    connect_by: float
    is_connected: bool
    is_settled: bool


class Slots:
    """A worker's slots: promised to clients that ask, held for them a while, assigned, and free again.

    A proven request is one that shows that its client knows the room's secret. A slot is held for it for ten
    seconds, and others stand back: what is held for them becomes a promise without a hold, and a job of
    theirs that isn't connected yet loses its slot when the proven one is assigned. For all other requests
    slots are held as a small budget allows: one for all of them in a room with a secret, one for each peer in
    a room without. Beyond it they are accepted without a hold, and get a slot if one is free when they are
    assigned. Their jobs lose it where the client isn't connected in time (with the data channel's own proof,
    in a room with a secret); a peer that let that happen is refused for a minute.

    Args:
        max_concurrent_jobs: How many jobs may run at once.
        has_secret: Whether the room has a secret.
    """

    def __init__(self, max_concurrent_jobs: int, *, has_secret: bool = False) -> None:
        self.max_concurrent_jobs = max_concurrent_jobs
        self._has_secret = has_secret
        self._accepted: dict[tuple[str, str], _Acceptance] = {}
        self._running: dict[str, _Occupant] = {}
        self._lost: dict[str, Loss] = {}
        self._budget = HoldBudget()
        self._refused_until: dict[str, float] = {}

    def reserve(self, job_id: str, client_id: str, now: float, *, is_proven: bool = False) -> bool:
        """Accepts a client's request for a slot, and holds one for it as its proof or the budget allows.

        Returns:
            False where no slot is free, or the job's id is in use.
        """
        self.expire(now)
        accepted = self._accepted.get((job_id, client_id))
        running = self._running.get(job_id)
        if running is not None and (running.is_settled or not is_proven):
            return False
        if is_proven:
            is_accepted = self._reserve_proven(job_id, client_id, now)
        elif accepted is not None and accepted.is_proven:
            is_accepted = True  # the same peer, without the proof: it keeps what it has
        else:
            is_accepted = self._reserve_unproven(job_id, client_id, now)
        self._settle()
        return is_accepted

    def _reserve_proven(self, job_id: str, client_id: str, now: float) -> bool:
        accepted = self._accepted.get((job_id, client_id))
        is_held = accepted is not None and accepted.is_proven
        if not is_held and self._firmly_taken >= self.max_concurrent_jobs:
            return False
        if accepted is not None:
            self._end_hold(client_id, accepted, now)
        until = now + RESERVATION_SEC
        self._accepted[job_id, client_id] = _Acceptance(until, True, Hold(now, until))
        # Whoever came last stands back first.
        for (_, other_id), other in reversed(self._accepted.items()):
            if self.taken > self.max_concurrent_jobs and not other.is_proven:
                self._end_hold(other_id, other, now)
        return True

    def _reserve_unproven(self, job_id: str, client_id: str, now: float) -> bool:
        accepted = self._accepted.get((job_id, client_id))
        hold = None if accepted is None else accepted.hold
        if hold is None and self.taken >= self.max_concurrent_jobs:
            return False
        if self._refused_until.get(client_id, now) > now:
            return False
        if accepted is None and not self._make_room_for_acceptance(client_id, now):
            return False
        account = self._account(client_id)
        if hold is None:
            hold = self._budget.grant(account, RESERVATION_SEC, now)
        else:
            self._budget.renew(account, hold, RESERVATION_SEC, now)
        self._accepted[job_id, client_id] = _Acceptance(now + RESERVATION_SEC, False, hold)
        return True

    def _make_room_for_acceptance(self, client_id: str, now: float) -> bool:
        """Bounds what is remembered for peers that keep asking. A peer's own oldest request goes first."""
        unproven = [key for key, accepted in self._accepted.items() if not accepted.is_proven]
        own = [key for key in unproven if key[1] == client_id]
        if len(own) >= MAX_ACCEPTED_PER_PEER:
            self._end_hold(client_id, self._accepted.pop(own[0]), now)
            return True
        return len(unproven) < MAX_ACCEPTED

    def assign(self, job_id: str, client_id: str, now: float) -> bool:
        """Turns an accepted request into a running job; False if it isn't accepted, or no slot is free."""
        self.expire(now)
        accepted = self._accepted.get((job_id, client_id))
        if accepted is None:
            return False
        if job_id in self._running:
            if not accepted.is_proven or self._running[job_id].is_settled:
                return False
            self._lose(job_id, Loss.DISPLACED)
        if accepted.hold is None and self.taken >= self.max_concurrent_jobs:
            return False
        del self._accepted[job_id, client_id]
        is_brief = self._has_secret or accepted.hold is None
        connect_sec = UNPROVEN_CONNECT_SEC if is_brief and not accepted.is_proven else CONNECT_SEC
        self._end_hold(client_id, accepted, now)
        self._running[job_id] = _Occupant(client_id, now + connect_sec, False, accepted.is_proven)
        self._displace()
        return True

    def occupy(self, job_id: str, client_id: str) -> bool:
        """Gives a slot to a job that had one before the worker ended; False if none is free."""
        if job_id in self._running or self.running >= self.max_concurrent_jobs:
            return False
        self._running[job_id] = _Occupant(client_id, connect_by=0, is_connected=True, is_settled=True)
        return True

    def _displace(self) -> None:
        """Ends the youngest unproven jobs when a proven one was assigned in their place."""
        unsettled = [job_id for job_id, occupant in self._running.items() if not occupant.is_settled]
        unsettled.sort(key=lambda job_id: not self._running[job_id].is_connected)
        while self.running > self.max_concurrent_jobs:
            self._lose(unsettled.pop(), Loss.DISPLACED)

    def connected(self, job_id: str, client_id: str, now: float) -> None:
        """Notes that a running job's client has connected and, if the room has a secret, proved it."""
        self.expire(now)
        occupant = self._running.get(job_id)
        if occupant is not None and occupant.client_id == client_id:
            occupant.is_connected = True
            self._settle()

    def release(self, job_id: str, client_id: str, now: float) -> bool:
        """Drops an accepted request; False if there is none."""
        accepted = self._accepted.pop((job_id, client_id), None)
        if accepted is None:
            return False
        self._end_hold(client_id, accepted, now)
        self._settle()
        return True

    def finish(self, job_id: str) -> None:
        """Frees the slot of a running job."""
        self._running.pop(job_id, None)
        self._settle()

    def expire(self, now: float) -> None:
        """Ends what has expired: holds, acceptances, and jobs whose clients didn't connect."""
        for key, accepted in list(self._accepted.items()):
            if accepted.expires_at <= now:
                del self._accepted[key]
            elif accepted.hold is not None and accepted.hold.end <= now:
                accepted.hold = None
        for job_id, occupant in list(self._running.items()):
            if not (occupant.is_settled or occupant.is_connected) and occupant.connect_by <= now:
                self._lose(job_id, Loss.NOT_CONNECTED)
                self._refuse_for_a_while(occupant.client_id, now)
        self._settle()

    def take_lost(self) -> dict[str, Loss]:
        """Returns the jobs that have lost their slots since the last call; the caller ends them."""
        lost, self._lost = self._lost, {}
        return lost

    def accepts(self, job_id: str, client_id: str) -> bool:
        """Whether a request is accepted and hasn't been assigned yet."""
        return (job_id, client_id) in self._accepted

    def runs(self, job_id: str) -> bool:
        """Whether a job of this id has a slot."""
        return job_id in self._running

    @property
    def next_expiry(self) -> float | None:
        """The next time at which something expires."""
        ends = [accepted.expires_at for accepted in self._accepted.values()]
        ends += [accepted.hold.end for accepted in self._accepted.values() if accepted.hold is not None]
        ends += [
            occupant.connect_by
            for occupant in self._running.values()
            if not (occupant.is_settled or occupant.is_connected)
        ]
        return min(ends, default=None)

    @property
    def taken(self) -> int:
        """Slots that run or are held."""
        return self.running + sum(accepted.hold is not None for accepted in self._accepted.values())

    @property
    def running(self) -> int:
        """Slots that run."""
        return len(self._running)

    @property
    def status(self) -> WorkerStatus:
        """The worker's status, as far as its slots determine it."""
        if self.running >= self.max_concurrent_jobs:
            return WorkerStatus.BUSY
        is_full = self.taken >= self.max_concurrent_jobs
        return WorkerStatus.RESERVED if is_full else WorkerStatus.AVAILABLE

    @property
    def _firmly_taken(self) -> int:
        """Slots that not even a proven request can get."""
        settled = sum(occupant.is_settled for occupant in self._running.values())
        return settled + sum(accepted.is_proven for accepted in self._accepted.values())

    def _settle(self) -> None:
        """Lets connected jobs keep their slots unless those are promised to proven requests."""
        for occupant in self._running.values():
            if occupant.is_connected and self._firmly_taken < self.max_concurrent_jobs:
                occupant.is_settled = True

    def _account(self, client_id: str) -> str:
        return "" if self._has_secret else client_id

    def _end_hold(self, client_id: str, accepted: _Acceptance, now: float) -> None:
        if accepted.hold is not None and not accepted.is_proven:
            self._budget.end(self._account(client_id), accepted.hold, now)
        accepted.hold = None

    def _lose(self, job_id: str, loss: Loss) -> None:
        del self._running[job_id]
        self._lost[job_id] = loss

    def _refuse_for_a_while(self, client_id: str, now: float) -> None:
        self._refused_until = {peer: until for peer, until in self._refused_until.items() if until > now}
        if len(self._refused_until) < MAX_REFUSED_PEERS:
            self._refused_until[client_id] = now + REFUSED_SEC
