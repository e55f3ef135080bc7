"""The proof that both ends of a data channel know the room's secret, as a state machine; no I/O.

The signaling server relays the descriptions, and could replace each end's DTLS fingerprint with its own.
Therefore each end first sends a tag: an HMAC-SHA256, keyed with the secret, of both nonces and of the
fingerprints as that end knows them (protocol reference, section 4, "Proof"). An attacker in the middle has
certificates of their own on both sides, so neither end's tag is the one that the other expects.

A PAKE such as SPAKE2 isn't needed: it protects secrets that can be guessed offline. This secret has 128
random bits, so a tag reveals nothing about it.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
from typing import Final

from ..base.sentences import as_sentence
from ..errors import PeerNotProvenError, ProtocolError, RoomSecretMissingError, UnknownMessageTypeError
from ..protocol.codec import decode_proof_frame, decode_transfer_frame
from ..protocol.limits import MAX_CONTROL_FRAME_BYTES
from ..protocol.transfer import FileAbort, ProofFrame, ProofNonce, ProofTag

CONTEXT: Final = "sleap-rtc proof 1"
"""Separates these tags from any other use of the secret."""

NONCE_BYTES: Final = 16
_NONCE: Final = re.compile(r"[0-9a-f]{32}")
_TAG: Final = re.compile(r"[0-9a-f]{64}")

_ANOTHER_INVITE: Final = (
    "most likely one side's invite is mistyped or old; or somebody between the two intercepts the "
    "connection. Nothing was sent. Run `sleap-rtc join INVITE` on both sides, with the whole invite from "
    "whoever made the room."
)


class Role(enum.StrEnum):
    """The end of the channel that made a tag. It is part of the tag, so echoing a tag back proves nothing."""

    CLIENT = "client"
    WORKER = "worker"

    @property
    def other(self) -> Role:
        """The other end's role."""
        return Role.WORKER if self is Role.CLIENT else Role.CLIENT


class _State(enum.Enum):
    NONCE_AWAITED = enum.auto()
    TAG_AWAITED = enum.auto()
    PROVEN = enum.auto()
    FAILED = enum.auto()


def proof_tag(
    key: bytes, role: Role, nonces: dict[Role, str], fingerprints: dict[Role, tuple[str, ...]]
) -> str:
    """Returns the tag that proves ``role``: HMAC-SHA256 (RFC 2104), in lower-case hexadecimal."""
    lines = (
        CONTEXT,
        role,
        nonces[Role.CLIENT],
        nonces[Role.WORKER],
        ",".join(fingerprints[Role.CLIENT]),
        ",".join(fingerprints[Role.WORKER]),
    )
    return hmac.new(key, "\n".join(lines).encode(), hashlib.sha256).hexdigest()


def asks_for_proof(text: str) -> bool:
    """Whether a text message is a proof frame."""
    try:
        decode_proof_frame(text)
    except ProtocolError:
        return False
    return True


class Proof:
    """One end's side of the proof.

    Args:
        key: The room's secret.
        role: Which end this is.
        nonce: 32 lower-case hexadecimal digits, random and never used before.
        local_fingerprints: This end's certificate fingerprints, as this end sent them.
        remote_fingerprints: The other end's certificate fingerprints, as they arrived here.
    """

    def __init__(
        self,
        key: bytes,
        *,
        role: Role,
        nonce: str,
        local_fingerprints: tuple[str, ...],
        remote_fingerprints: tuple[str, ...],
    ) -> None:
        self._key = key
        self._role = role
        self._nonces = {role: nonce}
        self._fingerprints = {role: local_fingerprints, role.other: remote_fingerprints}
        self._state = _State.NONCE_AWAITED

    @property
    def opening(self) -> ProofNonce:
        """The frame that this end sends first, without waiting for the other end."""
        return ProofNonce(self._nonces[self._role])

    @property
    def is_proven(self) -> bool:
        """Whether the other end has proved itself."""
        return self._state is _State.PROVEN

    def message_received(self, message: str | bytes) -> ProofTag | None:
        """Handles a message from the other end, until :attr:`is_proven`.

        Returns:
            The frame to send in return, if any.

        Raises:
            RoomSecretMissingError: The other end has no secret for this room.
            PeerNotProvenError: The other end has another secret, isn't the peer it claims to be, or broke the
                protocol. After either error the connection must be ended.
        """
        state, self._state = self._state, _State.FAILED  # any exception from here on is final
        frame = _read(message)
        if isinstance(frame, ProofNonce) and state is _State.NONCE_AWAITED:
            answer = self._answer(frame)
            self._state = _State.TAG_AWAITED
            return answer
        if isinstance(frame, ProofTag) and state is _State.TAG_AWAITED:
            self._check(frame)
            self._state = _State.PROVEN
            return None
        raise PeerNotProvenError("The other side broke off the proof that it knows this room's secret.")

    def _answer(self, frame: ProofNonce) -> ProofTag:
        if not all(self._fingerprints.values()):
            raise PeerNotProvenError("The connection has no certificate to bind the proof to.")
        if not _NONCE.fullmatch(frame.nonce) or frame.nonce in self._nonces.values():
            raise PeerNotProvenError("The other side sent back this side's own nonce, or an invalid one.")
        self._nonces[self._role.other] = frame.nonce
        return ProofTag(self._tag(self._role))

    def _check(self, frame: ProofTag) -> None:
        expected = self._tag(self._role.other)
        if not (_TAG.fullmatch(frame.tag) and hmac.compare_digest(frame.tag, expected)):
            raise PeerNotProvenError(
                f"The other side doesn't prove that it knows this room's secret: {_ANOTHER_INVITE}"
            )

    def _tag(self, role: Role) -> str:
        return proof_tag(self._key, role, self._nonces, self._fingerprints)


def _read(message: str | bytes) -> ProofFrame:
    if isinstance(message, bytes) or len(message) > MAX_CONTROL_FRAME_BYTES:
        raise _missing()
    try:
        return decode_proof_frame(message)
    except UnknownMessageTypeError as error:
        raise _ending(message) from error
    except ProtocolError as error:
        raise PeerNotProvenError(f"The other side's proof can't be read. {as_sentence(error)}") from error


def _ending(message: str) -> RoomSecretMissingError | PeerNotProvenError:
    """Returns the error for a frame of another kind: the other end knows no proof, or has given up."""
    try:
        frame = decode_transfer_frame(message)
    except ProtocolError:
        return _missing()
    if isinstance(frame, FileAbort) and frame.code == PeerNotProvenError.code:
        return PeerNotProvenError(
            "The other side doesn't accept this side's proof that it knows the room's secret: "
            f"{_ANOTHER_INVITE}"
        )
    return _missing()


def _missing() -> RoomSecretMissingError:
    return RoomSecretMissingError(
        "The other side doesn't have this room's secret. It must be started with the room's whole invite "
        "(--invite or SLEAP_RTC_INVITE)."
    )
