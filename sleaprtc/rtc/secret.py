"""A room's secret, which its members share and the signaling server never sees."""

from __future__ import annotations

import base64
import re
import secrets
from typing import Final

import attrs

from ..errors import UsageError

SECRET_BYTES: Final = 16
"""128 random bits can't be guessed, so an HMAC is enough; a password would need a PAKE
(docs/reference/protocol.md, "Proof")."""

_FORM: Final = re.compile(r"[A-Za-z0-9_-]{22}")


@attrs.frozen(repr=False)
class RoomSecret:
    """The secret's bytes, which ``repr`` doesn't show. :attr:`text` is the written form."""

    key: bytes

    def __repr__(self) -> str:
        return "RoomSecret(…)"

    @classmethod
    def generate(cls) -> RoomSecret:
        """Generates a random secret."""
        return cls(secrets.token_bytes(SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> RoomSecret:
        """Parses the written form.

        Raises:
            UsageError: The text isn't a secret. The message doesn't repeat the text.
        """
        if _FORM.fullmatch(text):
            secret = cls(base64.urlsafe_b64decode(f"{text}=="))
            if secret.text == text:  # the last character has four bits that must be zero
                return secret
        raise UsageError("A room's secret has 22 letters, digits, - and _; this one is cut off or misspelt.")

    @property
    def text(self) -> str:
        """The written form: base64url without padding (RFC 4648, section 5), 22 characters."""
        return base64.urlsafe_b64encode(self.key).decode().rstrip("=")
