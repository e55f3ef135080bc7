"""What ``--json`` prints: an object a line, each with its schema's version (``docs/reference/json.md``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

JSON_VERSION: Final = 1
"""Grows when a field changes its meaning or goes; new fields may come without."""


def json_line(fields: Mapping[str, Any]) -> str:
    """Writes an object as one line, without its end."""
    return json.dumps({"version": JSON_VERSION, **fields}, allow_nan=False)


def print_json(fields: Mapping[str, Any]) -> None:
    """Prints an object on standard output at once, so that who reads a pipe has it."""
    print(json_line(fields), flush=True)
