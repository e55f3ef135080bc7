"""What a decision wants done on the wire; the hub carries it out."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeAlias, TypeVar

import attrs

from ..protocol.close_codes import CloseCode

ConnectionT = TypeVar("ConnectionT", bound=Hashable)
"""Whatever the shell uses to tell its connections apart."""


@attrs.frozen
class Deliver(Generic[ConnectionT]):
    """Queue a message for a connection.

    Attributes:
        sender: Who is told ``DELIVERY_FAILED`` where the message can't be queued, if anybody.
    """

    connection: ConnectionT
    text: str
    sender: ConnectionT | None = None


@attrs.frozen
class Close(Generic[ConnectionT]):
    """Close a connection after everything that is queued for it."""

    connection: ConnectionT
    code: CloseCode
    reason: str


Effect: TypeAlias = Deliver[ConnectionT] | Close[ConnectionT]
