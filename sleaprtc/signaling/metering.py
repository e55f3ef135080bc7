"""HTTP connections that limit how much is read of an answer, whatever the server sends."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

from ..errors import InvalidAnswerError
from ..protocol.limits import MAX_ANSWER_BYTES, MIB


class Meter:
    """Counts the bytes of the answer to one call, including its headers.

    Args:
        url: The server's address, for the error's sentence.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._left_bytes = MAX_ANSWER_BYTES

    def begin(self) -> None:
        """Starts counting from zero, for another call."""
        self._left_bytes = MAX_ANSWER_BYTES

    def count(self, size_bytes: int) -> None:
        """Adds bytes that have arrived.

        Raises:
            InvalidAnswerError: The answer is larger than ``MAX_ANSWER_BYTES``.
        """
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            raise InvalidAnswerError(
                f"The signaling server at {self._url} sent an answer of more than "
                f"{MAX_ANSWER_BYTES // MIB} MiB."
            )


# Timeouts are parameters because httpcore's interface has them.


class _MeteredStream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream, meter: Meter) -> None:
        self._stream = stream
        self._meter = meter

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        data = await self._stream.read(max_bytes, timeout)
        self._meter.count(len(data))
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        return _MeteredStream(stream, self._meter)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class MeteredBackend(httpcore.AsyncNetworkBackend):
    """Opens connections whose received bytes are counted.

    Args:
        meter: Counts the bytes.
        backend: Opens the connections.
    """

    def __init__(self, meter: Meter, backend: httpcore.AsyncNetworkBackend) -> None:
        self._meter = meter
        self._backend = backend

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Opens a TCP connection whose received bytes are counted."""
        stream = await self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        return _MeteredStream(stream, self._meter)
