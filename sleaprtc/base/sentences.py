"""Sentences that are made of others: an error's words inside, or before, words of one's own.

What the system, a library or another peer says may end with a full stop or not, be empty, or take several
lines. Where such words are put into a sentence, they go through :func:`as_clause`; where another sentence
follows them, or where they end one, through :func:`as_sentence`.
"""

from __future__ import annotations

from typing import Final

_ENDS: Final = (".", "!", "?", "…", ".)", "!)", "?)", '."', "`", ":")
"""What a sentence may end with. A command or address to be copied stands in backticks where more follows."""


def as_clause(words: object) -> str:
    """Returns words for the inside of a sentence: one line, without a full stop at their end.

    Args:
        words: A text, or an exception: of the operating system's, its reason alone is taken, without number
            and path; one that says nothing is called by its name.
    """
    return _line(words).rstrip(" .:;,") or type(words).__name__


def as_sentence(words: object) -> str:
    """Returns words as a sentence that another one may follow: one line that ends with one full stop.

    Args:
        words: As for :func:`as_clause`.
    """
    line = _line(words) or type(words).__name__
    while line.endswith(("..", ". .")) and not line.endswith("..."):
        line = line[:-1].rstrip()
    return line if line.endswith(_ENDS) else f"{line}."


def _line(words: object) -> str:
    said = getattr(words, "strerror", None) if isinstance(words, OSError) else None
    return " ".join(str(said or words).split())
