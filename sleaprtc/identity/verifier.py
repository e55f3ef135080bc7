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
"""OpenID Connect Core 1.0, section 2."""

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
"""What joserfc raises over tokens and keys of somebody else's making, not all of it its own."""


@attrs.frozen
class Identity:
    """Who a verified token speaks of.

    Attributes:
        subject: The account, unique with its issuer.
        expires_at: End of the token, epoch seconds.
    """

    subject: str
    expires_at: float


@attrs.frozen
class TokenVerifier:
    """Verifies the tokens of one issuer for one audience.

    For the server's own tokens it is made by :class:`~sleaprtc.identity.issuer.TokenIssuer`. For an OpenID
    Connect issuer such as Cognito it takes that issuer's published keys, its ``iss`` (the issuer's
    address), the client id as audience, and usually ``("RS256",)``.

    Attributes:
        keys: The issuer's public keys; a token names one of them by ``kid``.
        issuer: What ``iss`` must be.
        audience: What ``aud`` must be or contain.
        algorithms: Signature algorithms that are accepted, asymmetric ones only: ``none`` or an HMAC keyed
            with a public key would let anybody make tokens (RFC 8725, section 2.1).
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
            InvalidAnswerError: What was published can't be read as one.
        """
        try:
            keys = KeySet.import_key_set(jwks)  # type: ignore[arg-type]
        except _UNREADABLE as error:
            raise InvalidAnswerError("What the issuer publishes is no set of keys (RFC 7517).") from error
        return cls(keys, issuer, audience, algorithms)

    def verify(self, token: str, *, now: float) -> Identity:
        """Checks signature, algorithm, issuer, audience, expiry and subject.

        Args:
            token: The compact form of the token.
            now: Epoch seconds.

        Raises:
            InvalidTokenError: One of them is wrong; the sentence doesn't say which.
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
            raise InvalidTokenError("The id token has no subject that can be one.")
        if not is_time(expires_at):
            raise InvalidTokenError("The id token's end is no time.")
        return Identity(subject, float(expires_at))
