"""Writing together what is sent at the same moment."""

from __future__ import annotations

from typing import Protocol


class Writer(Protocol):
    """Somebody who has put something off."""

    def write_held(self) -> None:
        """Writes what was put off; raises nothing."""


class WriteBatch:
    """Lets writers put off what they have to write until the messages at hand are all acted on.

    A peer that sends several messages at once mostly sends them to one target, and a system call for each is
    what routing costs most. Nothing may wait between :meth:`hold` and :meth:`release`.

    Attributes:
        is_held: True while writers are to put off.
    """

    __slots__ = ("_writers", "is_held")

    def __init__(self) -> None:
        self.is_held = False
        self._writers: list[Writer] = []

    def hold(self) -> None:
        """Has writers put off from here on."""
        self.is_held = True

    def add(self, writer: Writer) -> None:
        """Takes note of a writer that has put something off, once."""
        self._writers.append(writer)

    def release(self) -> None:
        """Has them all write."""
        self.is_held = False
        writers, self._writers = self._writers, []
        for writer in writers:
            writer.write_held()
