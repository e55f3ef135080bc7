"""How often a room is looked at and its workers are asked by somebody who waits; no time really passes."""

import math

import pytest
import trio
import trio.testing

from sleaprtc.client.events.job import Waiting
from sleaprtc.client.jobs.order.filters import WorkerFilters
from sleaprtc.client.jobs.order.persistence import Patience
from sleaprtc.client.jobs.submission.wait import PAUSE_MOST_SEC, WorkerQueue
from sleaprtc.errors import (
    NoWorkerError,
    RoomExpiredError,
    SignalingLostError,
    WorkerLostError,
    WorkerUnreachableError,
)
from sleaprtc.protocol.jobs import JobCancel, JobResponse
from sleaprtc.protocol.messages import Metadata, PeerInfo


class Room:
    """What the queue sees of a room, and what it does there."""

    def __init__(self, **statuses):
        self.statuses = statuses
        self.asked_at = []
        self.looks = 0
        self.sent = []
        self.answers = [NoWorkerError("Nobody is there.")]
        self.late, self._late = trio.open_memory_channel(10)
        self.failure = None

    async def discover(self, filters):
        await trio.lowlevel.checkpoint()
        self.looks += 1
        if self.failure is not None:
            raise self.failure
        return tuple(
            PeerInfo(name, "worker", Metadata((), {} if status is None else {"status": status}), 0)
            for name, status in self.statuses.items()
        )

    async def next_job_message(self):
        return await self._late.receive()

    async def send(self, worker_id, message):
        self.sent.append((worker_id, message))

    async def ask(self):
        self.asked_at.append(trio.current_time())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def wait(self, wait_sec=math.inf, worker=None, **patience):
        events = []
        queue = WorkerQueue(
            link=self,
            inbox=self,
            filters=WorkerFilters(),
            worker=worker,
            patience=Patience(wait_sec, **patience),
            emit=events.append,
        )
        began = trio.current_time()
        try:
            return await queue.until_taken(self.ask), events
        finally:
            self.asked_at = [at - began for at in self.asked_at]


@pytest.fixture
def clock():
    return trio.testing.MockClock(autojump_threshold=0)


def run(clock, test):
    trio.run(test, clock=clock)


def test_a_worker_that_becomes_free_is_asked_soon(clock):
    async def test():
        room = Room(gpu="busy")
        room.answers = [NoWorkerError("gpu said busy", busy=("gpu",)), "taken"]

        async def become_free():
            await trio.sleep(40)
            room.statuses["gpu"] = "available"

        async with trio.open_nursery() as nursery:
            nursery.start_soon(become_free)
            taken, events = await room.wait()
        assert taken == "taken"
        assert 40 <= room.asked_at[1] < 42
        assert [type(event) for event in events] == [Waiting]
        assert events[0].patience_sec is None

    run(clock, test)


def test_a_room_that_stays_as_it_is_is_asked_once_a_minute(clock):
    async def test():
        room = Room(gpu="busy")
        with pytest.raises(NoWorkerError, match="Waited 10 min without success"):
            await room.wait(600)
        assert len(room.asked_at) <= 12
        gaps = [b - a for a, b in zip(room.asked_at, room.asked_at[1:], strict=False)]
        assert all(gap > 55 for gap in gaps[:-1])

    run(clock, test)


def test_a_worker_says_when_to_ask_again(clock):
    async def test():
        room = Room(gpu="busy")
        room.answers = [NoWorkerError("busy", busy=("gpu",), retry_after_sec=20), "taken"]
        await room.wait()
        assert 20 <= room.asked_at[1] < 23

    run(clock, test)


@pytest.mark.parametrize("retry_after_sec", [-5.0, 0.0, 1e300])
def test_what_is_not_to_be_believed_neither_floods_nor_blocks(clock, retry_after_sec):
    async def test():
        room = Room(gpu="busy")
        room.answers = [NoWorkerError("busy", busy=("gpu",), retry_after_sec=retry_after_sec)]
        with pytest.raises(NoWorkerError):
            await room.wait(3600)
        assert 3 <= len(room.asked_at) <= 3600 / PAUSE_MOST_SEC + 10

    run(clock, test)


def test_a_worker_that_looks_free_and_refuses_is_not_asked_again_and_again(clock):
    async def test():
        room = Room(gpu="available", other=None)
        room.answers = [NoWorkerError("busy", busy=("gpu",))]
        with pytest.raises(NoWorkerError):
            await room.wait(3600)
        assert len(room.asked_at) <= 3600 / PAUSE_MOST_SEC + 10

    run(clock, test)


def test_only_the_worker_that_is_wanted_counts(clock):
    async def test():
        room = Room(wanted="busy")

        async def others_come():
            for number in range(20):
                await trio.sleep(2)
                room.statuses[f"other-{number}"] = "available"

        async with trio.open_nursery() as nursery:
            nursery.start_soon(others_come)
            with pytest.raises(NoWorkerError):
                await room.wait(50, worker="wanted")
        assert len(room.asked_at) == 2  # the last is for whoever was free and nobody saw

    run(clock, test)


def test_without_patience_nothing_is_added(clock):
    async def test():
        room = Room()
        with pytest.raises(NoWorkerError) as caught:
            await room.wait(0)
        assert str(caught.value) == "Nobody is there."
        assert len(room.asked_at) == 1

    run(clock, test)


def test_a_server_that_is_away_is_waited_for_too(clock):
    async def test():
        room = Room()
        room.failure = SignalingLostError("The server is away.")
        room.answers = [SignalingLostError("The server is away."), "taken"]
        taken, _ = await room.wait()
        assert taken == "taken"

    run(clock, test)


def test_a_room_that_has_ended_ends_the_wait(clock):
    async def test():
        room = Room(gpu="busy")

        async def end():
            await trio.sleep(10)
            room.failure = RoomExpiredError("The room has ended.")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(end)
            with pytest.raises(RoomExpiredError):
                await room.wait()

    run(clock, test)


def test_who_accepts_too_late_is_told_to_let_go(clock):
    async def test():
        room = Room(gpu="busy")
        await room.late.send(("gpu", JobResponse("job", accepted=True)))
        await room.late.send(("gpu", JobResponse("job", accepted=False)))
        with pytest.raises(NoWorkerError):
            await room.wait(10)
        assert room.sent == [("gpu", JobCancel("job", "assigned_elsewhere"))]

    run(clock, test)


def test_another_reason_to_wait_counts_as_long_as_it_lasts(clock):
    async def test():
        room = Room(gpu="busy")
        began = trio.current_time()
        with pytest.raises(NoWorkerError):
            await room.wait(0, is_worth_waiting=lambda: trio.current_time() - began < 100)
        assert 100 <= trio.current_time() - began < 105

    run(clock, test)


def test_a_worker_that_is_lost_before_it_begins_is_waited_for(clock):
    async def test():
        room = Room(gpu="available")
        room.answers = [WorkerLostError("gpu has left the room.", before_work=True), "taken"]
        taken, _ = await room.wait()
        assert taken == "taken"
        room.answers = [WorkerUnreachableError("No path to gpu.", before_work=True)]
        with pytest.raises(
            WorkerUnreachableError, match=r"No path to gpu\. Waited 10 min without success\."
        ) as caught:
            await room.wait(600)
        assert caught.value.before_work

    run(clock, test)


def test_a_worker_that_is_lost_later_isn_t_waited_for(clock):
    async def test():
        room = Room(gpu="available")
        room.answers = [WorkerLostError("gpu has left the room.")]
        with pytest.raises(WorkerLostError):
            await room.wait()
        assert len(room.asked_at) == 1

    run(clock, test)
