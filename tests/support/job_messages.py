"""What a peer receives of jobs, and how a worker's status is awaited."""

from __future__ import annotations

from sleaprtc.protocol.codec import decode_job_message
from sleaprtc.protocol.messages import PeerMessage

from .waiting import until


async def answer(link, *, of=None):
    while True:
        message = await link.receive()
        if isinstance(message, PeerMessage):
            decoded = decode_job_message(message.payload)
            if of is None or isinstance(decoded, of):
                return decoded


async def status_becomes(link, wanted):
    async def is_so():
        (worker,) = await link.discover({"role": "worker"})
        return worker.metadata.properties["status"] == wanted

    await until(is_so)
