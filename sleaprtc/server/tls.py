"""TLS on both ports, with one certificate."""

from __future__ import annotations

import ssl
from pathlib import Path

import trio

from ..base.sentences import as_clause
from ..errors import UsageError
from .sockets import RECEIVE_BYTES, PeerSocket, PeerStream


def server_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Makes the TLS context; returns None if there is neither a certificate nor a key.

    Args:
        certificate: The certificate in PEM, followed by its chain.
        key: The key in PEM, without a passphrase.

    Raises:
        UsageError: One of the two is missing or can't be read, or they don't match.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UsageError("TLS needs both a certificate and its key: --tls-cert and --tls-key.")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])  # WebSockets and a few calls gain nothing from HTTP/2
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except ssl.SSLError as error:
        why = as_clause(error.reason or "they aren't PEM files")
        raise UsageError(f"{certificate} and {key} can't serve as certificate and key: {why}.") from error
    except OSError as error:
        raise UsageError(f"{certificate} or {key} can't be read: {as_clause(error)}.") from error
    return context


def _no_passphrase() -> str:
    raise UsageError("The key of --tls-key has a passphrase, and nobody is there to type it; remove it.")


class TlsStream(PeerStream):
    """An accepted connection under TLS.

    It never writes without waiting, since a TLS record must be written to its end once it is started. All
    frames therefore go through the outbox and the writer's task.
    """

    __slots__ = ("_socket", "_tls")

    def __init__(self, accepted: PeerSocket, context: ssl.SSLContext) -> None:
        self._socket = accepted
        self._tls = trio.SSLStream(accepted, context, server_side=True, https_compatible=True)

    @property
    def address(self) -> str:
        """The other side's IP address; empty if it isn't known."""
        return self._socket.address

    async def start(self) -> None:
        """Does the TLS handshake."""
        await self._tls.do_handshake()

    def send_now(self, data: bytes) -> int:
        """Writes nothing; :meth:`send_all` does."""
        del data
        return 0

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Writes all of it."""
        await self._tls.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Waits until the system accepts at least one byte."""
        await self._tls.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Waits for something to read; empty bytes mean that the other side has ended the connection."""
        return bytes(await self._tls.receive_some(max_bytes or RECEIVE_BYTES))

    async def send_eof(self) -> None:
        """Ends this side of the TCP connection: after its close frame, a WebSocket needs no TLS closure."""
        await self._socket.send_eof()

    async def aclose(self) -> None:
        """Closes the connection."""
        await self._socket.aclose()

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()
