"""A worker that is started while its server restarts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..support import prepared
from ..support.lying_server import Cut, LyingServer, honest_http, honest_messages, lying_server

TIMEOUT_SEC = 60


@pytest.fixture
def liar() -> Iterator[LyingServer]:
    with lying_server() as server:
        yield server


def cut_at_first(honest: Any, *, times: int, is_reset: bool = True) -> Callable[[Any], Any]:
    """Cuts the connection so many times, and is a good server then."""
    left = times

    def answer(request: Any) -> Any:
        nonlocal left
        left -= 1
        if left >= 0:
            return Cut(is_reset=is_reset)
        return honest(request) if callable(honest) else honest

    return answer


def http_cut(path: str, is_reset: bool) -> Callable[[LyingServer], None]:
    def cut(liar: LyingServer) -> None:
        liar.http[path] = cut_at_first(honest_http()[path], times=2, is_reset=is_reset)

    return cut


def handshake_cut(is_reset: bool) -> Callable[[LyingServer], None]:
    def cut(liar: LyingServer) -> None:
        liar.handshake = cut_at_first(None, times=2, is_reset=is_reset)

    return cut


def registration_cut(liar: LyingServer) -> None:
    liar.messages["register"] = cut_at_first(honest_messages()["register"], times=2)


CUTS = {
    "sign-in is reset": http_cut("/anonymous-signin", True),
    "sign-in is closed": http_cut("/anonymous-signin", False),
    "room creation is reset": http_cut("/create-room", True),
    "handshake is reset": handshake_cut(True),
    "handshake is closed": handshake_cut(False),
    "registration is reset": registration_cut,
}


def start(liar: LyingServer, work_dir: Path) -> prepared.Process:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SLEAP_RTC_ROOM")}
    addresses = {key: value for key, value in liar.environment().items() if "SIGNALING" in key}
    words = ("--name", "w", "--work-dir", work_dir)
    return prepared.popen("sleaprtc.worker", *words, env={**kept, **addresses}, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_connection_that_the_server_cuts_is_tried_again(
    liar: LyingServer, tmp_path: Path, cut: Callable[[LyingServer], None]
) -> None:
    cut(liar)
    with start(liar, tmp_path / "work") as worker:
        try:
            said = ""
            while "waits for jobs" not in said:
                line = worker.stdout.readline()
                assert line, said
                said += line
            assert len(re.findall("Trying again until it works", said)) == 1
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(TIMEOUT_SEC) == 0
        finally:
            worker.kill()


def test_a_port_where_nobody_listens_ends_the_worker(tmp_path: Path) -> None:
    with lying_server() as gone:
        pass
    with start(gone, tmp_path / "work") as worker:
        said = worker.stdout.read()
        assert worker.wait(TIMEOUT_SEC) == 5
    assert "Connection refused" in said
