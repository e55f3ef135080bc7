"""Asks STUN and TURN servers whether they are there, and whether they relay."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from typing import Final
from urllib.parse import urlsplit

import attrs
import trio

from ..base.nurseries import contained
from ..base.sentences import as_clause
from ..errors import ConnectionFailedError
from ..protocol.messages import IceServer
from ..rtc import stun
from .causes import causes
from .ice import IceAnswer, IceTrouble

STUN_TRIES_SEC: Final = (0.5, 1.0, 1.5)
"""When to resend a request, since datagrams get lost (RFC 8489, section 6.2.1)."""

ANSWER_SEC: Final = sum(STUN_TRIES_SEC)
"""The limit for looking up a name, connecting, and getting an answer."""

RELAY_TIMEOUT_SEC: Final = 2.5

DEFAULT_PORTS: Final = {"stun": 3478, "turn": 3478, "stuns": 5349, "turns": 5349}
"""RFC 8489, section 9; RFC 8656, section 3.1."""

_MAX_DATAGRAM_BYTES: Final = 2048
_BY_STUN_CODE: Final = {
    401: IceTrouble.CREDENTIALS,
    438: IceTrouble.CREDENTIALS,
    441: IceTrouble.CREDENTIALS,
    403: IceTrouble.FORBIDDEN,
    486: IceTrouble.FULL,
    508: IceTrouble.FULL,
}
"""RFC 8489, section 14.8; RFC 8656, section 19."""


async def ask_ice_servers(servers: tuple[IceServer, ...]) -> list[IceAnswer]:
    """Asks all of them at the same time; returns the answers in the order of the addresses."""
    owners: dict[str, IceServer] = {}
    for server in servers:
        for url in server.urls:
            owners.setdefault(url, server)
    answers: dict[str, IceAnswer] = {}

    async def ask(url: str, owner: IceServer) -> None:
        with contained("A STUN or TURN server can't be asked."):  # a failure costs this server's answer
            answers[url] = await _with_relay(await ask_ice_server(url), owner)

    async with trio.open_nursery() as nursery:
        for url, owner in owners.items():
            nursery.start_soon(ask, url, owner)
    failed = "asking it failed unexpectedly"
    return [answers.get(url) or IceAnswer(url, problem=failed, trouble=IceTrouble.OTHER) for url in owners]


async def _with_relay(answer: IceAnswer, server: IceServer) -> IceAnswer:
    """Adds to a TURN server's answer whether it relays for the credentials that are configured."""
    parsed = host_and_port(answer.url)
    if answer.trouble is not None or parsed is None or not parsed[0].startswith("turn"):
        return answer
    if server.username is None or server.credential is None:
        problem = "it has no user name and password, without which none relays"
        return attrs.evolve(answer, problem=problem, trouble=IceTrouble.NO_CREDENTIALS)
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
        return attrs.evolve(answer, problem="it doesn't say whether it relays", trouble=IceTrouble.OTHER)
    except ConnectionFailedError as error:
        trouble, problem = _trouble_of(error)
        return attrs.evolve(answer, problem=problem, trouble=trouble)
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
        problem = "it isn't of the form stun:HOST:PORT or turn:HOST:PORT"
        return IceAnswer(url, problem=problem, trouble=IceTrouble.MALFORMED)
    scheme, host, port = parsed
    started = time.perf_counter()
    mapped = None
    try:
        with trio.fail_after(ANSWER_SEC):
            if scheme.endswith("s"):
                await _connect_tls(host, port)
            elif "transport=tcp" in url:
                await (await trio.open_tcp_stream(host, port)).aclose()
            else:
                mapped = await _ask_binding(host, port)
    except trio.TooSlowError:
        return IceAnswer(url, problem="it doesn't answer", trouble=IceTrouble.SILENT)
    except (OSError, trio.BrokenResourceError) as error:
        trouble, problem = _trouble_of(error)
        return IceAnswer(url, problem=problem, trouble=trouble)
    return IceAnswer(
        url, round_trip_ms=round((time.perf_counter() - started) * 1000, 1), mapped_address=mapped
    )


def _trouble_of(error: BaseException) -> tuple[IceTrouble, str]:
    """Returns the kind of trouble that an error stands for, and the system's or server's words."""
    behind = list(causes(error))
    for cause in behind:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return IceTrouble.UNTRUSTED, f"its certificate isn't valid ({as_clause(cause.verify_message)})"
        if isinstance(cause, ssl.SSLError):
            return (
                IceTrouble.TLS,
                f"it doesn't speak TLS there ({as_clause(cause.reason or 'it was cut off')})",
            )
        if isinstance(cause, socket.gaierror):
            return IceTrouble.NAME, as_clause(cause)
        if isinstance(cause, ConnectionRefusedError):
            return IceTrouble.REFUSED, os.strerror(errno.ECONNREFUSED)
        if isinstance(cause, TimeoutError):  # the system's own, of a connection
            return IceTrouble.SILENT, "it doesn't answer"
    if isinstance(error, trio.BrokenResourceError):
        return IceTrouble.TLS, "it doesn't speak TLS there (it was cut off)"
    code = error.stun_code if isinstance(error, stun.TurnRefusedError) else 0
    number = next((cause.errno for cause in behind if isinstance(cause, OSError) and cause.errno), None)
    said = error if number is None else os.strerror(number)
    return _BY_STUN_CODE.get(code, IceTrouble.OTHER), as_clause(said)


async def _connect_tls(host: str, port: int) -> None:
    """Connects as the engine aiortc does, with the system's authorities or those that SSL_CERT_FILE names."""
    context = ssl.create_default_context()
    stream = await trio.open_ssl_over_tcp_stream(host, port, ssl_context=context)
    try:
        await stream.do_handshake()
    finally:
        await trio.aclose_forcefully(stream)


async def _ask_binding(host: str, port: int) -> str | None:
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
