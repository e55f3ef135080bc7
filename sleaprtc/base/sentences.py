"""Puts the text of an error into a sentence, or before one.

Text from the system, a library or another peer may or may not end with a full stop, and may be empty or have
several lines. :func:`as_clause` prepares it for the inside of a sentence. :func:`as_sentence` prepares it to
end a message, or to be followed by another sentence.
"""

from __future__ import annotations

from typing import Final

_ENDS: Final = (".", "!", "?", "…", ".)", "!)", "?)", '."', "`", ":")
"""What a sentence may end with. A backtick ends a command or an address that the user may copy."""


def as_clause(words: object) -> str:
    """Returns words as one line without a full stop, for the inside of a sentence.

    Args:
        words: A text or an exception. Of an OSError, only the reason is used, without its number and path. An
            empty message is replaced by the name of its type.
    """
    return _line(words).rstrip(" .:;,") or type(words).__name__


def as_sentence(words: object) -> str:
    """Returns words as one line that ends with one full stop, so that another sentence may follow.

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
