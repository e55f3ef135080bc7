"""A worker of somebody else's, which knows only the protocol."""

from __future__ import annotations

import trio

from sleaprtc.errors import ChannelClosedError, TransferRefusedError
from sleaprtc.protocol.messages import ErrorMessage, PeerMessage
from sleaprtc.rtc.peer import IceSettings, open_peer
from sleaprtc.transfer.stream import open_transfers


class ForeignWorker:
    """Takes one job by hand: raw payloads, and files of the test's choice."""

    def __init__(self, lab, results, last_words=(), purpose="model"):
        self.purpose = purpose
        self.refusals = []
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
                    try:
                        await transfers.send_file(path, purpose=self.purpose)
                    except TransferRefusedError as error:
                        self.refusals.append(str(error))
                    except ChannelClosedError:
                        break  # the client has left
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
