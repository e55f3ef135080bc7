"""Unwraps exception groups: a nursery raises a group, but its caller wants the one error behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from ..errors import SleapRTCError


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yields the exceptions inside a group, at any depth, or the exception itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


@contextmanager
def single_error() -> Iterator[None]:
    """Replaces a group that contains exactly one error of this package with that error.

    Cancellations in the group are dropped: an error that leaves a cancelled scope matters more. Any other
    group is raised unchanged.
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
