"""What to do on the wire after a decision; the hub carries it out."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeAlias, TypeVar

import attrs

from ..protocol.close_codes import CloseCode

ConnectionT = TypeVar("ConnectionT", bound=Hashable)
"""The type by which the shell identifies its connections."""


@attrs.frozen
class Deliver(Generic[ConnectionT]):
    """Queue a message for a connection.

    Attributes:
        sender: The connection that gets ``DELIVERY_FAILED`` if the message can't be queued; None for none.
    """

    connection: ConnectionT
    text: str
    sender: ConnectionT | None = None


@attrs.frozen
class Close(Generic[ConnectionT]):
    """Close a connection once everything that is queued for it has been sent."""

    connection: ConnectionT
    code: CloseCode
    reason: str


Effect: TypeAlias = Deliver[ConnectionT] | Close[ConnectionT]
