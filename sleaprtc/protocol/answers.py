"""Answers of the server's HTTP port (protocol reference, section 1). Times are in Unix epoch seconds."""

from __future__ import annotations

from typing import ClassVar, TypeVar

import attrs

from .values import EpochSec, IdToken, Name, RoomWord


@attrs.frozen
class SignedIn:
    """An account and the id token that proves it."""

    call: ClassVar[str] = "anonymous-signin"
    username: Name
    id_token: IdToken = attrs.field(repr=False)


@attrs.frozen
class RoomCreated:
    """A new room."""

    call: ClassVar[str] = "create-room"
    room_id: RoomWord
    token: RoomWord = attrs.field(repr=False)
    expires_at: EpochSec | None = None


@attrs.frozen
class RoomRenewed:
    """A renewed room's new end."""

    call: ClassVar[str] = "renew-room"
    expires_at: EpochSec | None = None


@attrs.frozen
class Done:
    """A call that has nothing to return."""

    call: ClassVar[str] = "delete-peers-and-room"


@attrs.frozen
class HealthReport:
    """``status`` is ``"healthy"``."""

    call: ClassVar[str] = "health"
    status: str
    version: Name | None = None


@attrs.frozen
class Refusal:
    """The body of a failed call; its HTTP status alone is enough to act on."""

    call: ClassVar[str] = "refusal"
    message: str | None = None


Answer = TypeVar("Answer", SignedIn, RoomCreated, RoomRenewed, Done, HealthReport, Refusal)
