"""Asks the server, the STUN and TURN servers, and enters the room."""

from __future__ import annotations

import email.utils
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

import attrs
import trio

from ..errors import ConnectionFailedError, SleapRTCError
from ..protocol.messages import IceServer
from ..rtc import stun
from ..signaling.http import Account, Endpoints, Health, Room, open_http
from .network import IceAnswer

STUN_TRIES_SEC: Final = (0.5, 1.0, 1.5)
"""Datagrams get lost: a request is sent again, as in RFC 8489, section 6.2.1."""

DEFAULT_PORTS: Final = {"stun": 3478, "turn": 3478, "stuns": 5349, "turns": 5349}
"""RFC 8489, section 9; RFC 8656, section 3.1."""

RELAY_TIMEOUT_SEC: Final = 5.0

DELETION_SEC: Final = 2.0
_MAX_DATAGRAM_BYTES: Final = 2048


async def ask_health(endpoints: Endpoints) -> tuple[Health, float, float | None]:
    """Asks the server whether it is well.

    Returns:
        Its word, the round trip in milliseconds, and how many seconds this machine's clock is ahead of the
        server's, where that tells its time.

    Raises:
        SleapRTCError: As :meth:`sleaprtc.signaling.http.SignalingHTTP.health`.
    """
    async with open_http(endpoints.http_url, endpoints.ca_file) as http:
        started, sent_at = time.perf_counter(), time.time()
        health = await http.health()
        round_trip_sec = time.perf_counter() - started
    return health, round_trip_sec * 1000, clock_error_sec(health.date, sent_at + round_trip_sec / 2)


def clock_error_sec(date: str | None, now: float) -> float | None:
    """How far ``now`` (epoch seconds) is ahead of an HTTP date; None where there is none to read."""
    if date is None:
        return None
    try:
        server_time = email.utils.parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    return now - (server_time + 0.5)  # the header has whole seconds, cut off


@asynccontextmanager
async def open_passing_room(endpoints: Endpoints, account: Account) -> AsyncIterator[Room]:
    """Makes a room for the time of the block.

    Raises:
        SleapRTCError: The server doesn't make one.
    """
    async with open_http(endpoints.http_url, endpoints.ca_file) as http:
        room = await http.create_room(account)
        try:
            yield room
        finally:
            # where that fails, the room ends by itself
            with trio.move_on_after(DELETION_SEC, shield=True), suppress(SleapRTCError):
                await http.delete_room(account, room.room_id)


# --- STUN and TURN --------------------------------------------------------------------------


async def ask_ice_servers(servers: tuple[IceServer, ...]) -> list[IceAnswer]:
    """Asks all of them at once, in the order of their addresses."""
    owners: dict[str, IceServer] = {}
    for server in servers:
        for url in server.urls:
            owners.setdefault(url, server)
    answers: dict[str, IceAnswer] = {}

    async def ask(url: str, owner: IceServer) -> None:
        answers[url] = await _with_relay(await ask_ice_server(url), owner)

    async with trio.open_nursery() as nursery:
        for url, owner in owners.items():
            nursery.start_soon(ask, url, owner)
    return [answers[url] for url in owners]


async def _with_relay(answer: IceAnswer, server: IceServer) -> IceAnswer:
    """Adds to a TURN server's answer whether it relays for the credentials that are configured."""
    parsed = host_and_port(answer.url)
    if answer.problem is not None or parsed is None or not parsed[0].startswith("turn"):
        return answer
    if server.username is None or server.credential is None:
        return attrs.evolve(answer, problem="it has no user name and password, without which none relays")
    from ..rtc.turn import allocate

    scheme, host, port = parsed
    tls = scheme == "turns"
    try:
        with trio.fail_after(RELAY_TIMEOUT_SEC):
            relay = await allocate(
                host,
                port,
                username=server.username,
                credential=server.credential,
                transport="tcp" if tls or "transport=tcp" in answer.url else "udp",
                tls=tls,
            )
    except trio.TooSlowError:
        return attrs.evolve(answer, problem="it doesn't say whether it relays")
    except ConnectionFailedError as error:
        return attrs.evolve(answer, problem=str(error))
    return attrs.evolve(answer, relayed_address=relay)


def host_and_port(url: str) -> tuple[str, str, int] | None:
    """Reads scheme, host and port of ``stun:HOST:PORT`` (RFC 7064, RFC 7065); None where it has none."""
    scheme, _, rest = url.partition(":")
    if scheme not in DEFAULT_PORTS:
        return None
    try:
        address = urlsplit(f"//{rest.partition('?')[0]}")
        port = address.port
    except ValueError:
        return None
    return (scheme, address.hostname, port or DEFAULT_PORTS[scheme]) if address.hostname else None


async def ask_ice_server(url: str) -> IceAnswer:
    """Sends a STUN binding request over UDP; where a server speaks TCP or TLS, connects to it."""
    parsed = host_and_port(url)
    if parsed is None:
        return IceAnswer(url, problem="it isn't of the form stun:HOST:PORT or turn:HOST:PORT")
    scheme, host, port = parsed
    started = time.perf_counter()
    try:
        if scheme.endswith("s") or "transport=tcp" in url:
            mapped = None
            await _connect_tcp(host, port)
        else:
            mapped = await _ask_binding(host, port)
    except trio.TooSlowError:
        return IceAnswer(url, problem="it doesn't answer")
    except OSError as error:
        return IceAnswer(url, problem=error.strerror or str(error))
    return IceAnswer(
        url, round_trip_ms=round((time.perf_counter() - started) * 1000, 1), mapped_address=mapped
    )


async def _connect_tcp(host: str, port: int) -> None:
    with trio.fail_after(sum(STUN_TRIES_SEC)):
        stream = await trio.open_tcp_stream(host, port)
        await stream.aclose()


async def _ask_binding(host: str, port: int) -> str | None:
    with trio.fail_after(sum(STUN_TRIES_SEC)):
        found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_DGRAM)
    family, kind, number, _, address = found[0]
    transaction_id = os.urandom(stun.TRANSACTION_ID_BYTES)
    with trio.socket.socket(family, kind, number) as sock:
        await sock.connect(address)
        for wait_sec in STUN_TRIES_SEC:
            await sock.send(stun.binding_request(transaction_id))
            with trio.move_on_after(wait_sec):
                while True:
                    datagram = await sock.recv(_MAX_DATAGRAM_BYTES)
                    if stun.answers(datagram, transaction_id):
                        return stun.mapped_address(datagram)
    raise trio.TooSlowError
