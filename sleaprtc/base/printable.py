"""Makes text from others safe for a terminal or a log."""

from __future__ import annotations


def printable(text: str) -> str:
    """Replaces characters that could move the cursor, change a terminal's state, or start a new line."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
