"""Explains why two peers found no network path, from their settings and candidates. No I/O."""

from __future__ import annotations

from typing import Final

import attrs

from ..base.printable import printable
from ..errors import ConnectionFailedError
from ..protocol.messages import IceServer
from .engines import sdp

MAX_NAMED_SERVERS: Final = 3
MAX_URL_CHARS: Final = 120
"""A signaling server may hand out servers of any number and length."""

_NO_SERVER: Final = (
    "If a firewall or NAT lies between the two machines, a STUN or TURN server is needed (--ice-server, here "
    "or at the signaling server). If both peers are on one machine without a network, use --ice-loopback."
)


class NoPathError(ConnectionFailedError):
    """Both peers exchanged descriptions, but found no network path to each other.

    Args:
        finding: What happened and why, as sentences.
        remedy: What to do about it, as sentences.
    """

    def __init__(self, finding: str, remedy: str = "") -> None:
        super().__init__(f"{finding} {remedy}".rstrip())
        self.finding = finding
        self.remedy = remedy


class NoAnswerError(ConnectionFailedError):
    """The other peer said nothing at all: it may be stopped, or on its way back into the room."""


@attrs.frozen
class Attempt:
    """A failed attempt to connect, as one side saw it.

    Attributes:
        remote_id: The other side's peer id.
        servers: STUN and TURN servers that this side asked.
        loopback: Whether this side connects over 127.0.0.1 alone.
        local: The candidates that this side found.
        remote: The candidates that the other side sent.
        refused_urls: Servers that the signaling server handed out and that this side doesn't ask.
    """

    remote_id: str
    servers: tuple[IceServer, ...]
    loopback: bool
    local: tuple[str, ...]
    remote: tuple[str, ...]
    refused_urls: tuple[str, ...] = ()


def explain(attempt: Attempt) -> tuple[str, str]:
    """Returns the likely reason, as a sentence that is empty if there is none, and what to do about it."""
    name = printable(attempt.remote_id)
    on_loopback = [sdp.is_loopback(candidate) for candidate in attempt.remote]
    if on_loopback and (not any(on_loopback) if attempt.loopback else all(on_loopback)):
        who, other = ("This side", f"{name} doesn't") if attempt.loopback else (name, "this side doesn't")
        return (
            f"{who} connects only over 127.0.0.1, and {other}.",
            "Give both --ice-loopback if they are on one machine, and neither if they aren't.",
        )
    if not attempt.local:
        return (
            "This machine has no network address to connect from.",
            "Connect it to a network; if both peers are on this machine, give both --ice-loopback.",
        )
    if not attempt.remote:
        return f"{name} named no network address of its own.", "Run `sleap-rtc doctor` on its machine."
    return _of_servers(attempt, name)


def _of_servers(attempt: Attempt, name: str) -> tuple[str, str]:
    urls = [url for server in attempt.servers for url in server.urls]
    turn = [url for url in urls if url.startswith("turn")]
    has_relay = _relays(attempt.local)
    if attempt.refused_urls and not has_relay:
        return (
            f"{_listed(list(attempt.refused_urls))} isn't asked: it isn't at a public address "
            "(--no-private-ice-servers).",
            "Allow it (--private-ice-servers), or name it, or another one, with --ice-server.",
        )
    if turn and not has_relay:
        return (
            f"No relay came from {_listed(turn)}: the TURN server doesn't answer, or refuses.",
            "`sleap-rtc doctor` says which, and what to do about it.",
        )
    if has_relay and not _relays(attempt.remote):
        return (
            f"{_listed(turn)} relays for this side, but not for {name}, which doesn't reach the relay.",
            "Name the TURN server at the signaling server (--ice-server there): then both sides use it. "
            "`sleap-rtc doctor` on the other machine says whether it answers there.",
        )
    if has_relay:
        return (
            f"Both sides have a relay, and nothing passes between the two ({_listed(turn)}).",
            "Let UDP through to the ports from which the TURN server relays, and let it relay to itself.",
        )
    if urls:
        return (
            f"STUN alone ({_listed(urls)}) doesn't get through every firewall and NAT.",
            "A TURN server does (--ice-server turn:USER:PASSWORD@HOST:PORT, here or at the signaling "
            "server); `sleap-rtc doctor` says whether the STUN server answers.",
        )
    return "", _NO_SERVER


def _relays(candidates: tuple[str, ...]) -> bool:
    return any(sdp.candidate_type(candidate) == "relay" for candidate in candidates)


def _listed(urls: list[str]) -> str:
    named = [printable(url.rpartition("@")[2][:MAX_URL_CHARS]) for url in urls[:MAX_NAMED_SERVERS]]
    return ", ".join([*named, "…"] if len(urls) > MAX_NAMED_SERVERS else named)
