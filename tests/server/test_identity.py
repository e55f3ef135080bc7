"""Id tokens: the server's own key, and tokens of other issuers."""

from __future__ import annotations

import base64
import json
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from sleaprtc.errors import InvalidAnswerError, InvalidTokenError, StorageError
from sleaprtc.identity.issuer import KEY_FILE_NAME, TokenIssuer
from sleaprtc.identity.verifier import TokenVerifier

NOW = 1_800_000_000.0
POOL = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example"
CLIENT_ID = "3n4b5urk1ft4fl3mg5e62d9ado"


def test_the_key_is_kept_and_its_owner_s_alone(tmp_path: Path) -> None:
    token, username = TokenIssuer.from_state_dir(tmp_path).issue(now=NOW)
    path = tmp_path / KEY_FILE_NAME
    path.chmod(0o644)  # as a careless copy would leave it
    identity = TokenIssuer.from_state_dir(tmp_path).verifier().verify(token, now=NOW)
    assert identity.subject == username
    assert identity.expires_at > NOW
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [KEY_FILE_NAME]


def test_servers_that_start_at_once_agree_on_a_key(tmp_path: Path) -> None:
    keys = set()
    start = threading.Barrier(8)

    def load() -> None:
        start.wait()
        keys.add(TokenIssuer.from_state_dir(tmp_path).key.kid)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 1
    assert [file.name for file in tmp_path.iterdir()] == [KEY_FILE_NAME]


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"kty": "EC"}', "\xff", "RSA", "public", "P-384"])
def test_a_file_that_holds_no_such_key(tmp_path: Path, content: str) -> None:
    written = {
        "RSA": lambda: json.dumps(RSAKey.generate_key(2048).as_dict(private=True)),
        "public": lambda: json.dumps(ECKey.generate_key("P-256").as_dict(private=False)),
        "P-384": lambda: json.dumps(ECKey.generate_key("P-384").as_dict(private=True)),
    }.get(content, lambda: content)()
    (tmp_path / KEY_FILE_NAME).write_text(written, encoding="latin-1")
    with pytest.raises(StorageError, match=KEY_FILE_NAME):
        TokenIssuer.from_state_dir(tmp_path)


@pytest.fixture(scope="module")
def pool_key() -> RSAKey:
    return RSAKey.generate_key(2048, {"use": "sig", "kid": "pool-1"})


def pool_token(key: RSAKey, algorithm: str = "RS256", **changes: Any) -> str:
    claims = {"iss": POOL, "aud": CLIENT_ID, "sub": "alice", "exp": int(NOW) + 3600, **changes}
    return jwt.encode({"alg": algorithm, "kid": "pool-1"}, claims, key, algorithms=[algorithm])


def test_tokens_of_an_openid_connect_issuer(pool_key: RSAKey) -> None:
    jwks = dict(KeySet([pool_key]).as_dict(private=False))
    verifier = TokenVerifier.from_jwks(jwks, issuer=POOL, audience=CLIENT_ID)
    assert verifier.verify(pool_token(pool_key), now=NOW).subject == "alice"
    assert verifier.verify(pool_token(pool_key, aud=["other", CLIENT_ID]), now=NOW).subject == "alice"
    for token in (
        pool_token(pool_key, iss="https://elsewhere.example.org"),
        pool_token(pool_key, aud="other"),
        pool_token(pool_key, "RS512"),
        pool_token(RSAKey.generate_key(2048)),
    ):
        with pytest.raises(InvalidTokenError):
            verifier.verify(token, now=NOW)
    with pytest.raises(InvalidTokenError):
        verifier.verify(pool_token(pool_key), now=NOW + 3600 + verifier.leeway_sec + 1)


def test_verification_takes_the_time_it_is_given(tmp_path: Path) -> None:
    issuer = TokenIssuer.from_state_dir(tmp_path)
    token, _ = issuer.issue(now=NOW)
    assert abs(NOW - time.time()) > 3600
    issuer.verifier().verify(token, now=NOW)
    with pytest.raises(InvalidTokenError):
        issuer.verifier().verify(token, now=NOW + 48 * 3600)


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 10**400},
        {"exp": 1e308},
        {"exp": True},
        {"exp": float("inf")},
        {"sub": "\ud800"},
        {"sub": "\x1b[2J"},
        {"sub": "x" * 256},
        {"sub": 5},
        {"aud": [[]]},
        {"iss": []},
        {"nbf": {}},
    ],
    ids=repr,
)
def test_a_foreign_issuer_s_odd_claims(pool_key: RSAKey, changes: dict[str, Any]) -> None:
    jwks = dict(KeySet([pool_key]).as_dict(private=False))
    verifier = TokenVerifier.from_jwks(jwks, issuer=POOL, audience=CLIENT_ID)
    claims = {"iss": POOL, "aud": CLIENT_ID, "sub": "alice", "exp": int(NOW) + 3600, **changes}
    token = jws.serialize_compact(
        {"alg": "RS256", "kid": "pool-1"}, json.dumps(claims), pool_key, algorithms=["RS256"]
    )
    with pytest.raises(InvalidTokenError):
        verifier.verify(token, now=NOW)


@pytest.mark.parametrize("text", ["", "...", "\ud800.e30.", "é.é.é", "a.b.c", "W10.e30.x"], ids=repr)
def test_what_is_no_token(pool_key: RSAKey, text: str) -> None:
    jwks = dict(KeySet([pool_key]).as_dict(private=False))
    with pytest.raises(InvalidTokenError):
        TokenVerifier.from_jwks(jwks, issuer=POOL, audience=CLIENT_ID).verify(text, now=NOW)


def test_headers_and_claims_without_a_bottom(pool_key: RSAKey) -> None:
    verifier = TokenVerifier.from_jwks(
        dict(KeySet([pool_key]).as_dict(private=False)), issuer=POOL, audience=CLIENT_ID
    )
    deep = base64.urlsafe_b64encode(b'{"alg":' * 20_000).decode().rstrip("=")
    with pytest.raises(InvalidTokenError):
        verifier.verify(f"{deep}.e30.x", now=NOW)
    claims = '{"exp":' * 20_000
    token = jws.serialize_compact({"alg": "RS256", "kid": "pool-1"}, claims, pool_key, algorithms=["RS256"])
    with pytest.raises(InvalidTokenError):
        verifier.verify(token, now=NOW)


@pytest.mark.parametrize(
    "jwks",
    [
        None,
        {},
        [],
        {"keys": None},
        {"keys": [None]},
        {"keys": [{"kty": "RSA", "n": "\ud800", "e": "AQAB"}]},
        {"keys": [{"kty": "RSA", "n": 5, "e": 5}]},
        {"keys": [{"kty": []}]},
        {"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]},
    ],
    ids=repr,
)
def test_a_key_set_that_is_none(jwks: Any) -> None:
    with pytest.raises(InvalidAnswerError, match="isn't a key set"):
        TokenVerifier.from_jwks(jwks, issuer=POOL, audience=CLIENT_ID)
