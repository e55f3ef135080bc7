"""Tasks that serve the body of a context manager for as long as it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def open_background_nursery() -> AsyncIterator[trio.Nursery]:
    """A nursery whose tasks end with the body, and whose body's exception leaves as it is.

    A plain nursery wraps whatever leaves its body into an exception group, which callers of
    ``open_peer()`` and its like could then not catch by its class. The tasks themselves must not
    raise: an exception of theirs is a bug, leaves as a group, and costs what the block serves.
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
            raised = None  # the traceback refers to this frame, which would keep it alive
