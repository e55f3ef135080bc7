"""The server's own id tokens, signed with a key that it keeps in its state folder."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import uuid
from pathlib import Path
from typing import Any, Final

import attrs
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from ..base.json_text import parse_json
from ..base.sentences import as_clause
from ..errors import StorageError
from ..protocol.limits import ID_TOKEN_TTL_SEC
from .verifier import TokenVerifier

ALGORITHM: Final = "ES256"
"""ECDSA over P-256 with SHA-256 (RFC 7518, section 3.4): small tokens that are quick to sign."""

ISSUER: Final = "urn:sleap-rtc:signaling-server"
AUDIENCE: Final = "sleap-rtc"
KEY_FILE_NAME: Final = "id-token-key.json"


@attrs.frozen
class TokenIssuer:
    """Issues id tokens for anonymous accounts, which it creates on demand.

    Attributes:
        key: The private key, with its thumbprint (RFC 7638) as ``kid``.
    """

    key: ECKey = attrs.field(repr=False)

    @classmethod
    def from_state_dir(cls, state_dir: Path) -> TokenIssuer:
        """Loads the key, or creates one on the first start.

        Raises:
            StorageError: The key file can't be read or written, or contains no private P-256 key.
        """
        path = state_dir / KEY_FILE_NAME
        try:
            if not path.exists():
                _create_key_file(path)
            return cls(_load_key(path))
        except OSError as error:
            raise StorageError(
                f"The signing key {path} can't be read or written: {as_clause(error)}."
            ) from error
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise StorageError(
                f"{path} doesn't hold a signing key; move it away to get a new one."
            ) from error

    def issue(self, *, now: float, username: str | None = None) -> tuple[str, str]:
        """Issues a token, for a new account or for one whose earlier token was verified.

        Args:
            now: The time in epoch seconds.
            username: The account; a new one by default.

        Returns:
            The token and the account's name, which is the token's ``sub``.
        """
        username = username or str(uuid.uuid4())
        issued_at = int(now)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": username,
            "iat": issued_at,
            "exp": issued_at + ID_TOKEN_TTL_SEC,
        }
        header = {"alg": ALGORITHM, "kid": self.key.kid}
        return jwt.encode(header, claims, self.key, algorithms=[ALGORITHM]), username

    def verifier(self) -> TokenVerifier:
        """Makes a verifier for these tokens; it has only the public key."""
        return TokenVerifier.from_jwks(self.jwks(), issuer=ISSUER, audience=AUDIENCE, algorithms=(ALGORITHM,))

    def jwks(self) -> dict[str, Any]:
        """Returns the public key as a key set (RFC 7517)."""
        return dict(KeySet([self.key]).as_dict(private=False))


def _create_key_file(path: Path) -> None:
    """Writes a new key atomically. If two servers start at once, the first one's key stays."""
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM}, auto_kid=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump(key.as_dict(private=True), file)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _load_key(path: Path) -> ECKey:
    if stat.S_IMODE(path.stat().st_mode) != 0o600:
        path.chmod(0o600)
    fields = parse_json(path.read_text(encoding="ascii"))
    key = ECKey.import_key(fields)
    if not key.is_private or key.curve_name != "P-256":
        raise ValueError("not a private P-256 key")
    key.ensure_kid()
    return key
