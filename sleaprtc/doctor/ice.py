"""Judges STUN and TURN servers by what was measured."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs

from ..base.sentences import as_clause
from .findings import Finding, failed, ok, warning

_WHERE: Final = "--ice-server, here or at the signaling server"


class IceTrouble(enum.Enum):
    """Why a server is useless."""

    MALFORMED = enum.auto()
    NAME = enum.auto()
    REFUSED = enum.auto()
    SILENT = enum.auto()
    TLS = enum.auto()
    UNTRUSTED = enum.auto()
    NO_CREDENTIALS = enum.auto()
    CREDENTIALS = enum.auto()
    FORBIDDEN = enum.auto()
    FULL = enum.auto()
    OTHER = enum.auto()


_NOT_REACHED: Final = frozenset({IceTrouble.NAME, IceTrouble.REFUSED, IceTrouble.SILENT})
_NOT_SECURE: Final = frozenset({IceTrouble.TLS, IceTrouble.UNTRUSTED})

_REMEDIES: Final[Mapping[IceTrouble, str]] = {
    IceTrouble.MALFORMED: f"Write it as stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT ({_WHERE}).",
    IceTrouble.NAME: f"Correct its name ({_WHERE}), or see that this network's DNS knows it.",
    IceTrouble.REFUSED: f"Start it, or correct its port ({_WHERE}).",
    IceTrouble.SILENT: "Let its port through the firewall (UDP; TCP where the address says transport=tcp, "
    f"stuns or turns), or correct or remove it ({_WHERE}).",
    IceTrouble.TLS: "Check that it speaks TLS on that port: stuns: and turns: use TLS, stun: and turn: "
    "don't.",
    IceTrouble.UNTRUSTED: "Give it a certificate of a public authority, for the name in its address. "
    "Only the engine aiortc accepts a private authority, if SSL_CERT_FILE names its certificate; "
    "--tls-ca is for the signaling server.",
    IceTrouble.NO_CREDENTIALS: f"Write them into its address: turn:USER:PASSWORD@HOST:PORT ({_WHERE}).",
    IceTrouble.CREDENTIALS: f"Correct its user name and password ({_WHERE}); temporary ones may have "
    "expired.",
    IceTrouble.FORBIDDEN: "It knows the user, but doesn't let this machine relay: check its configuration.",
    IceTrouble.FULL: "It has reached its quotas: raise them, or try again later.",
    IceTrouble.OTHER: "Check that server's log.",
}


@attrs.frozen
class IceAnswer:
    """The result of asking one STUN or TURN server.

    Attributes:
        url: As it was configured.
        round_trip_ms: Until it answered; None where it didn't.
        mapped_address: How it sees this machine, where it says.
        relayed_address: Where a TURN server would relay from; None where it wasn't asked to or refuses.
        problem: Why it wasn't asked, didn't answer, or doesn't relay.
        trouble: The same, by its kind; None where there is no problem.
    """

    url: str
    round_trip_ms: float | None = None
    mapped_address: str | None = None
    relayed_address: str | None = None
    problem: str | None = None
    trouble: IceTrouble | None = None

    @property
    def is_over_udp(self) -> bool:
        """Whether it is asked over UDP, where an absent server looks like a silent one."""
        return not self.url.startswith(("stuns:", "turns:")) and "transport=tcp" not in self.url


def judge_ice(answers: Sequence[IceAnswer]) -> Finding:
    """Judges whether the STUN and TURN servers answer."""
    facts: dict[str, object] = {"ice_servers": [_facts_of(answer) for answer in answers]}
    if not answers:
        sentence = (
            "Host candidates only: no STUN or TURN server is configured, which is enough within one network."
        )
        return ok("ice", sentence, **facts)
    useless = [answer for answer in answers if answer.trouble is not None]
    if not useless:
        each = ", ".join(f"{answer.url} ({_service(answer)})" for answer in answers)
        return ok("ice", f"STUN and TURN answer: {each}.", **facts)
    judge = warning if len(useless) < len(answers) else failed
    return judge("ice", " ".join(_sentences(useless)), " ".join(_remedies(useless)), **facts)


def _facts_of(answer: IceAnswer) -> dict[str, object]:
    trouble = None if answer.trouble is None else answer.trouble.name.lower()
    return {**attrs.asdict(answer), "trouble": trouble}


def _sentences(useless: Sequence[IceAnswer]) -> Iterable[str]:
    malformed = [answer for answer in useless if answer.trouble is IceTrouble.MALFORMED]
    unreached = [answer for answer in useless if answer.trouble in _NOT_REACHED]
    insecure = [answer for answer in useless if answer.trouble in _NOT_SECURE]
    others = [answer for answer in useless if answer not in (*malformed, *unreached, *insecure)]
    if malformed:
        yield f"No address of a STUN or TURN server: {_problems(malformed)}."
    if unreached:
        yield f"No answer from {_problems(unreached)}."
    if any(answer.trouble is IceTrouble.SILENT and answer.is_over_udp for answer in unreached):
        yield "Every connection waits for it."
    if insecure:
        yield f"No TLS connection to {_problems(insecure)}."
    if others:
        yield f"TURN doesn't relay, which some networks need: {_problems(others)}."


def _remedies(useless: Sequence[IceAnswer]) -> Iterable[str]:
    """Yields what to do about each kind of trouble, naming its servers if there are several kinds."""
    troubles = list(dict.fromkeys(answer.trouble for answer in useless if answer.trouble is not None))
    for trouble in troubles:
        whose = ", ".join(answer.url for answer in useless if answer.trouble is trouble)
        yield _REMEDIES[trouble] if len(troubles) == 1 else f"{whose}: {_REMEDIES[trouble]}"


def _problems(answers: Iterable[IceAnswer]) -> str:
    return "; ".join(f"{answer.url}: {as_clause(answer.problem)}" for answer in answers)


def _service(answer: IceAnswer) -> str:
    relays = "" if answer.relayed_address is None else f", relays from {answer.relayed_address}"
    return f"{answer.round_trip_ms:.0f} ms{relays}"
