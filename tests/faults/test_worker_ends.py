"""A worker's process ends in each way while it trains, and is started again."""

from __future__ import annotations

import os
import signal
from urllib.parse import urlsplit

import attrs
import pytest
import trio

from sleaprtc.client.events.job import StatusChanged
from sleaprtc.client.jobs.attach import attach_to_job
from sleaprtc.client.records.files import load_all

from ..support.lab import LOOPBACK
from ..support.waiting import until
from .processes import EXIT_SEC, Programs, ending, is_model_of, make_dataset, processes_below

EPOCHS = 8


@pytest.fixture
def programs(lab, tmp_path):
    ws_port, http_port = (urlsplit(url).port for url in (lab.endpoints.ws_url, lab.endpoints.http_url))
    room = {"SLEAP_RTC_ROOM_ID": lab.room.room_id, "SLEAP_RTC_TOKEN": lab.room.token}
    return Programs(tmp_path, ws_port, http_port, ws_port, http_port, room)


@pytest.fixture(autouse=True)
def no_farewell(monkeypatch):
    async def say_nothing(_):
        return

    monkeypatch.setattr("sleaprtc.client.jobs.follower.follow.Follower._cancel_job", say_nothing)


def epochs_in(events):
    return [
        event.current_epoch for event in events if isinstance(event, StatusChanged) and event.current_epoch
    ]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_training_goes_on_however_its_worker_ends(lab, programs, tmp_path, number):
    dataset = await trio.to_thread.run_sync(make_dataset, tmp_path / "flies.pkg.slp", 100_000, 1)
    events = []
    async with ending(await programs.start_worker("gpu-1")) as worker:
        await until(lambda: "waits for jobs" in programs.said("gpu-1"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: lab.train(dataset, events.append, settings={"epochs": EPOCHS}))
            await until(lambda: 3 in epochs_in(events))
            nursery.cancel_scope.cancel()
        trainers = processes_below(programs.work_dir("gpu-1"))
        assert trainers
        for pid in trainers:
            os.kill(pid, signal.SIGINT)  # which is nobody's business but the worker's
        worker.send_signal(number)
        with trio.fail_after(EXIT_SEC):
            status = await worker.wait()
    await until(lambda: not processes_below(programs.work_dir("gpu-1")))  # nothing writes there any more
    if number != signal.SIGKILL:
        assert status == 0
        assert "is interrupted after epoch " in programs.said("gpu-1")
    (record,) = load_all()
    events = []
    async with ending(await programs.start_worker("gpu-1")):
        completed = await attach_to_job(
            attrs.evolve(record, last_seq=0), connection=LOOPBACK, emit=events.append
        )
    epochs = epochs_in(events)
    assert list(dict.fromkeys(epochs)) == list(range(1, EPOCHS + 1))
    assert len(epochs) <= EPOCHS + 1
    assert (completed.total_epochs, completed.cut_short) == (EPOCHS, None)
    assert is_model_of(dataset, list(completed.model_dirs))
