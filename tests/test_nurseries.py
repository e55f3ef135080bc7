"""What a task's failure costs: itself, and an error in the log."""

from __future__ import annotations

import logging

import pytest
import trio
import trio.testing

from sleaprtc.base.nurseries import RESTART_SEC, contained, keep_running, run_contained
from sleaprtc.errors import JobFailedError, SleapRTCError


def errors_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


async def fail() -> None:
    await trio.lowlevel.checkpoint()
    raise ZeroDivisionError("a mistake")


@pytest.mark.logs_error("ZeroDivisionError")
async def test_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    done = []

    async def other() -> None:
        await trio.testing.wait_all_tasks_blocked()
        done.append(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_contained, "It failed.", fail)
        nursery.start_soon(other)
    assert done
    assert errors_in(caplog) == ["It failed."]
    assert "ZeroDivisionError: a mistake" in caplog.text
    assert "in fail" in caplog.text


@pytest.mark.parametrize("passing", [KeyboardInterrupt, SystemExit, GeneratorExit])
async def test_what_ends_a_program_passes(passing: type[BaseException]) -> None:
    with pytest.raises(passing), contained("It failed."):
        raise passing


async def test_cancellation_passes(caplog: pytest.LogCaptureFixture) -> None:
    with trio.move_on_after(0) as scope:
        with contained("It failed."):
            await trio.sleep_forever()
        raise AssertionError("unreachable")
    assert scope.cancelled_caught
    assert not errors_in(caplog)


@pytest.mark.logs_error("ZeroDivisionError")
async def test_of_a_cancelled_nursery_the_failure_is_logged_and_the_cancellation_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail_on_the_way_out() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ZeroDivisionError

    with trio.CancelScope() as scope:
        with contained("It failed.") as containment:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail_on_the_way_out)
                nursery.start_soon(trio.sleep_forever)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        raise AssertionError("unreachable")
    assert scope.cancelled_caught
    assert isinstance(containment.failure, ExceptionGroup)
    assert errors_in(caplog) == ["It failed."]


@pytest.mark.logs_error("ZeroDivisionError")
async def test_of_a_group_what_means_something_outside_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ExceptionGroup) as raised, contained("It failed.", let_through=(SleapRTCError,)):
        raise ExceptionGroup("", [ZeroDivisionError(), ExceptionGroup("", [JobFailedError("x.")])])
    assert raised.group_contains(JobFailedError, depth=2)
    assert not raised.group_contains(ZeroDivisionError)
    assert errors_in(caplog) == ["It failed."]


@pytest.mark.logs_error("ZeroDivisionError")
async def test_a_task_that_is_needed_begins_again(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[float] = []

    async def task() -> None:
        begun.append(trio.current_time())
        if len(begun) < 3:
            await fail()

    await keep_running("It failed.", task)
    assert [moment - begun[0] for moment in begun] == [0, RESTART_SEC, 2 * RESTART_SEC]
    assert len(errors_in(caplog)) == 2
