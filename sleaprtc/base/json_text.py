"""JSON that comes from outside: files, other programs, models and labels of strangers.

Their strings are Unicode scalar values (protocol reference, "Conventions"): a lone surrogate, which JSON
can write as an escape, is text for Python and for nobody else. SQLite, files, sockets and terminals
refuse it with an exception of their own, far from whoever sent it. TOML itself forbids it.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

_ESCAPED_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
"""Finds pairs as well as lone ones, and what only looks like one behind an escaped backslash."""


class LoneSurrogateError(ValueError):
    """A document has half of a UTF-16 pair (U+D800 to U+DFFF) in a string or key."""

    def __init__(self) -> None:
        super().__init__("a string has a lone surrogate in it")


def refuse_lone_surrogates(document: str, value: Any) -> None:
    """Looks for lone surrogates in what was decoded from a JSON document.

    Costs next to nothing where the document has no escaped surrogate, paired or alone.

    Raises:
        LoneSurrogateError: A string or key has one.
    """
    try:
        if not document.isascii():
            document.encode()
        if _ESCAPED_SURROGATE.search(document):
            # Written and encoded in C, which is quicker than walking through the value.
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise LoneSurrogateError from None


def parse_json(text: str | bytes) -> Any:
    """Parses one JSON document.

    Raises:
        ValueError: It is none, is nested too deeply, or has a lone surrogate in it.
    """
    if not isinstance(text, str | bytes):
        raise ValueError("it is no text")  # noqa: TRY004  # such as an HDF5 attribute of another type
    try:
        document = text if isinstance(text, str) else text.decode(json.detect_encoding(text))
        value = json.loads(document)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    refuse_lone_surrogates(document, value)
    return value


def object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object of its pairs; for a JSON decoder's ``object_pairs_hook``.

    Raises:
        ValueError: A key is there twice, and which of the values counts is each reader's own choice.
    """
    decoded = dict(pairs)
    if len(decoded) != len(pairs):
        raise ValueError("an object has the same key twice")
    return decoded


def format_json(value: Any) -> str:
    """Writes JSON that can be read anywhere, whatever the system's own names and sentences have in them.

    Python represents bytes of a path or host name that aren't UTF-8 as lone surrogates (PEP 383). A reader
    would refuse the whole document over one, such as the last word on a job; U+FFFD takes its place.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    if "\\ud" not in text:
        return text
    # UTF-16 joins the halves of a pair, and knows which have no other half.
    raw = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return raw.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
