"""The project's own files: its modules, its documents, and the texts in them."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "sleaprtc"
DOCUMENTS = [
    path for pattern in ("README.md", "docs/**/*.md", "changes/*.md") for path in sorted(ROOT.glob(pattern))
]
VARIABLE = "\N{OBJECT REPLACEMENT CHARACTER}"
"""What is filled in when a sentence is printed."""


def texts_of(path):
    """The texts of a module, with what is filled in marked."""
    tree = ast.parse(path.read_text())
    inside = {
        id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else VARIABLE for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value
