"""Programs that a demo starts: their output is read, and none of them outlives the demo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trio

from sleaprtc.demo.parts import open_parts
from sleaprtc.errors import JobFailedError

from ..support.waiting import until

PYTHON = sys.executable
SLEEPS = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(child.pid, flush=True); time.sleep(60)"
)
OWNER = f"""
import trio
from sleaprtc.demo.parts import open_parts

async def main():
    async with open_parts(lambda name, line: None) as parts:
        part = await parts.start("sleeper", [{PYTHON!r}, "-c", {SLEEPS!r}])
        await part.line(lambda text: text == "up")
        print(part.process.pid, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


def ignore(name: str, line: str) -> None:
    """A narrator that says nothing."""


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def until_gone(pid: int) -> None:
    await until(lambda: not is_running(pid))


async def test_what_a_part_says_is_told_under_its_name() -> None:
    heard: list[tuple[str, str]] = []
    async with open_parts(lambda name, line: heard.append((name, line))) as parts:
        script = "import sys; print('one\\ntwo'); print('three', file=sys.stderr)"
        assert await parts.run("speaker", [PYTHON, "-c", script]) == ["one", "two"]
    assert sorted(heard) == [("speaker", "one"), ("speaker", "three"), ("speaker", "two")]


async def test_a_failing_part_is_an_error_with_its_last_words() -> None:
    async with open_parts(ignore) as parts:
        with pytest.raises(JobFailedError, match="exit status 3") as caught:
            await parts.run(
                "thing", [PYTHON, "-c", "import sys; print('no luck', file=sys.stderr); sys.exit(3)"]
            )
    assert "no luck" in str(caught.value)


async def test_waiting_for_a_line_ends_when_nobody_is_left_to_say_it() -> None:
    async with open_parts(ignore) as parts:
        part = await parts.start("mute", [PYTHON, "-c", ""])
        with pytest.raises(JobFailedError, match="mute"):
            await part.line(lambda text: text == "ready")


async def test_the_block_ends_when_a_part_that_must_stay_leaves() -> None:
    with pytest.RaisesGroup(JobFailedError, flatten_subgroups=True):
        async with open_parts(ignore) as parts:
            await parts.start("server", [PYTHON, "-c", ""], must_stay=True)
            await trio.sleep_forever()


async def test_parts_and_their_children_end_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sleaprtc.demo.parts.TERMINATION_GRACE_SEC", 0.3)
    monkeypatch.setattr("sleaprtc.demo.parts.LAST_GRACE_SEC", 0.3)
    async with open_parts(ignore) as parts:
        stubborn = await parts.start("stubborn", [PYTHON, "-c", STUBBORN], must_stay=True)
        parent = await parts.start("parent", [PYTHON, "-c", PARENT])
        await stubborn.line(lambda text: text == "up")
        child_pid = int(await parent.line(str.isdigit))
    assert not is_running(stubborn.process.pid)
    assert not is_running(parent.process.pid)
    await until_gone(child_pid)


async def test_parts_end_when_the_block_is_cancelled() -> None:
    with trio.CancelScope() as scope:
        async with open_parts(ignore) as parts:
            part = await parts.start("sleeper", [PYTHON, "-c", SLEEPS])
            await part.line(lambda text: text == "up")
            scope.cancel()
            await trio.sleep_forever()
    assert not is_running(part.process.pid)


def test_parts_end_even_when_their_owner_is_killed() -> None:
    owner = subprocess.Popen([PYTHON, "-c", OWNER], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner, owner.stdout:
        pid = int(owner.stdout.readline())
        owner.kill()
    trio.run(until_gone, pid)


async def test_a_user_s_own_settings_stay_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLEAP_RTC_ROOM_ID", "mine")
    script = "import os; print(os.environ.get('SLEAP_RTC_ROOM_ID'), os.environ['SLEAP_RTC_TOKEN'])"
    async with open_parts(ignore) as parts:
        assert await parts.run("env", [PYTHON, "-c", script], env={"SLEAP_RTC_TOKEN": "t"}) == ["None t"]
