"""What ``--json`` prints: one object per line, with the schema's version (``docs/reference/json.md``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

JSON_VERSION: Final = 1
"""Incremented when a field is removed or changes its meaning, but not when one is added."""


def json_line(fields: Mapping[str, object]) -> str:
    """Returns an object as one line, without a line end."""
    return json.dumps({"version": JSON_VERSION, **fields}, allow_nan=False)


def print_json(fields: Mapping[str, object]) -> None:
    """Prints an object on standard output, flushed, so a reader on a pipe sees it at once."""
    print(json_line(fields), flush=True)
