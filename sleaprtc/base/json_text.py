"""JSON from outside: files, other programs, and models and labels of strangers.

Its strings must consist of Unicode scalar values (protocol reference, "Conventions"). JSON can write a lone
surrogate as an escape, and Python accepts it as text. SQLite, files, sockets and terminals then raise
exceptions of their own, far from the code that read it. TOML itself forbids lone surrogates.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

_ESCAPED_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
"""Also matches the halves of a pair, and text after an escaped backslash that only looks like an escape."""


class LoneSurrogateError(ValueError):
    """A string or key has a lone surrogate: half of a UTF-16 pair (U+D800 to U+DFFF)."""

    def __init__(self) -> None:
        super().__init__("a string has a lone surrogate in it")


def refuse_lone_surrogates(document: str, value: Any) -> None:
    """Checks a JSON document for lone surrogates.

    Costs almost nothing if the document has no escaped surrogate, paired or alone.

    Args:
        document: The document's text.
        value: What it was decoded to.

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
        ValueError: The text isn't JSON, is nested too deeply, or has a lone surrogate in it.
    """
    if not isinstance(text, str | bytes):
        raise ValueError("it isn't text")  # noqa: TRY004  # such as an HDF5 attribute of another type
    try:
        document = text if isinstance(text, str) else text.decode(json.detect_encoding(text))
        value = json.loads(document)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    refuse_lone_surrogates(document, value)
    return value


def object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Builds an object from its pairs, as the ``object_pairs_hook`` of a JSON decoder.

    Raises:
        ValueError: A key is repeated. Readers differ in which of the values they keep (RFC 8259, section 4).
    """
    decoded = dict(pairs)
    if len(decoded) != len(pairs):
        raise ValueError("an object has the same key twice")
    return decoded


def format_json(value: Any) -> str:
    """Returns JSON that every reader accepts, whatever is in the system's own names and messages.

    Python represents bytes of a path or host name that aren't UTF-8 as lone surrogates (PEP 383). A reader
    would refuse the whole document because of one, so U+FFFD replaces it.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    if "\\ud" not in text:
        return text
    # Encoding to UTF-16 joins the halves of a pair; decoding replaces those that have no other half.
    raw = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return raw.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
