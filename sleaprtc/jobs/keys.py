"""The key of a job: whoever has it may ask for the job, take it over or end it.

Only its digest travels with the request.
"""

from __future__ import annotations

import hashlib
import hmac

from ..protocol.jobs import JobRequest


def attach_digest(attach_key: str) -> str:
    """Returns the SHA-256, in hexadecimal, by which a worker recognizes a key without knowing it."""
    return hashlib.sha256(attach_key.encode()).hexdigest()


def is_key_of(request: JobRequest, attach_key: str | None) -> bool:
    """Whether a key, where one was sent, is the one whose digest came with the request.

    Nobody has the key of a job that came without a digest.
    """
    if request.attach_digest is None or attach_key is None:
        return False
    return hmac.compare_digest(request.attach_digest.encode(), attach_digest(attach_key).encode())
