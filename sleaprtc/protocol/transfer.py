"""Control frames of the data channel: for files, the proof before them, and measurements.

They are described in section 4 of the protocol reference. A control frame is a text message: a JSON object
whose ``type`` names the frame. Binary messages are the bytes of the file in flight in that direction.
"""

from __future__ import annotations

from typing import ClassVar, TypeAlias

import attrs


@attrs.frozen
class FileOffer:
    """Announces a file before its bytes.

    ``digest`` is ``"sha256:HEX"`` or ``"blake3:HEX"``; ``purpose`` is ``dataset``, ``config``,
    ``model`` or ``predictions``, or the addition ``validation``. ``job_id`` and ``path_acks`` are additions
    that other implementations ignore; ``path_acks`` asks for :class:`PathAck`.
    """

    type: ClassVar[str] = "file_offer"
    transfer_id: str
    name: str
    size_bytes: int
    digest: str
    purpose: str
    job_id: str | None = None
    path_acks: bool | None = None


@attrs.frozen
class FileAccept:
    """The receiver wants the bytes from ``offset_bytes`` on; none if that is the file's size.

    ``path_acks`` is an addition: :class:`PathAck` will come, since the offer asked for it.
    """

    type: ClassVar[str] = "file_accept"
    transfer_id: str
    offset_bytes: int = 0
    path_acks: bool | None = None


@attrs.frozen
class FileRefuse:
    """The receiver doesn't want the file."""

    type: ClassVar[str] = "file_refuse"
    transfer_id: str
    code: str
    message: str


@attrs.frozen
class FileAck:
    """The receiver has written the file up to ``received_bytes``."""

    type: ClassVar[str] = "file_ack"
    transfer_id: str
    received_bytes: int


@attrs.frozen
class PathAck:
    """The file up to ``arrived_bytes`` has arrived, whether it is written yet or not: an addition.

    ``most_bytes_per_sec`` is what the receiver wants to receive at most; None is no limit.
    """

    type: ClassVar[str] = "path_ack"
    transfer_id: str
    arrived_bytes: int
    most_bytes_per_sec: int | None = None


@attrs.frozen
class FileDone:
    """The receiver has checked the digest and put the file in its place."""

    type: ClassVar[str] = "file_done"
    transfer_id: str


@attrs.frozen
class FileAbort:
    """Either side aborts the transfer."""

    type: ClassVar[str] = "file_abort"
    transfer_id: str
    code: str
    message: str


@attrs.frozen
class ProofNonce:
    """Begins the proof of a room's secret; ``nonce`` is fresh and random, 128 bits in hexadecimal."""

    type: ClassVar[str] = "proof_nonce"
    nonce: str


@attrs.frozen
class ProofTag:
    """Proves that the sender knows the room's secret; ``tag`` is an HMAC-SHA256 in hexadecimal."""

    type: ClassVar[str] = "proof_tag"
    tag: str = attrs.field(repr=False)


ProofFrame: TypeAlias = ProofNonce | ProofTag

TransferFrame: TypeAlias = FileOffer | FileAccept | FileRefuse | FileAck | PathAck | FileDone | FileAbort


@attrs.frozen
class RateProbe:
    """Starts measuring a channel, an addition of this implementation; bytes follow.

    ``download_bytes`` is how much the other end sends back once it has received them.
    """

    type: ClassVar[str] = "rate_probe"
    download_bytes: int


@attrs.frozen
class RateProbeEnd:
    """Ends the bytes that one side sends in a measurement."""

    type: ClassVar[str] = "rate_probe_end"


@attrs.frozen
class RateProbeReceived:
    """Reports how many bytes arrived; those that ``download_bytes`` asked for follow."""

    type: ClassVar[str] = "rate_probe_received"
    received_bytes: int


RateFrame: TypeAlias = RateProbe | RateProbeEnd | RateProbeReceived
