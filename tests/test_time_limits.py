"""A test that takes too long fails alone, and takes what it started with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

SLOW_TESTS = """
import hypothesis, trio
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
"""

LEAVES_A_COROUTINE = """
async def work():
    pass

def test_leaves_a_coroutine():
    ring = [work()]
    ring.append(ring)

def test_next():
    pass
"""


def run_tests(folder: Path, source: str) -> str:
    """Runs tests of their own with this folder's conftest, and returns what pytest printed."""
    (folder / "test_inner.py").write_text(source)
    (folder / "conftest.py").write_text("from tests.conftest import *\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(ROOT / "setup.cfg")]
    ended = subprocess.run(
        [*command, "--rootdir", str(folder), str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ended.stdout + ended.stderr


def test_a_test_that_takes_too_long_fails_alone(tmp_path: Path) -> None:
    said = run_tests(tmp_path, SLOW_TESTS)
    assert "1 failed, 5 passed" in said, said
    assert "took more than 0.2 s" in said
    assert "forever" in said


def test_what_a_test_leaves_behind_is_its_own(tmp_path: Path) -> None:
    said = run_tests(tmp_path, LEAVES_A_COROUTINE)
    assert "ERROR" in said, said
    assert "test_leaves_a_coroutine" in said
    assert "test_next -" not in said


def test_no_test_has_a_limit_that_ends_its_process() -> None:
    """pytest-timeout's marks would strike under load, and end the tests of the same process with one."""
    marked = [path for path in (ROOT / "tests").rglob("*.py") if "mark.timeout(" in path.read_text()]
    assert marked == [Path(__file__)]
