"""Nurseries raise groups; callers of one operation want the one error it ended with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from ..errors import SleapRTCError


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yields the exceptions inside (groups inside) a group, or the exception itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


@contextmanager
def single_error() -> Iterator[None]:
    """Raises the one error of this package that a group consists of in the group's place.

    Cancellations beside it are dropped: an error that leaves a cancelled scope counts for more. Any other
    mixture stays the group that it is.
    """
    lone: SleapRTCError | None = None
    try:
        yield
    except BaseExceptionGroup as group:
        errors = [leaf for leaf in leaves(group) if not isinstance(leaf, trio.Cancelled)]
        if len(errors) != 1 or not isinstance(errors[0], SleapRTCError):
            raise
        lone = errors[0]
    if lone is not None:
        # Raised outside the handler, so that the group doesn't become its context.
        raise lone
