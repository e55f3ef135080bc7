"""A database that fails under a running server."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from sleaprtc.errors import StorageError
from sleaprtc.storage.sqlite import DATABASE_FILE_NAME, open_sqlite_storage

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


async def test_a_database_of_a_later_version_is_left_alone(tmp_path: Any) -> None:
    async with open_sqlite_storage(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / DATABASE_FILE_NAME)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StorageError, match="99"):
        async with open_sqlite_storage(tmp_path):
            pass
