"""Tasks whose failure doesn't end the others, and nurseries that outlive a cancellation.

A nursery cancels all of its tasks when one of them raises. If a task serves one message, one peer or one job,
a bug that it runs into would affect everybody else, so such a task runs inside :func:`contained`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import attrs
import trio

RESTART_SEC: Final = 5.0
"""Pause between a task's failure and its restart, so that one that fails at once doesn't fill the log."""

_log = logging.getLogger(__name__)


@attrs.define
class Containment:
    """The outcome of a contained block; ``failure`` is the unexpected exception that it raised, if any."""

    failure: Exception | None = None


@contextmanager
def contained(sentence: str, *, let_through: tuple[type[Exception], ...] = ()) -> Iterator[Containment]:
    """Logs an unexpected exception of the block as an error, with its traceback; then execution continues.

    Cancellation, KeyboardInterrupt and the like pass through. If the block raises a group, the unexpected
    exceptions in it are logged and the others raised.

    Args:
        sentence: What to log.
        let_through: Exceptions that the caller expects; they pass through, too.
    """
    containment = Containment()
    try:
        yield containment
    except BaseException as error:
        unexpected, rest = _split(error, (BaseExceptionGroup, *let_through))
        if unexpected is None:
            raise
        containment.failure = unexpected
        _log.error(sentence, exc_info=unexpected)  # only that part of a group
        if rest is not None:
            raise rest from None


def _split(
    error: BaseException, expected: tuple[type[BaseException], ...]
) -> tuple[Exception | None, BaseException | None]:
    """Splits an error into its unexpected part and the rest; it may be a group."""

    def is_unexpected(leaf: BaseException) -> bool:
        return isinstance(leaf, Exception) and not isinstance(leaf, expected)

    if not isinstance(error, BaseExceptionGroup):
        return (error, None) if isinstance(error, Exception) and is_unexpected(error) else (None, error)
    unexpected, rest = error.split(is_unexpected)
    assert unexpected is None or isinstance(unexpected, Exception)  # a group of Exceptions is one itself
    return unexpected, rest


async def run_contained(sentence: str, function: Callable[..., Awaitable[object]], *args: object) -> None:
    """Runs a task so that its failure doesn't end the nursery's other tasks; see :func:`contained`."""
    with contained(sentence):
        await function(*args)


async def keep_running(sentence: str, function: Callable[..., Awaitable[object]], *args: object) -> None:
    """Runs a task that its nursery always needs, and restarts it after ``RESTART_SEC`` whenever it fails.

    Args:
        sentence: What to log when it fails.
        function: The task. Once it returns, this returns, too.
        args: Its arguments.
    """
    while True:
        with contained(sentence) as containment:
            await function(*args)
        if containment.failure is None:
            return
        await trio.sleep(RESTART_SEC)


async def wait_for_any(*waits: Callable[[], Awaitable[object]]) -> None:
    """Waits in several ways at once; returns when the first wait is over, and cancels the others."""

    async def run(wait: Callable[[], Awaitable[object]]) -> None:
        await wait()
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for wait in waits:
            nursery.start_soon(run, wait)


@asynccontextmanager
async def open_outliving_nursery() -> AsyncIterator[trio.Nursery]:
    """Opens a nursery whose tasks are shielded from cancellation until the block is left, and cancelled then.

    A connection needs its tasks to say goodbye. In a plain nursery, the cancellation that makes the body
    clean up has already ended the tasks that the cleanup needs.
    """
    is_over = trio.Event()

    async def shield(task_status: trio.TaskStatus[trio.Nursery]) -> None:
        async with trio.open_nursery() as shielded:
            shielded.cancel_scope.shield = True
            task_status.started(shielded)
            await is_over.wait()
            shielded.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        shielded: trio.Nursery = await nursery.start(shield)
        try:
            yield shielded
        finally:
            is_over.set()
