"""Batches writes, so that messages sent at the same moment share a system call."""

from __future__ import annotations

from typing import Protocol


class Writer(Protocol):
    """Something that defers its writes."""

    def write_held(self) -> None:
        """Writes what was deferred; raises nothing."""


class WriteBatch:
    """Lets writers defer their writes until all messages that have arrived are handled.

    A peer that sends several messages at once mostly sends them to one target, and a system call for each
    would be the largest cost of routing. There must be no checkpoint between :meth:`hold` and
    :meth:`release`.

    Attributes:
        is_held: True while writers should defer.
    """

    __slots__ = ("_writers", "is_held")

    def __init__(self) -> None:
        self.is_held = False
        self._writers: list[Writer] = []

    def hold(self) -> None:
        """Makes writers defer from now on."""
        self.is_held = True

    def add(self, writer: Writer) -> None:
        """Adds a writer that has deferred something; each writer adds itself once."""
        self._writers.append(writer)

    def release(self) -> None:
        """Makes all writers write what they deferred."""
        self.is_held = False
        writers, self._writers = self._writers, []
        for writer in writers:
            writer.write_held()
