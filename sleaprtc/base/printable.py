"""Text from others on its way to a terminal or a log."""

from __future__ import annotations


def printable(text: str) -> str:
    """Replaces what could move a cursor, change a terminal's state, or begin a line of its own."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
