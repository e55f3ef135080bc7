"""The proof that both ends of a data channel know the room's secret, as a state machine; no I/O.

The signaling server introduces the two ends, and could give each of them its own DTLS fingerprint for the
other's. Before any other byte each end therefore shows an HMAC-SHA256 under the secret over both roles'
nonces and over the fingerprints as that end knows them (protocol reference, section 4, "Proof"). Somebody in
the middle has a certificate of their own on each side, so that neither end's tag is what the other expects.

Why no PAKE such as SPAKE2: those protect secrets that can be guessed offline. This one is random and has
128 bits, so that a tag tells nothing to whoever sees it.
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
"""Keeps these tags apart from whatever else the secret may ever be used for."""

NONCE_BYTES: Final = 16
_NONCE: Final = re.compile(r"[0-9a-f]{32}")
_TAG: Final = re.compile(r"[0-9a-f]{64}")

_ANOTHER_INVITE: Final = (
    "it has another invite, or somebody between the two reads along. Nothing was sent. Run `sleap-rtc join "
    "INVITE` on both sides, with the whole invite from whoever made the room."
)


class Role(enum.StrEnum):
    """Which end of the channel a tag is of; a tag that is sent back to its maker is of the wrong one."""

    CLIENT = "client"
    WORKER = "worker"

    @property
    def other(self) -> Role:
        """The other end's."""
        return Role.WORKER if self is Role.CLIENT else Role.CLIENT


class _State(enum.Enum):
    NONCE_AWAITED = enum.auto()
    TAG_AWAITED = enum.auto()
    PROVEN = enum.auto()
    FAILED = enum.auto()


def proof_tag(
    key: bytes, role: Role, nonces: dict[Role, str], fingerprints: dict[Role, tuple[str, ...]]
) -> str:
    """Makes the tag by which ``role`` proves itself: HMAC-SHA256 (RFC 2104), in lower-case hexadecimal."""
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
    """Whether a text message is of a proof."""
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
        nonce: 32 hexadecimal digits, random and never used before.
        local_fingerprints: Of this end's certificate, as this end signalled them.
        remote_fingerprints: Of the other end's, as they arrived here.
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
        """What this end says first, without waiting for the other."""
        return ProofNonce(self._nonces[self._role])

    @property
    def is_proven(self) -> bool:
        """Whether the other end has proved itself."""
        return self._state is _State.PROVEN

    def message_received(self, message: str | bytes) -> ProofTag | None:
        """Takes in what the other end says, until :attr:`is_proven`.

        Returns:
            What to say in return.

        Raises:
            RoomSecretMissingError: The other end has no secret for this room.
            PeerNotProvenError: It has another secret, isn't who it is taken for, or says something else.
                After either error there is no other way than to end the connection.
        """
        state, self._state = self._state, _State.FAILED  # whatever raises from here on has failed for good
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
            raise PeerNotProvenError("The connection has no certificate that a proof could be bound to.")
        if not _NONCE.fullmatch(frame.nonce) or frame.nonce in self._nonces.values():
            raise PeerNotProvenError("The other side sent back this side's own words, or no nonce at all.")
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
    """Says why another kind of frame came: that of an end that knows no proof, or that gives up."""
    try:
        frame = decode_transfer_frame(message)
    except ProtocolError:
        return _missing()
    if isinstance(frame, FileAbort) and frame.code == PeerNotProvenError.code:
        return PeerNotProvenError(
            "The other side doesn't take this side's proof that it knows the room's secret: "
            f"{_ANOTHER_INVITE}"
        )
    return _missing()


def _missing() -> RoomSecretMissingError:
    return RoomSecretMissingError(
        "The other side doesn't have this room's secret. It must be started with the room's whole invite "
        "(--invite or SLEAP_RTC_INVITE)."
    )
