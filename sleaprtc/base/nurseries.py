"""Nurseries for what serves the body of a context manager, and what a task's failure costs the others.

A nursery ends all of its tasks over one that raises. Where a task serves one message, one peer or one job,
everybody would pay for a mistake in this program that one of them met: such a task runs inside of
:func:`contained`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import attrs
import trio

RESTART_SEC: Final = 5.0
"""Between a task's failure and its next beginning, so that one that fails at once doesn't fill the log."""

_log = logging.getLogger(__name__)


@attrs.define
class Containment:
    """What became of a contained block; ``failure`` is what it raised unexpectedly, if it did."""

    failure: Exception | None = None


@contextmanager
def contained(sentence: str, *, let_through: tuple[type[Exception], ...] = ()) -> Iterator[Containment]:
    """Logs an unexpected exception of a block as an error, with its traceback, and goes on after the block.

    Cancellation, KeyboardInterrupt and the like pass. Of a group, what is unexpected is logged and the rest
    raised.

    Args:
        sentence: What to log.
        let_through: Exceptions that mean something to whoever is outside; they are raised.
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
    """Parts what is unexpected from the rest, inside of groups too."""

    def is_unexpected(leaf: BaseException) -> bool:
        return isinstance(leaf, Exception) and not isinstance(leaf, expected)

    if not isinstance(error, BaseExceptionGroup):
        return (error, None) if isinstance(error, Exception) and is_unexpected(error) else (None, error)
    unexpected, rest = error.split(is_unexpected)
    assert unexpected is None or isinstance(unexpected, Exception)  # a group of Exceptions is one itself
    return unexpected, rest


async def run_contained(sentence: str, function: Callable[..., Awaitable[object]], *args: object) -> None:
    """Runs a task of a nursery whose failure the others don't pay for; see :func:`contained`."""
    with contained(sentence):
        await function(*args)


async def keep_running(sentence: str, function: Callable[..., Awaitable[object]], *args: object) -> None:
    """Runs a task that a nursery needs for as long as it lasts: one that fails begins again a little later.

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


@asynccontextmanager
async def open_outliving_nursery() -> AsyncIterator[trio.Nursery]:
    """A nursery whose tasks cancellation doesn't reach before the block is left; then they are cancelled.

    A connection needs its tasks to say goodbye: with a plain nursery, the cancellation that makes the body
    clean up has already ended the tasks that cleaning up goes through.
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
