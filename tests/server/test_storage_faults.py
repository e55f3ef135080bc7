"""A database that fails under a running server."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from sleaprtc.storage.sqlite import DATABASE_FILE_NAME

from .trio_peer import open_lab, to


@pytest.mark.logs_error("A request failed")
async def test_calls_fail_in_words_and_the_room_goes_on(start_server: Callable[..., Any]) -> None:
    server = await start_server()
    async with open_lab(server.ws_url, server.http_url) as lab, lab.peer("me") as me:
        with closing(sqlite3.connect(server.state_dir / DATABASE_FILE_NAME)) as database:
            database.execute("DROP TABLE rooms")
        for answer in (
            await lab.post("/create-room"),
            await lab.post("/renew-room", room_id=lab.room["room_id"]),
            await lab.post("/delete-peers-and-room", room_id=lab.room["room_id"]),
        ):
            assert answer.status_code == 500
            assert answer.json()["error"] == "STORAGE"
            assert "Traceback" not in answer.text
        assert await me.ask(to("me", "me")) == to("me", "me")
        assert (await lab.http.get("/health")).status_code == 200
