"""Judges the server, the room and the paths to other peers by what was measured."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from ..base.printable import printable
from ..base.sentences import as_clause, as_sentence
from ..errors import (
    InvalidTokenError,
    RateLimitedError,
    RefusedError,
    RoomExpiredError,
    RoomNotFoundError,
    SleapRTCError,
)
from ..transfer.rate import Rate
from .findings import Finding, failed, ok, warning

MOST_CLOCK_ERROR_SEC: Final = 120.0
"""With a larger offset, new tokens count as not valid yet, and rooms aren't renewed in time."""

NOTICEABLE_CLOCK_ERROR_SEC: Final = 10.0
"""The server's header has whole seconds, and the answer takes its time."""

SLOW_MIB_PER_SEC: Final = 1.0

HOW_TO_CONFIGURE: Final = (
    "Name a server and a room: SLEAP_RTC_INVITE (a worker prints one, `sleap-rtc client room create` makes "
    "one), `sleap-rtc join INVITE`, or --signaling-ws and --signaling-http."
)


class Trouble(enum.Enum):
    """Why something doesn't answer like a signaling server."""

    NAME = enum.auto()
    REFUSED = enum.auto()
    UNTRUSTED = enum.auto()
    TLS = enum.auto()
    FOREIGN = enum.auto()
    SILENT = enum.auto()
    OTHER = enum.auto()


_SERVER_REMEDIES: Final = {
    Trouble.NAME: "Check the name for typos, and that this network's DNS (or VPN) knows it.",
    Trouble.REFUSED: "Start the server there (`sleap-rtc server --host 0.0.0.0`), or correct the port.",
    Trouble.UNTRUSTED: "Name who signed its certificate with --tls-ca FILE (SLEAP_RTC_TLS_CA), or correct "
    "the name.",
    Trouble.TLS: "Use http:// and ws:// where the server speaks no TLS, https:// and wss:// where it does.",
    Trouble.FOREIGN: "Another program listens there: correct the address, or the proxy before the server.",
    Trouble.SILENT: "Check that the machine is on and that no firewall drops packets to this port.",
    Trouble.OTHER: "Check the address and this machine's network.",
}


@attrs.frozen
class Failure:
    """A call that failed."""

    error: SleapRTCError
    trouble: Trouble


def judge_server(url: str, version: str | None, round_trip_ms: float) -> Finding:
    """Returns the finding that the server answers over HTTP."""
    named = f"sleap-rtc {version}" if version else "a signaling server"
    sentence = f"{url} answers in {round_trip_ms:.0f} ms ({named})."
    return ok("server", sentence, url=url, server_version=version, round_trip_ms=round(round_trip_ms, 1))


def judge_failed_call(check: str, failure: Failure) -> Finding:
    """Judges why a call to the server failed, and what to do."""
    facts = {"code": failure.error.code}
    if isinstance(failure.error, RateLimitedError):
        return failed(check, str(failure.error), "Wait a minute and try again.", **facts)
    return failed(check, str(failure.error), _SERVER_REMEDIES[failure.trouble], **facts)


def judge_silence(check: str, limit_sec: float) -> Finding:
    """Returns the finding that the server didn't answer in time."""
    sentence = f"The server doesn't answer within {limit_sec:.0f} seconds."
    return failed(check, sentence, _SERVER_REMEDIES[Trouble.SILENT])


def judge_clock(error_sec: float | None) -> Finding:
    """Compares this machine's clock with the server's.

    Args:
        error_sec: How far this one is ahead; None where the server says no time.
    """
    if error_sec is None:
        return ok(
            "clock",
            "The server doesn't send the time, so this clock can't be compared.",
            clock_error_sec=None,
        )
    facts = {"clock_error_sec": round(error_sec)}
    if abs(error_sec) <= NOTICEABLE_CLOCK_ERROR_SEC:
        return ok("clock", "This machine's clock agrees with the server's.", **facts)
    direction = "ahead of" if error_sec > 0 else "behind"
    sentence = f"This machine's clock is {duration(abs(error_sec))} {direction} the server's"
    remedy = "Set the clock of whichever is wrong: on Linux `sudo timedatectl set-ntp true`."
    if abs(error_sec) <= MOST_CLOCK_ERROR_SEC:
        return warning("clock", f"{sentence}.", remedy, **facts)
    return failed(
        "clock", f"{sentence}: tokens and certificates fail, and rooms end unexpectedly.", remedy, **facts
    )


def duration(seconds: float) -> str:
    """Returns a duration for a person, in one unit."""
    for unit_sec, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit_sec:
            return f"{seconds / unit_sec:.0f} {name}"
    return f"{seconds:.0f} seconds"


