"""The server's settings, and limits that tests can lower."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from ..protocol.limits import (
    MAX_CONNECTIONS_PER_ADDRESS,
    MAX_MESSAGES_PER_SEC,
    MAX_PEERS_PER_ROOM,
    MAX_REFUSED_MESSAGES_PER_SEC,
    MAX_ROOMS_PER_ACCOUNT,
    MESSAGE_BURST,
    OUTBOX_BYTES,
    OUTBOX_MESSAGES,
    OUTBOX_SHARE_BYTES,
    OUTBOXES_BYTES,
    REFUSED_MESSAGE_BURST,
    REGISTRATION_TIMEOUT_SEC,
    ROOM_BURST,
    ROOM_TTL_SEC,
    ROOMS_PER_SEC,
    SIGN_IN_BURST,
    SIGN_INS_PER_SEC,
    WRITE_TIMEOUT_SEC,
    WRONG_TOKEN_BURST,
    WRONG_TOKEN_SITE_BURST,
    WRONG_TOKENS_PER_SEC,
)
from ..protocol.messages import IceServer
from .proxies import Network

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_WS_PORT: Final = 8080
DEFAULT_HTTP_PORT: Final = 8001


@attrs.frozen(kw_only=True)
class ServerSettings:
    """All settings of one server.

    Attributes:
        host: Address or name to bind both ports to.
        ws_port: WebSocket port; 0 picks a free one.
        http_port: HTTP port; 0 picks a free one.
        state_dir: Folder for the signing key and the rooms; created if it doesn't exist.
        room_ttl_sec: Life of a room from its creation or its last renewal.
        ice_servers: Sent to every peer that registers.
        tls_cert: Certificate chain in PEM, for TLS on both ports; needs ``tls_key``.
        tls_key: The certificate's key in PEM.
        max_descriptors: How many descriptors both ports share; None is the process's own limit.
        trusted_proxies: Proxies whose ``X-Forwarded-For`` is believed.

    The others are limits, described with their defaults in :mod:`sleaprtc.protocol.limits`.
    """

    state_dir: Path
    host: str = DEFAULT_HOST
    ws_port: int = DEFAULT_WS_PORT
    http_port: int = DEFAULT_HTTP_PORT
    room_ttl_sec: float = ROOM_TTL_SEC
    ice_servers: tuple[IceServer, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[Network, ...] = ()
    max_descriptors: int | None = None

    registration_timeout_sec: float = REGISTRATION_TIMEOUT_SEC
    write_timeout_sec: float = WRITE_TIMEOUT_SEC
    outbox_messages: int = OUTBOX_MESSAGES
    outbox_bytes: int = OUTBOX_BYTES
    outboxes_bytes: int = OUTBOXES_BYTES
    outbox_share_bytes: int = OUTBOX_SHARE_BYTES
    messages_per_sec: float = MAX_MESSAGES_PER_SEC
    message_burst: int = MESSAGE_BURST
    refused_messages_per_sec: float = MAX_REFUSED_MESSAGES_PER_SEC
    refused_message_burst: int = REFUSED_MESSAGE_BURST
    max_peers_per_room: int = MAX_PEERS_PER_ROOM
    max_rooms_per_account: int = MAX_ROOMS_PER_ACCOUNT
    sign_ins_per_sec: float = SIGN_INS_PER_SEC
    sign_in_burst: int = SIGN_IN_BURST
    rooms_per_sec: float = ROOMS_PER_SEC
    room_burst: int = ROOM_BURST
    max_connections_per_address: int = MAX_CONNECTIONS_PER_ADDRESS
    wrong_tokens_per_sec: float = WRONG_TOKENS_PER_SEC
    wrong_token_burst: int = WRONG_TOKEN_BURST
    wrong_token_site_burst: int = WRONG_TOKEN_SITE_BURST
