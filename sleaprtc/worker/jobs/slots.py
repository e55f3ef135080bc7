"""A worker's slots, with the requests that may get one and the jobs that have or await one."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from ...base.logs import get_logger
from ...jobs.capacity import Slots
from ...protocol.jobs import JobRequest
from ...protocol.vocabulary import WorkerStatus
from .disk import WorkerDisk
from .slot import JobSlot

_log = get_logger(__name__)


class JobSlots:
    """Gives slots to jobs and takes them back. Every method returns at once.

    Args:
        max_jobs: How many jobs may run at once.
        has_secret: Whether the room has a secret.
        disk: The worker's disk, if jobs reserve their share of it.
    """

    def __init__(self, max_jobs: int, *, has_secret: bool, disk: WorkerDisk | None) -> None:
        self._slots = Slots(max_jobs, has_secret=has_secret)
        self._has_secret = has_secret
        self._disk = disk
        self._requests: dict[tuple[str, str], JobRequest] = {}
        self._assigned: dict[str, JobSlot] = {}
        self._waiting: dict[str, JobSlot] = {}  # of interrupted jobs, of which more than slots can be
        self._has_changed = trio.Event()
        self._is_closed = False

    @property
    def status(self) -> WorkerStatus:
        """What the worker publishes of its slots."""
        return self._slots.status

    # --- requests ---------------------------------------------------------------------------

    def reserve(self, client_id: str, request: JobRequest, *, is_proven: bool) -> bool:
        """Accepts a request, and reserves a slot and the disk for it; False where no slot is free."""
        now = trio.current_time()
        if self._waiting or not self._slots.reserve(request.job_id, client_id, now, is_proven=is_proven):
            return False
        self._requests[request.job_id, client_id] = request
        if self._disk is not None and (is_proven or not self._has_secret):
            # Others reserve at their assignment: anybody could send such requests and reserve all there is.
            self._disk.reserve(request)
        self._note_change()
        return True

    def withdraw(self, client_id: str, job_id: str) -> None:
        """Drops a client's request, if it was accepted and isn't assigned yet."""
        if self._slots.release(job_id, client_id, trio.current_time()):
            self._note_change()

    def runs(self, job_id: str) -> bool:
        """Whether a job has a slot."""
        return self._slots.runs(job_id)

    def release_disk(self) -> None:
        """Releases what jobs have reserved that are no longer accepted or running."""
        if self._disk is not None:
            self._disk.release_all_but({*(job_id for job_id, _ in self._accepted()), *self._assigned})

    def _accepted(self) -> dict[tuple[str, str], JobRequest]:
        """The requests that are accepted and may still be assigned, by job and client."""
        return {key: request for key, request in self._requests.items() if self._slots.accepts(*key)}

    # --- jobs with a slot -------------------------------------------------------------------

    def assign(self, client_id: str, job_id: str) -> tuple[JobRequest, JobSlot] | None:
        """Gives a slot to a request that was accepted; None if it wasn't, or no slot is free."""
        if not self._slots.assign(job_id, client_id, trio.current_time()):
            return None
        request = self._requests.pop((job_id, client_id))
        self._take_lost()
        slot = self._assigned[job_id] = self._new_slot(job_id, client_id)
        self._note_change()
        return request, slot

    def is_assigned(self, client_id: str, job_id: str) -> bool:
        """Whether a client's job has its slot already, and the client has no newer request for it."""
        slot = self._assigned.get(job_id)
        is_own = slot is not None and slot.client_id == client_id
        return is_own and not self._slots.accepts(job_id, client_id)

    def has_connected(self, job_id: str) -> bool:
        """Whether a job's client has connected. For a job that has freed its slot, it has."""
        slot = self._assigned.get(job_id)
        return slot is None or slot.is_confirmed

    def unconfirmed(self) -> Mapping[str, JobSlot]:
        """Returns the slots of jobs whose clients haven't connected yet, by job."""
        return {job_id: slot for job_id, slot in self._assigned.items() if not slot.is_confirmed}

    def _new_slot(self, job_id: str, client_id: str, *, is_held: bool = True) -> JobSlot:
        slot = JobSlot(
            client_id,
            free=lambda: self._free(job_id, slot),
            confirm=lambda: self._confirm(job_id, slot),
            is_held=is_held,
        )
        return slot

    def _free(self, job_id: str, slot: JobSlot) -> None:
        if self._waiting.get(job_id) is slot:
            del self._waiting[job_id]
        if self._assigned.get(job_id) is slot:
            del self._assigned[job_id]
            self._slots.finish(job_id)
            self.release_disk()
            self._note_change()
            self.give_to_waiting()

    def _confirm(self, job_id: str, slot: JobSlot) -> None:
        if self._assigned.get(job_id) is slot:
            self._slots.connected(job_id, slot.client_id, trio.current_time())
            self._note_change()

    def _take_lost(self) -> None:
        """Takes their slots from the jobs that have lost them."""
        for job_id, loss in self._slots.take_lost().items():
            _log.info("The job has lost its slot.", job=job_id, why=loss.name)
            slot = self._assigned.pop(job_id, None)
            if slot is not None:  # else it was freed in the same turn
                slot.lose(loss)

    # --- jobs that wait for a slot ----------------------------------------------------------

    def await_slot(self, client_id: str, job_id: str) -> JobSlot:
        """Returns the slot of an interrupted job, which it gets before any new job gets one."""
        slot = self._waiting[job_id] = self._new_slot(job_id, client_id, is_held=False)
        slot.is_confirmed = True
        return slot

    def give_to_waiting(self) -> None:
        """Gives free slots to the jobs that wait for one."""
        for job_id, slot in list(self._waiting.items()):
            if not self._is_closed and self._slots.occupy(job_id, slot.client_id):
                del self._waiting[job_id]
                self._assigned[job_id] = slot
                self._note_change()
                slot.hold()

    def close(self) -> None:
        """Gives no more slots to jobs that wait."""
        self._is_closed = True

    # --- changes ----------------------------------------------------------------------------

    async def wait_change(self) -> None:
        """Waits until a slot is given, freed or reserved, or a promise expires, and drops what expired."""
        expiry = self._slots.next_expiry
        with trio.move_on_at(float("inf") if expiry is None else expiry):
            await self._has_changed.wait()
        self._has_changed = trio.Event()
        self._slots.expire(trio.current_time())
        self._take_lost()
        self._requests = self._accepted()
        self.release_disk()

    def _note_change(self) -> None:
        self._has_changed.set()
