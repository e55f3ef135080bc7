"""Verifies id tokens (RFC 7519), whoever issued them."""

from __future__ import annotations

import binascii
from collections.abc import Collection
from typing import Any, Final

import attrs
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from ..errors import InvalidAnswerError, InvalidTokenError
from ..protocol.values import is_time

MAX_SUBJECT_CHARS: Final = 255
"""The longest ``sub`` that OpenID Connect Core 1.0, section 2, allows."""

_UNREADABLE: Final = (
    JoseError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
    binascii.Error,
)
"""What joserfc raises for malformed tokens and keys; not all of these are its own exceptions."""


@attrs.frozen
class Identity:
    """The account that a verified token identifies.

    Attributes:
        subject: The account's name, unique for its issuer.
        expires_at: When the token expires, in epoch seconds.
    """

    subject: str
    expires_at: float


@attrs.frozen
class TokenVerifier:
    """Verifies the tokens of one issuer for one audience.

    :class:`~sleaprtc.identity.issuer.TokenIssuer` makes the one for the server's own tokens. For an OpenID
    Connect issuer such as Cognito, give that issuer's published keys, its ``iss`` (the issuer's address), the
    client id as audience, and usually ``("RS256",)``.

    Attributes:
        keys: The issuer's public keys; a token names one of them by ``kid``.
        issuer: The value that ``iss`` must have.
        audience: The value that ``aud`` must equal or contain.
        algorithms: Accepted signature algorithms, only asymmetric ones: ``none``, or an HMAC keyed with a
            public key, would let anybody make tokens (RFC 8725, section 2.1).
        leeway_sec: How far the issuer's clock may be off.
    """

    keys: KeySet
    issuer: str
    audience: str
    algorithms: Collection[str] = ("ES256",)
    leeway_sec: int = 30

    @classmethod
    def from_jwks(
        cls, jwks: dict[str, Any], *, issuer: str, audience: str, algorithms: Collection[str] = ("RS256",)
    ) -> TokenVerifier:
        """Makes a verifier from a published key set (RFC 7517).

        Raises:
            InvalidAnswerError: The document isn't a key set.
        """
        try:
            keys = KeySet.import_key_set(jwks)  # type: ignore[arg-type]
        except _UNREADABLE as error:
            raise InvalidAnswerError("What the issuer publishes isn't a key set (RFC 7517).") from error
        return cls(keys, issuer, audience, algorithms)

    def verify(self, token: str, *, now: float) -> Identity:
        """Checks signature, algorithm, issuer, audience, expiry and subject.

        Args:
            token: The compact form of the token.
            now: The time in epoch seconds.

        Raises:
            InvalidTokenError: One of the checks failed.
        """
        expected = jwt.JWTClaimsRegistry(
            now=int(now),
            leeway=self.leeway_sec,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        try:
            claims = jwt.decode(token, self.keys, algorithms=list(self.algorithms)).claims
            expected.validate(claims)
            subject, expires_at = claims["sub"], claims["exp"]
        except _UNREADABLE as error:
            raise InvalidTokenError("The id token is invalid or has expired.") from error
        if (
            not isinstance(subject, str)
            or not 0 < len(subject) <= MAX_SUBJECT_CHARS
            or not subject.isprintable()
        ):
            raise InvalidTokenError("The id token has no valid subject.")
        if not is_time(expires_at):
            raise InvalidTokenError("The id token's expiry isn't a valid time.")
        return Identity(subject, float(expires_at))
