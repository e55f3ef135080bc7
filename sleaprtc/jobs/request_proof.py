"""The proof in a request that its sender knows the room's secret; no I/O.

A worker holds slots for members of the room first. Somebody who has only the room's token can send requests
too, and could hold every slot for ever with them (protocol reference, section 3, "Proven requests").
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from ..protocol.jobs import ConnectionCheck, JobRequest

CONTEXT: Final = "sleap-rtc request 1"
"""Separates these proofs from those on the data channel, which use the same secret."""


def request_proof(
    key: bytes, request: JobRequest | ConnectionCheck, *, client_id: str, worker_id: str
) -> str | None:
    """Returns the proof for one worker: HMAC-SHA256 (RFC 2104), in lower-case hexadecimal.

    It covers both names, so it is useless to another peer or for another worker.

    Returns:
        None where an id or a name has a line feed: what is joined by line feeds would be ambiguous.
    """
    names = (request.job_id, client_id, worker_id)
    if any("\n" in name for name in names):
        return None
    text = "\n".join((CONTEXT, request.app_message_type, *names))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def is_proven(key: bytes, request: JobRequest | ConnectionCheck, *, client_id: str, worker_id: str) -> bool:
    """Whether a request carries the proof that this client would make for this worker."""
    expected = request_proof(key, request, client_id=client_id, worker_id=worker_id)
    if expected is None or request.proof is None:
        return False
    return hmac.compare_digest(expected.encode(), request.proof.encode())
