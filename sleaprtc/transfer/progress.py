"""How far a file is."""

from __future__ import annotations

import attrs


@attrs.frozen
class TransferProgress:
    """What the receiver has of a file, on either side: never what is merely sent.

    Attributes:
        name: The file's name.
        size_bytes: The whole file's size.
        received_bytes: What the receiver has written.
        offset_bytes: What it had from before this transfer, part of ``received_bytes``.
    """

    name: str
    size_bytes: int
    received_bytes: int
    offset_bytes: int
