"""The messages that the documents quote are those that the programs print."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OPERATIONS = ROOT / "docs" / "operations.md"
RETRIES = ROOT / "docs" / "reference" / "retries.md"

_OPEN = re.compile(r"…|\b(?:HOST|PORT|N)\b|\d+")
"""What a quotation leaves open, or fills in as an example."""


def quoted() -> Iterator[tuple[str, str]]:
    """Every message that is quoted, with its document's name."""
    table = OPERATIONS.read_text().partition("## What to do when")[2].partition("\n## ")[0]
    for symptom in re.findall(r"(?m)^\| ([^|]*`[^|]*) \|", table):
        yield from (("operations.md", message) for message in re.findall(r"`([^`]+)`", symptom))
    text = RETRIES.read_text()
    yield from (
        ("retries.md", " ".join(found.split())) for found in re.findall(r"`((?:…|[A-Z])[^`]* [^`]*)`", text)
    )


@cache
def templates() -> tuple[str, ...]:
    """Every text of the package on one line; what is filled in when it is printed has become a space."""
    return tuple(
        " ".join(text.split()) for path in (ROOT / "sleaprtc").rglob("*.py") for text in texts_in(path)
    )


def texts_in(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in documentation:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else " " for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Constant) and isinstance(node.value, bytes):
            yield node.value.decode("latin-1")


def has_text(parts: list[str]) -> bool:
    """Whether some text of the package has these parts, in their order."""
    words = [re.escape(part) for part in map(str.strip, parts) if part.strip(" .")]
    pattern = re.compile(".*".join(words))
    return any(pattern.search(text) for text in templates())


def is_printed(message: str) -> bool:
    """Whether some text of the package has the message's words; one of them may be filled in."""
    if has_text(_OPEN.split(message)):
        return True
    words = message.split()
    return any(
        has_text(_OPEN.split(" ".join([*words[:number], "…", *words[number + 1 :]])))
        for number in range(len(words))
    )


QUOTED = sorted(set(quoted()))


def test_there_is_something_to_look_at() -> None:
    assert len(QUOTED) > 40
    assert is_printed("Another worker uses the folder …")
    assert not is_printed("The signaling server … is on fire and burns.")


@pytest.mark.parametrize("document", ["operations.md", "retries.md"])
def test_each_message_is_a_program_s(document: str) -> None:
    assert [message for name, message in QUOTED if name == document and not is_printed(message)] == []
