"""Tasks that serve the body of a context manager for as long as it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def open_background_nursery() -> AsyncIterator[trio.Nursery]:
    """Opens a nursery whose tasks are cancelled when the body ends. The body's exception isn't wrapped.

    A plain nursery wraps it in an exception group, so callers of ``open_peer()`` and the like couldn't
    catch it by its class. The tasks themselves must not raise. If one does, that is a bug: its exception
    leaves as a group and ends the block.
    """
    raised: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except BaseException as error:
            raised = error
        finally:
            nursery.cancel_scope.cancel()
    if raised is not None:
        try:
            raise raised
        finally:
            raised = None  # breaks a reference cycle: the traceback refers to this frame
