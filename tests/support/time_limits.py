"""A limit on asynchronous tests that is Trio's own, so that what a test started ends with it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio


@contextmanager
def real_time_limit(limit_sec: float) -> Iterator[None]:
    """Cancels its body after a time on the real clock, whatever the clock of the run, and fails the test."""
    scope = trio.CancelScope()
    tasks: list[str] = []
    token = trio.lowlevel.current_trio_token()

    def expire() -> None:
        tasks.extend(_waiting_tasks())
        scope.cancel()

    def ring() -> None:
        try:
            token.run_sync_soon(expire)
        except trio.RunFinishedError:
            return

    timer = threading.Timer(limit_sec, ring)
    timer.daemon = True
    timer.start()
    try:
        with scope:
            yield
    finally:
        timer.cancel()
    if scope.cancelled_caught:
        pytest.fail(f"The test took more than {limit_sec:g} s. Its tasks were at:\n" + "\n".join(tasks))


def _waiting_tasks() -> Iterator[str]:
    """Describes the tasks of the run, each by the innermost places of its stack."""
    root = trio.lowlevel.current_root_task()
    tasks = [] if root is None else [root]
    while tasks:
        task = tasks.pop()
        places = [f"{frame.f_code.co_filename}:{line}" for frame, line in task.iter_await_frames()]
        yield f"  {task.name}: {' < '.join(reversed(places[-4:]))}"
        tasks.extend(child for nursery in task.child_nurseries for child in nursery.child_tasks)


def limited(test: Callable[..., Awaitable[Any]], limit_sec: float) -> Callable[..., Awaitable[Any]]:
    """Returns the test with a limit on its body."""

    @functools.wraps(test)
    async def within_limit(*arguments: Any, **fixtures: Any) -> Any:
        with real_time_limit(limit_sec):
            return await test(*arguments, **fixtures)

    return within_limit
