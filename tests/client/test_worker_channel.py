"""The data channel to a worker, where it is this side that fails."""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager

import pytest
import trio

from sleaprtc.client.events.job import Connected
from sleaprtc.client.jobs.follower import worker_channel
from sleaprtc.errors import WorkerLostError

from ..support.lab import make_labels


async def send_nothing(_):
    await trio.sleep_forever()


@pytest.mark.logs_error("RuntimeError: a bug")
async def test_a_failure_that_repeats_after_a_connection_ends_in_time_before_work(lab, tmp_path, monkeypatch):
    monkeypatch.setattr(worker_channel, "RECONNECT_SEC", 0.2)
    monkeypatch.setattr(worker_channel, "NOTICE_DELAY_SEC", 0)
    monkeypatch.setattr(worker_channel, "backoff_delays", lambda: itertools.repeat(0.05))
    monkeypatch.setattr("sleaprtc.client.jobs.follower.exchange.FileExchange.send_inputs", send_nothing)
    attempts = []
    open_peer = worker_channel.open_peer

    @asynccontextmanager
    async def open_once(**arguments):
        attempts.append(arguments["remote_id"])
        if len(attempts) > 1:
            raise RuntimeError("a bug")
        async with open_peer(**arguments) as peer, trio.open_nursery() as nursery:

            async def lose() -> None:
                await trio.sleep(0.1)
                await peer.channel.aclose()

            nursery.start_soon(lose)
            yield peer
            nursery.cancel_scope.cancel()

    monkeypatch.setattr(worker_channel, "open_peer", open_once)
    events = []
    async with lab.worker("gpu-1"):
        with trio.fail_after(60), pytest.raises(WorkerLostError):
            await lab.train(make_labels(tmp_path / "a.pkg.slp"), events.append)
    assert sum(isinstance(event, Connected) for event in events) == 1
    assert len(attempts) > 2
