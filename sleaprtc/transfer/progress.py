"""The progress of a file transfer."""

from __future__ import annotations

import attrs


@attrs.frozen
class TransferProgress:
    """How much of a file the receiver has. On both sides, bytes count only once they are written.

    Attributes:
        name: The file's name.
        size_bytes: The whole file's size.
        received_bytes: What the receiver has written.
        offset_bytes: The part of ``received_bytes`` that it had before this transfer.
    """

    name: str
    size_bytes: int
    received_bytes: int
    offset_bytes: int
