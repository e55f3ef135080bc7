"""Which authorities an engine trusts for TURN over TLS (``turns:``), as documented."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trustme

from sleaprtc.errors import ConnectionFailedError
from sleaprtc.protocol.messages import IceServer
from sleaprtc.rtc.peer import IceSettings

from ..doctor.stand_ins import tls_server
from .pairs import Signaling, open_side

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("engine", "is_named", "is_trusted"),
    [
        ("aiortc", True, True),
        ("aiortc", False, False),
        ("libwebrtc", True, False),
        ("libwebrtc", False, False),
    ],
)
async def test_a_private_authority_counts_for_aiortc_where_the_environment_names_it(
    engine: str, is_named: bool, is_trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    if is_named:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    secure: list[None] = []
    attempts: list[None] = []
    with tls_server(
        authority, on_connection=lambda: secure.append(None), on_attempt=lambda: attempts.append(None)
    ) as port:
        turns = IceServer((f"turns:127.0.0.1:{port}?transport=tcp",), "lab", "right")
        with trio.move_on_after(30):
            with pytest.raises(ConnectionFailedError):
                async with open_side(
                    "a",
                    Signaling(),
                    ice=IceSettings((turns,), loopback=True),
                    engine=engine,
                    connect_timeout_sec=1,
                ):
                    pass
    assert attempts
    assert bool(secure) == is_trusted
