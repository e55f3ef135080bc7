"""The error of a failed connection depends on the settings and the candidates."""

from __future__ import annotations

import math
from pathlib import Path

import attrs
import pytest
import trio

from sleaprtc.protocol.messages import Candidate, IceServer
from sleaprtc.rtc.no_path import Attempt, NoPathError, explain
from sleaprtc.rtc.peer import IceSettings

from ..doctor.stand_ins import turn_server
from .coturn import coturn, needs_coturn
from .pairs import Message, Signaling, open_side

HOST = "candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host"
LOOPBACK = "candidate:1 1 udp 2122260223 127.0.0.1 50000 typ host"
RELAY = "candidate:3 1 udp 41885695 198.51.100.9 49200 typ relay raddr 192.0.2.7 rport 50000"
STUN = IceServer(("stun:stun.example.org:3478",))
TURN = IceServer(("turn:turn.example.org:3478",), "user", "password")


@pytest.mark.parametrize(
    ("servers", "loopback", "local", "remote", "finding", "remedy"),
    [
        ((), False, [HOST], [HOST], "", "a STUN or TURN server is needed"),
        ((), False, [], [HOST], "no network address to connect from", "--ice-loopback"),
        ((), False, [HOST], [], "gpu named no network address", "on its machine"),
        ((), True, [LOOPBACK], [HOST], "This side connects only over 127.0.0.1", "Give both"),
        ((), False, [HOST], [LOOPBACK], "gpu connects only over 127.0.0.1", "neither if"),
        ((STUN,), False, [HOST], [HOST], "STUN alone (stun:stun.example.org:3478)", "A TURN server does"),
        ((TURN,), False, [HOST], [HOST], "No relay came from turn:turn.example.org:3478", "says which"),
        ((STUN, TURN), False, [HOST], [HOST, RELAY], "No relay came from turn:", "sleap-rtc doctor"),
        ((TURN,), False, [HOST, RELAY], [HOST], "but not for gpu", "at the signaling server"),
        ((TURN,), False, [HOST, RELAY], [RELAY], "Both sides have a relay", "Let UDP through"),
    ],
)
def test_what_was_found_is_said(
    servers: tuple[IceServer, ...],
    loopback: bool,
    local: list[str],
    remote: list[str],
    finding: str,
    remedy: str,
) -> None:
    said = explain(Attempt("gpu", servers, loopback, tuple(local), tuple(remote)))
    assert finding in said[0]
    assert remedy in said[1]
    if servers:
        assert "server is needed" not in said[1]


def test_a_server_s_words_stay_short_and_plain_and_tell_no_password() -> None:
    urls = (f"turn:user:password@\x1b[2J{'x' * 1000}", *(f"turn:h{number}" for number in range(50)))
    finding, _ = explain(Attempt("gpu", (IceServer(urls),), False, (HOST,), (HOST,)))
    assert len(finding) < 400
    assert finding.isprintable()
    assert "password" not in finding


def _astray(message: Message) -> list[Message]:
    """Makes the other side check an address at which nobody answers."""
    if isinstance(message, Candidate):
        return []
    lines = [line for line in message.sdp.splitlines() if not line.startswith("a=candidate:")]
    nowhere = "a=candidate:1 1 udp 2122260223 127.0.0.1 9 typ host"
    return [attrs.evolve(message, sdp="\r\n".join([*lines, nowhere]) + "\r\n")]


async def _failure(engine: str, *servers: IceServer) -> NoPathError:
    signaling = Signaling(_astray)
    ice = IceSettings(servers, loopback=True)
    failures = []

    async def other_side() -> None:
        async with open_side(
            "b", signaling, ice=IceSettings(loopback=True), engine=engine, connect_timeout_sec=math.inf
        ):
            raise AssertionError("It connected.")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other_side)
        try:
            async with open_side("a", signaling, ice=ice, engine=engine, connect_timeout_sec=1.5):
                raise AssertionError("It connected.")
        except NoPathError as error:
            failures.append(error)
        nursery.cancel_scope.cancel()
    return failures[0]


@pytest.mark.parametrize("engine", ["aiortc", "libwebrtc"])
async def test_a_turn_server_that_refuses_is_named(engine: str) -> None:
    with turn_server(username="lab", password="right") as turn:
        error = await _failure(engine, IceServer((f"turn:{turn}",), "lab", "wrong"))
    assert f"No relay came from turn:{turn}" in error.finding
    assert "is needed" not in str(error)
    assert str(error).startswith("No network path to b was found")


@needs_coturn
@pytest.mark.parametrize("engine", ["aiortc", "libwebrtc"])
async def test_a_turn_server_that_relays_for_one_side_alone(engine: str, tmp_path: Path) -> None:
    with coturn(tmp_path) as turn:
        error = await _failure(engine, turn.server(turn.turn))
    assert f"{turn.turn} relays for this side, but not for b" in error.finding


@pytest.mark.parametrize("engine", ["aiortc", "libwebrtc"])
async def test_no_server_at_all(engine: str) -> None:
    error = await _failure(engine)
    assert error.finding.endswith((" seconds.", "was found."))
    assert "a STUN or TURN server is needed" in error.remedy
