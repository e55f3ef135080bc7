"""Workers that keep to the protocol but aren't ours: what they leave out, and how else they say things."""

import zipfile

import pytest
import trio

from sleaprtc.errors import JobFailedError
from sleaprtc.protocol.messages import ErrorMessage, PeerMessage
from sleaprtc.rtc.peer import IceSettings, open_peer
from sleaprtc.transfer.stream import open_transfers

from ..lab import make_labels

pytestmark = [pytest.mark.trio]


@pytest.fixture
def labels(tmp_path):
    return make_labels(tmp_path / "flies.pkg.slp")


class ForeignWorker:
    """Takes one job by hand: raw payloads, and files of the test's choice."""

    def __init__(self, lab, results, last_words):
        self.lab = lab
        self.results = results
        self.last_words = last_words

    async def run(self, task_status):
        async with self.lab.peer("foreign", "worker") as self.link:
            task_status.started()
            await self._work()

    async def _say(self, payload):
        await self.link.send(PeerMessage("foreign", self.client, {"job_id": self.job_id, **payload}))

    async def _work(self):
        request = await self._next("job_request")
        self.client, self.job_id = request.from_peer_id, request.payload["job_id"]
        info = {"gpu_utilization": None, "available_memory_mb": None}
        await self._say(
            {
                "app_message_type": "job_response",
                "accepted": True,
                "estimated_start_time_sec": 0,
                "estimated_duration_minutes": None,
                "worker_info": info,
                "reason": None,
            }
        )
        await self._next("job_assignment")
        signals_send, signals = trio.open_memory_channel(100)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._forward, signals_send)
            async with (
                open_peer(
                    local_id="foreign",
                    remote_id=self.client,
                    initiator=False,
                    send=self.link.send,
                    incoming=signals,
                    ice=IceSettings(loopback=True),
                ) as peer,
                open_transfers(peer.channel) as transfers,
            ):
                incoming = await transfers.next_offer()
                await incoming.accept(self.lab.tmp_path / "foreign")
                status = {"app_message_type": "job_status", "status": "running", "progress": 0}
                await self._say({**status, "details": {"current_epoch": 25.0, "val_loss": None}})
                for payload in self.last_words:
                    await self._say(payload)
                for path in self.results:
                    await transfers.send_file(path, purpose="model")
                await transfers.wait_closed()
            nursery.cancel_scope.cancel()

    async def _next(self, kind):
        while True:
            message = await self.link.receive()
            if isinstance(message, PeerMessage) and message.payload["app_message_type"] == kind:
                return message

    async def _forward(self, signals):
        while True:
            message = await self.link.receive()
            if not isinstance(message, PeerMessage | ErrorMessage):
                await signals.send(message)


COMPLETE = {"app_message_type": "job_complete", "result": {"final_loss": 0.1, "model_size_mb": None}}


async def train(lab, labels, results, *last_words):
    (lab.tmp_path / "foreign").mkdir()
    failure = None
    async with trio.open_nursery() as nursery:
        await nursery.start(ForeignWorker(lab, results, last_words).run)
        try:
            completed = await lab.train(labels)
        except JobFailedError as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return completed


async def test_a_checkpoint_stays_in_one_piece(lab, labels, tmp_path):
    with zipfile.ZipFile(tmp_path / "best.ckpt", "w") as checkpoint:  # as PyTorch writes them
        checkpoint.writestr("best/data.pkl", b"weights")
    completed = await train(lab, labels, [tmp_path / "best.ckpt"], COMPLETE)
    assert completed.model_dirs == (str(tmp_path / "models" / "best.ckpt"),)
    assert zipfile.is_zipfile(completed.model_dirs[0])


async def test_several_files_come_though_nobody_said_how_many(lab, labels, tmp_path):
    paths = [tmp_path / "best.ckpt", tmp_path / "training_config.yaml"]
    for path in paths:
        path.write_bytes(b"weights")
    completed = await train(lab, labels, paths, COMPLETE)
    assert [path.rpartition("/")[2] for path in completed.model_dirs] == [path.name for path in paths]


async def test_a_model_without_a_word(lab, labels, tmp_path):
    (tmp_path / "model.h5").write_bytes(b"content")
    completed = await train(lab, labels, [tmp_path / "model.h5"])
    assert len(completed.model_dirs) == 1


@pytest.mark.parametrize(
    "payload",
    [
        {"error": {"code": "OOM", "message": "Out of memory.", "recoverable": None}},
        {"error": {"code": 7, "message": "Out of memory."}},
        {"error": "Out of memory."},
    ],
)
async def test_a_failure_in_any_form_ends_the_job(lab, labels, payload):
    with trio.fail_after(60), pytest.raises(JobFailedError, match="Out of memory"):
        await train(lab, labels, [], {"app_message_type": "job_failed", **payload})


async def test_a_checkpoint_with_code_in_it_is_set_aside(lab, labels, tmp_path):
    with zipfile.ZipFile(tmp_path / "best.ckpt", "w") as checkpoint:
        checkpoint.writestr("best/data.pkl", b"\x80\x02cos\nsystem\n.")
    completed = await train(lab, labels, [tmp_path / "best.ckpt"], COMPLETE)
    assert completed.model_dirs == (str(tmp_path / "models" / "best.ckpt.unsafe"),)
    assert not (tmp_path / "models" / "best.ckpt").exists()
