"""The five seconds for answers, on a clock that only the test moves."""

import math

import pytest
import trio
import trio.testing

from sleaprtc.access.place import ConnectionOptions
from sleaprtc.client.events.job import Answered
from sleaprtc.client.inputs.dataset import Dataset
from sleaprtc.client.jobs.order.filters import WhichWorker
from sleaprtc.client.jobs.order.job_order import JobOrder
from sleaprtc.client.jobs.order.settings import TrainingSettings
from sleaprtc.client.jobs.submission.submit import Submission
from sleaprtc.client.results.delivery import ModelFolders
from sleaprtc.errors import NoWorkerError
from sleaprtc.jobs.negotiation import SelectionRule
from sleaprtc.protocol.jobs import DatasetInfo, JobResponse
from sleaprtc.protocol.limits import JOB_RESPONSE_TIMEOUT_SEC
from sleaprtc.protocol.messages import Metadata, PeerInfo


class Room:
    """Stands in for link and inbox: workers that answer after so many seconds, or never."""

    def __init__(self, answers):
        self.answers = answers
        self.sent = []
        self._send, self._receive = trio.open_memory_channel(math.inf)
        self.nursery = None

    async def discover(self, _):
        return tuple(PeerInfo(name, "worker", Metadata(), 0.0) for name in self.answers)

    async def send(self, to_peer_id, message):
        self.sent.append((to_peer_id, message))
        self.nursery.start_soon(self._answer, to_peer_id, message.job_id)

    async def _answer(self, worker, job_id):
        after_sec, accepted = self.answers[worker]
        await trio.sleep(after_sec)
        self._send.send_nowait((worker, JobResponse(job_id, accepted, reason="busy")))

    async def next_job_message(self):
        return await self._receive.receive()


async def ask(answers, tmp_path):
    room, events = Room(answers), []
    dataset = Dataset(tmp_path / "a.slp", DatasetInfo())
    order = JobOrder(dataset, TrainingSettings(), ModelFolders(tmp_path / "out"))
    submission = Submission(
        link=room,
        inbox=room,
        order=order,
        connection=ConnectionOptions(),
        emit=events.append,
    )
    start = trio.current_time()
    async with trio.open_nursery() as room.nursery:
        with pytest.raises(NoWorkerError) as caught:
            await submission.run()
        took_sec = trio.current_time() - start
        room.nursery.cancel_scope.cancel()
    (answered,) = [event for event in events if isinstance(event, Answered)]
    return took_sec, str(caught.value), {a.worker: a.accepted for a in answered.answers}


async def test_silence_ends_after_five_seconds(autojump_clock, tmp_path):
    took_sec, sentence, answers = await ask({"quick": (1, False), "silent": (math.inf, True)}, tmp_path)
    assert took_sec == pytest.approx(JOB_RESPONSE_TIMEOUT_SEC) == pytest.approx(5)
    assert answers == {"quick": False, "silent": None}
    assert "quick said busy" in sentence
    assert "silent didn't answer" in sentence


async def test_an_answer_after_five_seconds_is_too_late(autojump_clock, tmp_path):
    took_sec, _, answers = await ask({"late": (5.1, True)}, tmp_path)
    assert (took_sec, answers) == (pytest.approx(5), {"late": None})


async def test_an_acceptance_is_taken_up_before_its_slot_is_free_again(autojump_clock, tmp_path):
    """A slot is held for ten seconds, however long the client is willing to wait for the others."""
    room = Room({"quick": (1, True), "silent": (math.inf, True)})
    order = JobOrder(
        Dataset(tmp_path / "a.slp", DatasetInfo()),
        TrainingSettings(),
        ModelFolders(tmp_path),
        WhichWorker(response_timeout_sec=60),
    )
    submission = Submission(
        link=room, inbox=room, order=order, connection=ConnectionOptions(), emit=lambda _: None
    )
    async with trio.open_nursery() as room.nursery:
        start = trio.current_time()
        negotiation = await submission._ask(["quick", "silent"])
        assert trio.current_time() - start < 10
        assert negotiation.ranked(SelectionRule.FASTEST) == ["quick"]
        room.nursery.cancel_scope.cancel()


async def test_nobody_waits_once_all_have_answered(autojump_clock, tmp_path):
    took_sec, _, answers = await ask({"a": (0.5, False), "b": (2, False)}, tmp_path)
    assert (took_sec, answers) == (pytest.approx(2), {"a": False, "b": False})
