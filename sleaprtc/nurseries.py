"""Nurseries for what serves the body of a context manager."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


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
