"""STUN binding requests (RFC 8489), to check whether a STUN or TURN server answers. No I/O.

Engines have STUN clients of their own, which don't report servers that don't answer.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final

from ..errors import ConnectionFailedError

BINDING_REQUEST: Final = 0x0001
BINDING_SUCCESS: Final = 0x0101
BINDING_ERROR: Final = 0x0111
MAGIC_COOKIE: Final = 0x2112A442
XOR_MAPPED_ADDRESS: Final = 0x0020
MAPPED_ADDRESS: Final = 0x0001

TRANSACTION_ID_BYTES: Final = 12
_HEADER: Final = struct.Struct("!HHI12s")
_ATTRIBUTE: Final = struct.Struct("!HH")
_IPV4: Final = 1
_IPV6: Final = 2


class TurnRefusedError(ConnectionFailedError):
    """A TURN server refused to relay.

    Args:
        message: The reason that the server gives.
        stun_code: The server's error code (RFC 8489, section 14.8).
    """

    def __init__(self, message: str, stun_code: int = 0) -> None:
        super().__init__(message)
        self.stun_code = stun_code


def binding_request(transaction_id: bytes) -> bytes:
    """Returns a binding request; ``transaction_id`` is 12 random bytes that the response repeats."""
    return _HEADER.pack(BINDING_REQUEST, 0, MAGIC_COOKIE, transaction_id)


def answers(datagram: bytes, transaction_id: bytes) -> bool:
    """Whether a datagram is a response to the request. An error response counts: it shows a server, too."""
    if len(datagram) < _HEADER.size:
        return False
    kind, length, cookie, answered_id = _HEADER.unpack_from(datagram)
    return (
        kind in (BINDING_SUCCESS, BINDING_ERROR)
        and cookie == MAGIC_COOKIE
        and answered_id == transaction_id
        and len(datagram) >= _HEADER.size + length
    )


def mapped_address(datagram: bytes) -> str | None:
    """Returns the client's address as the server sees it, as ``host:port``; None if the response has none."""
    transaction_id = datagram[8 : _HEADER.size]
    place = _HEADER.size
    while place + _ATTRIBUTE.size <= len(datagram):
        kind, length = _ATTRIBUTE.unpack_from(datagram, place)
        value = datagram[place + _ATTRIBUTE.size : place + _ATTRIBUTE.size + length]
        if kind in (XOR_MAPPED_ADDRESS, MAPPED_ADDRESS) and len(value) == length >= 8:
            mask = struct.pack("!I", MAGIC_COOKIE) + transaction_id
            return _address(value, mask if kind == XOR_MAPPED_ADDRESS else bytes(16))
        place += _ATTRIBUTE.size + (length + 3) // 4 * 4
    return None


def _address(value: bytes, mask: bytes) -> str | None:
    family, port = value[1], int.from_bytes(value[2:4], "big") ^ int.from_bytes(mask[:2], "big")
    size = {_IPV4: 4, _IPV6: 16}.get(family)
    if size is None or len(value) < 4 + size:
        return None
    host = ipaddress.ip_address(bytes(a ^ b for a, b in zip(value[4 : 4 + size], mask, strict=False)))
    return f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}"
