"""What a peer receives of jobs, and how a worker's status is awaited."""

from __future__ import annotations

import trio

from sleaprtc.protocol.codec import decode_job_message
from sleaprtc.protocol.messages import PeerMessage


async def answer(link, *, of=None):
    while True:
        message = await link.receive()
        if isinstance(message, PeerMessage):
            decoded = decode_job_message(message.payload)
            if of is None or isinstance(decoded, of):
                return decoded


async def status_becomes(link, wanted):
    while True:
        (worker,) = await link.discover({"role": "worker"})
        if worker.metadata.properties["status"] == wanted:
            return
        await trio.sleep(0.02)
