"""Peers that come and go leave nothing behind: no task, no peer, no descriptor."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from ..server.trio_peer import open_lab
from ..support.raw_websocket import fragments, upgraded_stream
from ..support.waiting import until

JOINS = int(os.environ.get("SLEAP_RTC_TEST_JOINS", "1000"))
"""The full 10,000 take a quarter of a minute on one core; the default, two seconds."""

AT_ONCE = 25


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors as Linux shows them")
async def test_joins_and_leaves_leave_nothing_behind(start_server: Callable[..., Any]) -> None:
    server = await start_server()
    async with open_lab(server.ws_url, server.http_url) as lab:
        registration = {
            "type": "register",
            "room_id": lab.room["room_id"],
            "token": lab.room["token"],
            "id_token": lab.id_token,
        }

        async def come_and_go(first: int, count: int) -> None:
            for number in range(first, first + count):
                async with await upgraded_stream(server.ws_url) as stream:
                    await stream.send_all(fragments({**registration, "peer_id": f"p{number}"}, 120))
                    received = b""
                    while b"registered_auth" not in received:
                        part = await stream.receive_some()
                        assert part, received
                        received += part
                    if number % 3 == 0:  # some say goodbye, most are just gone
                        await stream.send_all(b"\x88\x80\0\0\0\0")

        async def counts() -> dict[str, Any]:
            return json.loads((await lab.http.get("/metrics")).text)

        async def is_alone() -> bool:
            return bool((await counts())["active_connections"] <= 1)

        await come_and_go(0, 20)  # whatever is made once is made now
        async with lab.peer("stays") as stays:
            before_tasks = trio.lowlevel.current_statistics().tasks_living
            before_descriptors = descriptors()
            with trio.fail_after(240):
                async with trio.open_nursery() as nursery:
                    for worker in range(AT_ONCE):
                        nursery.start_soon(come_and_go, 1000 * (worker + 1), JOINS // AT_ONCE)
            await until(is_alone)
            await trio.testing.wait_all_tasks_blocked(0.05)
            left = await counts()
            assert left["total_connections"] >= JOINS // AT_ONCE * AT_ONCE
            assert left["peers_by_role"] == {"peer": 1}
            found = await stays.ask({"type": "discover_peers", "from_peer_id": "stays", "filters": {}})
            assert found["count"] == 0
            with trio.fail_after(60):  # connections that are on their way out take seconds, not for ever
                await until(lambda: trio.lowlevel.current_statistics().tasks_living <= before_tasks + 2)
                await until(lambda: descriptors() <= before_descriptors + 2)
