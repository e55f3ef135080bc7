"""Verifies id tokens (RFC 7519), whoever issued them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import attrs
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from ..errors import InvalidTokenError


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
        """Makes a verifier from a published key set (RFC 7517)."""
        return cls(KeySet.import_key_set(jwks), issuer, audience, algorithms)  # type: ignore[arg-type]

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
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise InvalidTokenError("The id token is invalid or has expired.") from error
        subject = claims["sub"]
        if not isinstance(subject, str) or not subject:
            raise InvalidTokenError("The id token has no subject.")
        return Identity(subject, float(claims["exp"]))
