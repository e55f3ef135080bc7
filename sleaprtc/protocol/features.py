"""Names of optional features, which a peer announces in its ``features`` property."""

from __future__ import annotations

from typing import Final

ATTACH_FEATURE: Final = "attach/1"
"""A worker with this feature answers ``job_attach`` (protocol reference, "Attaching")."""
