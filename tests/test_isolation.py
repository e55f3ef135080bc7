"""A test that goes wrong fails alone, in the end, and takes what it started with it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

INNER = """
import asyncio, logging
import hypothesis, pytest, trio
from sleaprtc.base.logs import get_logger
from tests.support.time_limits import limited

ended = []

def test_each_asynchronous_test_has_a_limit(request):
    tests = [item.obj for item in request.session.items if item.get_closest_marker("trio")]
    inner = [getattr(test, "hypothesis", None) for test in tests]
    limits = [(of.inner_test if of else test).__code__ for of, test in zip(inner, tests)]
    assert [code.co_name for code in limits] == ["within_limit"] * 4

def test_one_that_is_not_asynchronous_is_not_run_by_trio(request):
    assert request.node.get_closest_marker("trio") is None
    trio.run(trio.sleep, 0)

@hypothesis.given(hypothesis.strategies.integers())
async def test_any_number(number):
    await trio.sleep(0)

async def forever(nursery):
    async def child():
        try:
            await trio.sleep_forever()
        finally:
            ended.append("child")
    nursery.start_soon(child)
    await trio.sleep_forever()

async def test_too_slow(nursery):
    await limited(forever, 0.2)(nursery)

async def test_what_it_started_has_ended():
    assert ended == ["child"]

async def test_hours_on_another_clock(autojump_clock):
    await limited(trio.sleep, 60)(7200)

async def work():
    pass

def test_leaves_a_coroutine():
    ring = [work()]
    ring.append(ring)

def test_after_one_that_left_something():
    pass

def test_logs_an_error():
    get_logger("sleaprtc.worker").error("The disk is gone.", job="1")

@pytest.mark.logs_error("The disk is .one")
def test_logs_two_errors_and_expects_one():
    get_logger("sleaprtc.worker").error("The disk is gone.")
    logging.getLogger("aiortc").critical("So is the network.")

@pytest.mark.logs_error("disk", "ZeroDivisionError")
def test_logs_what_it_expects():
    get_logger("sleaprtc.worker").error("The disk is gone.")
    try:
        1 / 0
    except ZeroDivisionError:
        logging.getLogger("asyncio").exception("It failed.")

@pytest.mark.logs_error("disk")
def test_expects_an_error_in_vain():
    get_logger("sleaprtc.worker").warning("The disk is full.")

def test_loses_the_exception_of_a_task():
    async def lose():
        future = asyncio.get_running_loop().create_future()
        future.set_exception(RuntimeError("lost"))
        ring = [future]
        ring.append(ring)
    asyncio.run(lose())

def test_after_one_that_logged_errors():
    pass
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest prints of tests of their own, with this folder's conftest."""
    folder = tmp_path_factory.mktemp("inner")
    (folder / "test_inner.py").write_text(INNER)
    (folder / "conftest.py").write_text("from tests.conftest import *\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--rootdir", folder]
    ended = subprocess.run(
        [*command, "-c", ROOT / "pyproject.toml", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return ended.stdout + ended.stderr


def named(said: str, outcome: str) -> set[str]:
    return set(re.findall(rf"^{outcome} \S*::test_(\w+)", said, re.MULTILINE))


def test_only_those_fail_that_went_wrong(said: str) -> None:
    assert named(said, "FAILED") == {"too_slow"}, said
    assert named(said, "ERROR") == {
        "leaves_a_coroutine",
        "logs_an_error",
        "logs_two_errors_and_expects_one",
        "expects_an_error_in_vain",
        "loses_the_exception_of_a_task",
    }
    assert named(said, "PASSED") >= {
        "each_asynchronous_test_has_a_limit",
        "one_that_is_not_asynchronous_is_not_run_by_trio",
        "any_number",
        "what_it_started_has_ended",
        "hours_on_another_clock",
        "after_one_that_left_something",
        "logs_what_it_expects",
        "after_one_that_logged_errors",
    }


def test_each_says_what_went_wrong(said: str) -> None:
    assert "took more than 0.2 s" in said
    assert "forever" in said
    assert "ERROR sleaprtc.worker: The disk is gone." in said
    assert "CRITICAL aiortc: So is the network." in said
    assert "No error was logged that matches 'disk'." in said
    assert "RuntimeError: lost" in said


def test_no_test_has_a_limit_that_ends_its_process() -> None:
    """pytest-timeout's marks would strike under load, and end the tests of the same process with one."""
    marked = [path for path in (ROOT / "tests").rglob("*.py") if "mark.timeout(" in path.read_text()]
    assert marked == [Path(__file__)]
