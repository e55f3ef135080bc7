"""Names of what a peer can do beyond the contract, as it announces them in its ``features`` property."""

from __future__ import annotations

from typing import Final

ATTACH_FEATURE: Final = "attach/1"
"""A worker that has it answers ``job_attach`` (protocol reference, "Attaching")."""
