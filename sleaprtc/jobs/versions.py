"""Decides which versions work together (protocol reference, section 3)."""

from __future__ import annotations

import re

_LEADING_NUMBERS = re.compile(r"v?(\d+)(?:\.(\d+))?")


def is_compatible(worker_version: str | None, client_version: str | None) -> bool:
    """Whether the majors are equal and the worker's minor isn't below the client's. Unknown versions pass."""
    worker = _LEADING_NUMBERS.match(worker_version or "")
    client = _LEADING_NUMBERS.match(client_version or "")
    if worker is None or client is None:
        return True
    return int(worker[1]) == int(client[1]) and int(worker[2] or 0) >= int(client[2] or 0)
