"""Reads and edits the few attributes of a session description (RFC 8866) that this package handles."""

from __future__ import annotations

import math
from typing import Final

DEFAULT_MAX_MESSAGE_BYTES: Final = 64 * 1024
"""For a peer that doesn't announce its limit (RFC 8841, section 6.1)."""

_CANDIDATE = "a=candidate:"
_END_OF_CANDIDATES = "a=end-of-candidates"
_MAX_MESSAGE_SIZE = "a=max-message-size:"
_MAX_SIZE_DIGITS = 20
_ADDRESS_FIELD = 4


def candidates(sdp: str) -> tuple[str, ...]:
    """Returns the ICE candidates in a description, each without its ``a=`` (RFC 8839, section 5.1)."""
    return tuple(line[2:] for line in sdp.splitlines() if line.startswith(_CANDIDATE))


def without_candidates(sdp: str) -> str:
    """Returns a description without its candidates and without ``a=end-of-candidates``.

    A peer that trickles may include either. Engines would then ignore candidates that come as messages.
    """
    kept = [line for line in sdp.splitlines() if not line.startswith((_CANDIDATE, _END_OF_CANDIDATES))]
    return "\r\n".join(kept) + "\r\n"


def media_id(sdp: str) -> str | None:
    """Returns the first media section's identification tag (RFC 5888), which candidates refer to."""
    return next((line[len("a=mid:") :] for line in sdp.splitlines() if line.startswith("a=mid:")), None)


def fingerprints(sdp: str) -> tuple[str, ...]:
    """Returns every certificate fingerprint in a description as ``sha-256 AB:CD:…``, sorted, without repeats.

    Session-level and media-level fingerprints both count, so that an added one is noticed anywhere.
    """
    found = set()
    for line in sdp.splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() == "a=fingerprint":
            algorithm, _, digest = value.strip().partition(" ")
            found.add(f"{algorithm.lower()} {digest.strip().upper()}")
    return tuple(sorted(found))


def is_loopback(candidate: str) -> bool:
    """Whether a candidate has a loopback address: 127.0.0.0/8 or ::1."""
    fields = candidate.split()
    return len(fields) > _ADDRESS_FIELD and fields[_ADDRESS_FIELD].startswith(("127.", "::1"))


def candidate_type(candidate: str) -> str | None:
    """Returns ``host``, ``srflx``, ``prflx`` or ``relay`` (RFC 8839, section 5.1); None if it has no type."""
    fields = candidate.split()
    following = dict(zip(fields[_ADDRESS_FIELD + 2 :: 2], fields[_ADDRESS_FIELD + 3 :: 2], strict=False))
    return following.get("typ")


def max_message_bytes(sdp: str) -> float:
    """Returns the size of the largest message that the description's sender accepts (RFC 8841, section 6.1).

    It is 64 KiB if the attribute is missing or isn't a number, and infinity for 0, "of any size".
    """
    for line in sdp.splitlines():
        if line.startswith(_MAX_MESSAGE_SIZE):
            size = line[len(_MAX_MESSAGE_SIZE) :].strip()
            if size.isascii() and size.isdigit() and len(size) <= _MAX_SIZE_DIGITS:
                return int(size) or math.inf
            break
    return DEFAULT_MAX_MESSAGE_BYTES
