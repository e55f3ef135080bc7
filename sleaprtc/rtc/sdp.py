"""The few attributes of a session description (RFC 8866) that pass through our hands. Pure text."""

from __future__ import annotations

_CANDIDATE = "a=candidate:"
_END_OF_CANDIDATES = "a=end-of-candidates"
_FINGERPRINT = "a=fingerprint:sha-256 "


def candidates(sdp: str) -> tuple[str, ...]:
    """Returns the ICE candidates in a description, each without its ``a=`` (RFC 8839, section 5.1)."""
    return tuple(line[2:] for line in sdp.splitlines() if line.startswith(_CANDIDATE))


def without_candidates(sdp: str) -> str:
    """Takes candidates out of a description, and the claim that there won't be more.

    A peer that trickles may leave either in; candidates that come as messages would then be ignored.
    """
    kept = [line for line in sdp.splitlines() if not line.startswith((_CANDIDATE, _END_OF_CANDIDATES))]
    return "\r\n".join(kept) + "\r\n"


def media_id(sdp: str) -> str | None:
    """Returns the first media section's identification tag (RFC 5888), which candidates refer to."""
    return next((line[len("a=mid:") :] for line in sdp.splitlines() if line.startswith("a=mid:")), None)


def fingerprint(sdp: str) -> str | None:
    """Returns the SHA-256 fingerprint of the sender's DTLS certificate (RFC 8122), in upper case."""
    for line in sdp.splitlines():
        if line.lower().startswith(_FINGERPRINT):
            return line[len(_FINGERPRINT) :].strip().upper()
    return None