def is_refusal(error: SleapRTCError) -> bool:
    """Whether the server answered with a refusal."""
    return isinstance(error, RefusedError)


def judge_room(room_id: str, workers: Sequence[str], *, is_own: bool) -> Finding:
    """Returns the finding that the room lets this machine in, and who is there.

    Args:
        room_id: Which room.
        workers: Who can train there.
        is_own: Whether it was made for this examination.
    """
    if is_own:
        sentence = "No room is configured; one that was made for this check let this machine in."
        return ok("room", sentence, room_id=None, workers=[])
    names = ", ".join(map(printable, workers)) or "none"
    sentence = f"Room {room_id} lets this machine in; workers there: {names}."
    return ok("room", sentence, room_id=room_id, workers=list(workers))


def judge_refused_room(error: SleapRTCError) -> Finding:
    """Judges why the room doesn't let this peer in."""
    return failed("room", str(error), refusal_remedy(error), code=error.code)


def refusal_remedy(error: SleapRTCError) -> str:
    """Returns what to do about a refusal by the server or the room."""
    remedies: Mapping[type[SleapRTCError], str] = {
        RoomNotFoundError: "Ask for the invite again; `sleap-rtc client room create` makes a new room.",
        RoomExpiredError: "Ask for a new invite; a room that a worker makes is kept open by it.",
        InvalidTokenError: "Check the clock; a server that was set up again has forgotten earlier sign-ins.",
        RateLimitedError: "Wait a minute and try again.",
    }
    known = (remedy for kind, remedy in remedies.items() if isinstance(error, kind))
    return next(known, "Ask for the invite again.")


# --- data channels --------------------------------------------------------------------------


@attrs.frozen
class SelfTest:
    """A data channel from this process to itself.

    Attributes:
        engine: What carried it.
        connect_ms: Until it was open, where it was.
        rate: What was measured.
        problem: Why there is none.
        over_loopback: Whether it went over 127.0.0.1 alone.
    """

    engine: str
    connect_ms: float | None = None
    rate: Rate | None = None
    problem: str | None = None
    over_loopback: bool = False


def judge_self_tests(tests: Sequence[SelfTest], *, asked_for_loopback: bool) -> Finding:
    """Judges whether this machine can open data channels at all, and how fast they are."""
    facts: dict[str, object] = {"measurements": [_facts_of(test) for test in tests]}
    broken = [test for test in tests if test.rate is None]
    if broken:
        each = "; ".join(f"{test.engine}: {as_clause(test.problem)}" for test in broken)
        remedy = "A firewall on this machine may block UDP to itself; --engine chooses the other engine."
        if len(broken) < len(tests):
            sentence = (
                "One of the two engines can't make a data channel from this machine to itself. "
                f"{as_sentence(each)}"
            )
            return warning("data_channel", sentence, remedy, **facts)
        sentence = f"No data channel from this machine to itself could be made. {as_sentence(each)}"
        return failed("data_channel", sentence, remedy, **facts)
    each = ", ".join(f"{test.engine} {in_words(test.rate)}" for test in tests if test.rate is not None)
    if not asked_for_loopback and all(test.over_loopback for test in tests):
        sentence = f"A data channel to itself works over 127.0.0.1 only: {each}."
        remedy = (
            "This machine has no network address that a peer could reach; peers on it need --ice-loopback."
        )
        return warning("data_channel", sentence, remedy, **facts)
    return ok("data_channel", f"A data channel to itself works: {each}.", **facts)


def _facts_of(test: SelfTest) -> dict[str, object]:
    facts: dict[str, object] = {
        "engine": test.engine,
        "connect_ms": None if test.connect_ms is None else round(test.connect_ms),
        "problem": test.problem,
        "over_loopback": test.over_loopback,
    }
    return facts if test.rate is None else {**facts, **rate_facts(test.rate)}


def in_words(rate: Rate) -> str:
    """Returns the rates in both directions, in words."""
    up, down = rate.upload_mib_per_sec, rate.download_mib_per_sec
    return f"{up:.1f} MiB/s there and {down:.1f} MiB/s back"


def rate_facts(rate: Rate) -> dict[str, object]:
    """Returns a rate as the facts of a finding."""
    return {
        "upload_mib_per_sec": round(rate.upload_mib_per_sec, 2),
        "download_mib_per_sec": round(rate.download_mib_per_sec, 2),
        "upload_bytes": rate.upload_bytes,
        "download_bytes": rate.download_bytes,
    }
