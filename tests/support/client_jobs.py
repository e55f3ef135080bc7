"""A client's jobs: their records, and what it has seen of them."""

from __future__ import annotations

import time

from sleaprtc.client.events.job import StatusChanged
from sleaprtc.client.records.files import JobRecord

from ..support.waiting import until


def a_record(**changes):
    """The record of a job in a room that can't be reached."""
    fields = {
        "job_id": "job",
        "attach_key": "key",
        "worker": "gpu-1",
        "ws_url": "ws://127.0.0.1:1",
        "http_url": "http://127.0.0.1:1",
        "room_id": "room",
        "token": "token1",
        "dataset": "/flies.pkg.slp",
        "configs": (),
        "out_dir": "/models",
        "started_at": 0.0,
    }
    return JobRecord(**{**fields, **changes})


def record_of(lab, job_id, **changes):
    """The record of a job in a lab's room."""
    fields = {
        "job_id": job_id,
        "ws_url": lab.endpoints.ws_url,
        "http_url": lab.endpoints.http_url,
        "room_id": lab.room.room_id,
        "token": lab.room.token,
        "out_dir": "models",
        "started_at": time.time(),
    }
    return a_record(**{**fields, **changes})


async def is_in_state(asker, state):
    """Whether the worker gives this as the job's state."""
    return (await asker.state()).state == state


async def seen_training(events):
    """Waits until the client knows that its job has begun."""
    await until(lambda: any(isinstance(event, StatusChanged) and event.current_epoch for event in events))
