"""The client and the worker as processes of their own."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager

from . import prepared

TIMEOUT_SEC = 120


def environment(server, room=None, **more):
    own = "SLEAP_RTC_STATE_DIR"  # where the room is remembered: a test's own, as the fixture has it
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SLEAP_RTC_") or key == own}
    addresses = {"SLEAP_RTC_SIGNALING_WS": server.ws_url, "SLEAP_RTC_SIGNALING_HTTP": server.http_url}
    credentials = {"SLEAP_RTC_ROOM_ID": room["room_id"], "SLEAP_RTC_TOKEN": room["token"]} if room else {}
    return {**kept, **addresses, **credentials, "SLEAP_RTC_ICE_LOOPBACK": "1", **more}


def client(server, *arguments, room=None, **more):
    return prepared.run("sleaprtc.client", *arguments, env=environment(server, room, **more))


@contextmanager
def running_worker(server, work_dir, *options, room=None):
    """A worker process; its first lines are read until it waits for jobs."""
    words = ("--work-dir", work_dir, *options)
    env = environment(server, room)
    with prepared.popen("sleaprtc.worker", *words, env=env, stderr=subprocess.STDOUT) as process:
        try:
            said = []
            while not said or "waits for jobs" not in said[-1]:
                line = process.stdout.readline()
                assert line, "".join(said)
                said.append(line)
            yield process, "".join(said)
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
