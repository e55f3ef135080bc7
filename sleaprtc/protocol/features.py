"""Names of optional features, which a peer announces in its ``features`` property."""

from __future__ import annotations

from typing import Final

ATTACH_FEATURE: Final = "attach/1"
"""A worker with this feature answers ``job_attach`` (protocol reference, "Attaching")."""

PURGE_FEATURE: Final = "purge/1"
"""A worker with this feature answers ``job_purge`` (protocol reference, "Deleting a job's data")."""

EPHEMERAL_FEATURE: Final = "ephemeral/1"
"""A worker with this feature keeps nothing of an ``ephemeral`` job once its result is fetched (likewise)."""

FORMATS_FEATURE: Final = "predictions_formats/1"
"""A worker with this feature knows ``format`` of an inference (protocol reference, section 3)."""

VALIDATION_FEATURE: Final = "validation/1"
"""A worker with this feature takes labels to validate on (protocol reference, "Validation labels")."""
