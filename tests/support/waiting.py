"""Waiting for something that another task, thread or process does."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import trio

PATIENCE_SEC = 120
"""Far beyond what anything takes that is waited for; no test depends on it."""
INTERVAL_SEC = 0.02


async def until(
    condition: Callable[[], Any], *, becomes: bool = True, patience_sec: float = PATIENCE_SEC
) -> Any:
    """Waits until a condition, which may have to be awaited, is true; or false, with ``becomes=False``.

    Returns what the condition was then.

    Raises:
        AssertionError: That took too long.
    """
    result: Any = None
    with trio.move_on_after(patience_sec):
        while True:
            result = condition()
            if isinstance(result, Awaitable):
                result = await result
            if bool(result) is becomes:
                return result
            await trio.sleep(INTERVAL_SEC)
    return _give_up(condition, result, patience_sec)


def block_until(
    condition: Callable[[], Any], *, becomes: bool = True, patience_sec: float = PATIENCE_SEC
) -> Any:
    """Does the same in a test that isn't asynchronous."""
    deadline = time.monotonic() + patience_sec
    while bool(result := condition()) is not becomes:
        if time.monotonic() > deadline:
            _give_up(condition, result, patience_sec)
        time.sleep(INTERVAL_SEC)
    return result


def _give_up(condition: Callable[[], Any], result: Any, patience_sec: float) -> NoReturn:
    awaited = inspect.getsource(condition).strip()
    raise AssertionError(f"Waited {patience_sec:g} s in vain, and it is still {result!r}:\n{awaited}")
